"""Sharing a running workspace: who gets in, what they may, and out at once."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from petrihub_core import settings
from petrihub_core.audit import verify
from petrihub_core.database import Database
from petrihub_core.records import (
    AuditRow,
    Group,
    GroupMember,
    Notification,
    Person,
    WorkspaceShare,
    now,
)
from petrihub_core.settings.pages import LimitsSettings

from tests.portal.guests import PORTAL, Guest, Site
from tests.portal.own_tokens import token_of_workspace
from tests.portal.workspaces import WORKSPACE, Studio, closed, make_guest, text

pytestmark = pytest.mark.timeout(600)
ROUND_S = 45.0  # three rounds of the portal


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(ROUND_S):
        while not holds():  # noqa: ASYNC110 - another process changes it, there is no event here
            await asyncio.sleep(0.2)


@pytest.fixture
async def bob(site: Site) -> Guest:
    return await make_guest(site)


async def test_nobody_gets_in_before_the_owner_says_so(studio: Studio, bob: Guest) -> None:
    bob.sign_in()
    page = studio.of(bob).enter()
    assert page.status_code in (403, 404)
    assert bob.api("GET", "shares").json() == []


async def test_neither_cookies_nor_the_token_of_another_workspace_open_anything(
    studio: Studio, bob: Guest, site: Site
) -> None:
    """A1, A7: also no kernel, no terminal and no app, before the websocket opens."""
    bob.sign_in()
    token = await token_of_workspace(site, bob.name)
    mine, theirs, nobody = (
        studio.of(studio.owner),
        studio.of(bob),
        studio.of(await make_guest(site)),
    )
    kernel = mine.call("POST", "api/kernels", json={}).json()["id"]
    terminal = mine.call("POST", "api/terminals", json={}).json()["name"]
    names = [each["name"] for each in mine.call("GET", "api/contents").json()["content"]]
    for path in ("api/contents", "api/kernels", "files/notes.txt"):
        by_token = {"headers": {"Authorization": f"token {token}"}, "follow_redirects": False}
        answers = [theirs.call("GET", path), nobody.call("GET", path)]
        answers.append(nobody.guest.client.get(f"{theirs.url}{path}", **by_token))  # type: ignore[arg-type]
        for answer in answers:
            assert answer.status_code in (302, 403), (path, answer.text[:200])
            assert not [name for name in names if name in answer.text]
    for path in (
        f"api/kernels/{kernel}/channels",
        f"terminals/websocket/{terminal}",
        "api/events/subscribe",
        "proxy/8888/socket",
    ):
        for inside in (theirs, nobody):
            assert await inside.socket(path) in (401, 403), path
    socket = await mine.socket(f"terminals/websocket/{terminal}")
    assert not isinstance(socket, int)
    socket.close()


async def test_a_viewer_reads_and_does_nothing_else(studio: Studio, bob: Guest) -> None:
    inside = studio.let_in(bob, "view")
    read = inside.call("GET", "api/contents/notes.txt")
    assert (read.status_code, read.json()["writable"]) == (200, False)
    for method, path, body in (
        ("PUT", "api/contents/notes.txt", text("mine")),
        ("POST", "api/contents", {"type": "file"}),
        ("PATCH", "api/contents/notes.txt", {"path": "gone.txt"}),
        ("DELETE", "api/contents/notes.txt", None),
        ("POST", "api/terminals", {}),
        ("POST", "api/sessions", {"path": "x", "type": "notebook", "name": "x"}),
        ("POST", "api/kernels", {}),
        ("POST", "petrihub/api/apps/vscode/open", {}),
        ("GET", "petrihub/api/guests", None),
        ("POST", "petrihub/api/guests/look", {}),
        ("POST", "api/shutdown", {}),
        ("GET", "proxy/8888/", None),
        ("GET", "nbconvert/html/notes.txt", None),
        ("PUT", "lab/api/settings/@jupyterlab/apputils-extension:themes", {"raw": "{}"}),
    ):
        answer = inside.call(method, path, json=body)
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code}"
    assert inside.call("GET", "api/contents/notes.txt").json()["content"] == "first"
    me = inside.call("GET", "petrihub/api/guests/me").json()
    assert (me["mode"], me["owner"], me["guests"]) == ("view", studio.owner.name, [])


async def test_who_works_together_writes_but_does_not_rule(studio: Studio, bob: Guest) -> None:
    inside = studio.let_in(bob, "work")
    assert inside.call("PUT", "api/contents/bobs.txt", json=text("hello")).status_code == 201
    seen = studio.of(studio.owner).call("GET", "api/contents/bobs.txt")
    assert seen.json()["content"] == "hello"
    assert inside.call("POST", "api/terminals", json={}).status_code == 200
    for method, path in (
        ("POST", "api/shutdown"),
        ("GET", "petrihub/api/guests"),
        ("POST", "petrihub/api/guests/look"),
    ):
        assert inside.call(method, path, json={}).status_code == 403, path
    assert bob.api("DELETE", f"workspaces/{WORKSPACE}/shares").status_code == 404
    more = bob.api("POST", f"workspaces/{WORKSPACE}/shares", {"kind": "link", "mode": "work"})
    assert more.status_code == 404


async def test_the_owner_sees_who_is_inside_and_ends_it_at_once(
    studio: Studio, bob: Guest, tables: Database
) -> None:
    bob.sign_in()
    made = studio.share(kind="person", mode="work", who=bob.name)
    inside = studio.of(bob)
    inside.enter()
    terminal = inside.call("POST", "api/terminals", json={}).json()["name"]
    socket = await inside.socket(f"terminals/websocket/{terminal}")
    assert not isinstance(socket, int)
    here = studio.owner.api("GET", f"workspaces/{WORKSPACE}/guests").json()
    assert [(each["name"], each["mode"]) for each in here if each["connections"]] == [
        (bob.name, "work")
    ]
    page = studio.owner.get(f"workspaces/{WORKSPACE}/sharing/inside")
    assert bob.name in page.text
    ending = asyncio.create_task(asyncio.to_thread(studio.end, made["id"]))
    await closed(socket, within=8)  # measured: about a tenth of a second
    await ending
    assert inside.call("GET", "api/contents").status_code == 403
    assert await inside.socket(f"terminals/websocket/{terminal}") == 403
    assert bob.name not in studio.hub.shares(studio.owner, WORKSPACE)
    async with tables.reading() as session:
        rows = await session.scalars(
            select(AuditRow.action).where(
                AuditRow.target == f"{studio.owner.name}/{WORKSPACE}",
                AuditRow.detail["person"].as_string() == bob.name,
            )
        )
        assert list(rows) == ["share.made", "share.ended", "share.expelled"]
        assert await verify(session) is None


async def test_a_viewer_who_may_work_need_not_come_again(studio: Studio, bob: Guest) -> None:
    inside = studio.let_in(bob, "view")
    assert inside.call("PUT", "api/contents/b.txt", json=text("x")).status_code == 403
    studio.share(kind="person", mode="work", who=bob.name)
    assert inside.call("PUT", "api/contents/b.txt", json=text("x")).status_code == 201
    studio.share(kind="person", mode="view", who=bob.name)
    assert inside.call("PUT", "api/contents/b.txt", json=text("y")).status_code == 403


async def test_a_link_lets_in_whoever_has_it_until_it_ends(
    studio: Studio, bob: Guest, site: Site, tables: Database
) -> None:
    made = studio.share(kind="link", mode="view", hours=1)
    async with tables.reading() as session:
        kept = await session.get_one(WorkspaceShare, made["id"])
        assert made["code"] not in str(vars(kept))
    assert bob.api("POST", "shares/join", {"code": "no such code"}).status_code == 404
    joined = bob.api("POST", "shares/join", {"code": made["code"]})
    assert (joined.status_code, joined.json()["ready"]) == (201, True)
    assert bob.api("POST", "shares/join", {"code": made["code"]}).status_code == 201
    assert studio.of(bob).enter().status_code == 200
    listed = studio.owner.api("GET", f"workspaces/{WORKSPACE}/shares").json()
    assert [each["joined"] for each in listed if each["id"] == made["id"]] == [[bob.name]]
    own = studio.owner.api("POST", "shares/join", {"code": made["code"]})
    assert own.status_code == 409
    studio.end(made["id"])
    assert studio.of(bob).call("GET", "api/contents").status_code == 403
    late = (await make_guest(site)).api("POST", "shares/join", {"code": made["code"]})
    assert late.status_code == 404


async def test_a_round_ends_what_expired_and_follows_groups_and_accounts(
    studio: Studio, bob: Guest, tables: Database, site: Site
) -> None:
    link = studio.share(kind="link", mode="work", hours=1)
    assert bob.api("POST", "shares/join", {"code": link["code"]}).status_code == 201
    inside = studio.of(bob)
    inside.enter()
    terminal = inside.call("POST", "api/terminals", json={}).json()["name"]
    socket = await inside.socket(f"terminals/websocket/{terminal}")
    assert not isinstance(socket, int)
    member, closed_one = (await make_guest(site)).sign_in(), await make_guest(site)
    async with tables.session() as session:
        group = Group(name=f"lab-{bob.name}", title="The lab")
        session.add(group)
        await session.flush()
        for person_id in (member.person_id, studio.owner.person_id):
            session.add(GroupMember(group_id=group.id, person_id=person_id))
    studio.share(kind="group", mode="view", who=group.name)
    assert studio.of(member).enter().status_code == 200
    gone = studio.let_in(closed_one, "view")
    async with tables.session() as session:
        mine = (WorkspaceShare.id == link["id"]) | (WorkspaceShare.through_id == link["id"])
        for row in await session.scalars(select(WorkspaceShare).where(mine)):
            row.expires_at = now() - timedelta(seconds=1)
        await session.delete(await session.get_one(GroupMember, (group.id, member.person_id)))
        (await session.get_one(Person, closed_one.person_id)).active = False
    late = (await make_guest(site)).api("POST", "shares/join", {"code": link["code"]})
    assert late.status_code == 404
    await closed(socket, within=ROUND_S)
    # the hub is told of one after the other, and the workspace may look in between
    over = {bob.name, member.name, closed_one.name}
    await until(lambda: not over & studio.hub.shares(studio.owner, WORKSPACE).keys())
    for each in (inside, studio.of(member), gone):
        await until(lambda each=each: each.call("GET", "api/contents").status_code != 200)


async def test_who_is_given_a_share_reads_it_in_the_feed(
    studio: Studio, bob: Guest, tables: Database
) -> None:
    bob.sign_in()
    studio.share(kind="person", mode="view", who=bob.name)
    async with tables.reading() as session:
        lines = await session.scalars(
            select(Notification).where(Notification.person_id == bob.person_id)
        )
        [line] = list(lines)
    assert line.title == f"{studio.owner.name} shares {WORKSPACE} with you"
    assert line.link == studio.base
    [seen] = bob.api("GET", "shares").json()
    assert (seen["owner"], seen["mode"], seen["ready"]) == (studio.owner.name, "view", True)


@pytest.mark.parametrize(
    ("wanted", "status", "words"),
    [
        ({"kind": "person", "mode": "view", "who": "nobody-here"}, 404, "There is nobody called"),
        ({"kind": "group", "mode": "view", "who": "not-mine"}, 404, "You are in no group"),
        ({"kind": "link", "mode": "view", "hours": 24 * 8}, 400, "at most 7 days"),
        ({"kind": "person", "mode": "rule", "who": "x"}, 422, "mode"),
    ],
)
async def test_what_cannot_be_shared_is_said_in_words(
    studio: Studio, wanted: dict[str, object], status: int, words: str
) -> None:
    answer = studio.owner.api("POST", f"workspaces/{WORKSPACE}/shares", wanted)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


async def test_the_same_is_said_on_the_page(studio: Studio) -> None:
    form = {"with": "person", "person": "nobody-here", "mode": "view", "hours": "1"}
    page = studio.owner.post(f"workspaces/{WORKSPACE}/sharing", form)
    assert page.status_code == 404
    assert "There is nobody called" in page.text
    assert 'value="nobody-here"' in page.text


async def test_the_hub_itself_lets_nobody_share_around_the_portal(
    studio: Studio, bob: Guest
) -> None:
    owner = studio.owner
    bob.sign_in()
    home = owner.client.get("/hub/home")
    xsrf = owner.client.cookies.get("_xsrf", path="/hub/") or ""
    answer = owner.client.post(
        f"/hub/api/shares/{owner.name}/{WORKSPACE}",
        json={"user": bob.name},
        headers={"X-XSRFToken": xsrf, "Referer": str(home.url)},
    )
    assert answer.status_code in (403, 404), answer.text
    assert bob.name not in studio.hub.shares(owner, WORKSPACE)


async def test_a_link_survives_the_sign_in_only_in_the_browser(studio: Studio) -> None:
    page = studio.owner.client.get(f"{PORTAL}join")
    assert page.status_code == 200
    assert "Join a workspace" in page.text


async def test_where_sharing_is_switched_off_it_says_so(studio: Studio, tables: Database) -> None:
    try:
        async with tables.session() as session:
            await settings.write(session, LimitsSettings(shares_per_workspace=0), by="tests")
        refused = studio.owner.api(
            "POST", f"workspaces/{WORKSPACE}/shares", {"kind": "link", "mode": "view"}
        )
        assert (refused.status_code, "switched off" in refused.json()["detail"]) == (403, True)
        page = studio.owner.get(f"workspaces/{WORKSPACE}/sharing")
        assert "Sharing is switched off here." in page.text
    finally:
        async with tables.session() as session:
            await settings.write(session, LimitsSettings(), by="tests")


async def test_nobody_makes_shares_without_end(studio: Studio, tables: Database) -> None:
    async with tables.session() as session:
        for _ in range(200):
            session.add(
                WorkspaceShare(
                    owner_id=studio.owner.person_id,
                    workspace="gone",
                    kind="link",
                    mode="view",
                    ended_at=now(),
                )
            )
    refused = studio.owner.api(
        "POST", f"workspaces/{WORKSPACE}/shares", {"kind": "link", "mode": "view"}
    )
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3600")
    async with tables.session() as session:
        await session.execute(delete(WorkspaceShare).where(WorkspaceShare.workspace == "gone"))


async def test_jupyterlab_offers_no_link_with_the_owners_token(studio: Studio) -> None:
    page = studio.of(studio.owner).enter()
    found = re.search(
        r'id="jupyter-config-data" type="application/json">(.*?)</script>', page.text, re.S
    )
    assert found
    assert (
        "@jupyter/collaboration-extension:shared-link" in json.loads(found[1])["disabledExtensions"]
    )
