"""F16: a platform whose disk is full says so, reads on, and works again when there is room."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from playwright.sync_api import Browser, expect

from petrihub_cli.audit import verified
from petrihub_core.audit import Flaw
from petrihub_core.deployment import read_deployment
from petrihub_core.ports import free_port
from petrihub_core.roles import SUPER_ADMIN

from tests.platform import PASSWORD, start_up
from tests.portal.browsing import enter, look_at, newcomer, wait_for
from tests.portal.guests import API, PORTAL, Guest, Site
from tests.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.browser
FULL = "The disk is full: nothing is saved until space is freed."


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk", 192) as made:
        yield made


@pytest.fixture(scope="module")
def full_site(disk: SmallDisk) -> Iterator[Site]:
    state = disk.folder / "state"
    up = start_up(state, "local", free_port())
    yield Site(up, read_deployment(state / "petrihub.toml"))
    up.interrupt()


def asked(site: Site, token: str, path: str, method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{site.url}{path}", headers=headers, trust_env=False, timeout=60)


def whole(site: Site) -> bool:
    """Both files, as SQLite sees them, and the audit trail."""
    for name in (site.deployment.database_url, site.deployment.hub_database_url):
        with closing(sqlite3.connect(name.partition("///")[2])) as file:
            if file.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return False
    return not isinstance(wait_for(verified(site.deployment)), Flaw)


def test_a_full_disk_is_said_and_read_from_and_nothing_is_broken(
    full_site: Site, disk: SmallDisk, browser: Browser
) -> None:
    site = full_site
    boss, late = newcomer(site, SUPER_ADMIN), newcomer(site)
    new = {"note": "never used", "scopes": ["own"], "days": 7}
    token = boss.api("POST", "tokens", new).json()["token"]
    group = {"name": "imaging", "title": "Imaging"}
    disk.fill()

    # whoever is known is known on: the hub notes a token's first use, which it now cannot
    assert asked(site, token, f"{API}/me").json()["name"] == boss.name
    assert asked(site, token, "/hub/api/user").status_code == 200
    assert FULL in boss.get("").text
    refused = boss.api("POST", "groups", group)
    assert (refused.status_code, refused.json()["detail"]) == (503, FULL)
    refused = boss.post("admin/groups", group)
    assert refused.status_code == 503
    assert FULL in refused.text
    stranger = late.client.get("/hub/login")
    assert stranger.status_code == 200
    with enter(browser, boss) as context:
        page = context.new_page()
        page.goto(PORTAL)
        expect(page.get_by_role("alert")).to_contain_text(FULL)
        look_at(page, "full-disk")
        shown = page.get_by_role("alert").filter(has_text=FULL)
        for _ in range(30):  # the hub's own pages look every few seconds
            page.goto("/hub/spawn")
            if shown.count():
                break
            page.wait_for_timeout(500)
        expect(shown).to_be_visible()
        look_at(page, "full-disk-hub")
    # nobody new comes in, in words, and it does no harm
    form = {"_xsrf": late.client.cookies.get("_xsrf", path="/hub/") or "", "username": late.name}
    answer = late.client.post("/hub/login", data={**form, "password": PASSWORD})
    assert answer.status_code >= 400
    assert whole(site)

    disk.free()
    assert boss.api("POST", "groups", group).status_code == 201
    assert FULL not in boss.get("").text
    assert Guest(site, late.person_id, late.name).sign_in().get("").status_code == 200
    assert asked(site, token, f"{API}/me").status_code == 200
    assert whole(site)
