"""F22, as people see it: a database that is away is said in words, and nobody is signed out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from petrihub_core.deployment import read_deployment
from petrihub_core.ports import free_port

from tests.conftest import PostgreSQL, postgres_server
from tests.platform import start_up
from tests.portal.browsing import look_at, newcomer, wait_for
from tests.portal.conftest import Visit, make_databases
from tests.portal.guests import PORTAL, Guest, Site

pytestmark = [pytest.mark.postgres, pytest.mark.browser]
WORDS = "The database does not answer."


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with postgres_server() as made:
        yield made


@pytest.fixture
def worker(server: PostgreSQL, tmp_path: Path) -> Iterator[Guest]:
    named = f'name = "Sunrise Lab"\n{wait_for(make_databases(server.url))}'
    (tmp_path / "petrihub.toml").write_text(named)
    up = start_up(tmp_path, "local", free_port())
    try:
        yield newcomer(Site(up, read_deployment(tmp_path / "petrihub.toml")))
    finally:
        if not server.runs():
            server.start()
        up.interrupt()


def test_f22_pages_and_calls_say_that_the_database_is_away(
    server: PostgreSQL, worker: Guest, visit: Visit
) -> None:
    page = visit(worker)
    expect(page.locator("#ph-user")).to_be_visible()
    server.stop()
    for path, code in (("", 503), ("groups", 503), ("rights", 503), ("nowhere", 404)):
        answer = worker.get(path)
        assert answer.status_code == code, path
        assert "Sunrise Lab" in answer.text, path
        assert (WORDS in answer.text) is (code == 503), path
    assert worker.api("GET", "me").json()["detail"] == WORDS
    assert WORDS in worker.client.get(PORTAL, headers={"HX-Request": "true"}).text
    look(page)

    server.start()
    page.get_by_role("link", name="Home", exact=True).last.click()
    expect(page.locator("#ph-user")).to_be_visible()
    assert worker.get("").status_code == 200


def look(page: Page) -> None:
    """The page in words; whoever looks is not asked to sign in, because they are signed in."""
    page.goto(PORTAL)
    expect(page.get_by_role("heading", name="A part does not answer")).to_be_visible()
    expect(page.get_by_text(WORDS)).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_have_count(0)
    look_at(page, "database-away")
