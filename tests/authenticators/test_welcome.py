"""One-time links over HTTP: the first administrator, invitations, new passwords."""

import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from petrihub_authenticators import bootstrap
from petrihub_authenticators.throttle import ACCOUNT, ADDRESS
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.errors import Conflict
from petrihub_core.records import AuditRow

from tests.authenticators.conftest import ANY_PAGE

AddPerson = Callable[..., Awaitable[str]]
PASSWORD = "correct zebra paper clip"
OTHER = "another fine giraffe song"


def told(page: str) -> str:
    found = re.search(r'ph-flash-bad" role="alert">.*?<div>(.*?)</div>', page, re.DOTALL)
    return found[1].strip() if found else ""


async def test_the_first_admin_on_a_hub_of_their_own(story_hub) -> None:
    older = await bootstrap.first_admin_link(story_hub.deployment)
    link = await bootstrap.first_admin_link(story_hub.deployment)
    base, _, code = link.partition("#")
    assert base.endswith("/hub/welcome")
    stale = story_hub.visitor().post("welcome", {"step": "look", "code": older})
    assert stale.status_code == 409
    assert "replaced by a newer one" in told(stale.text)

    boss = story_hub.visitor()
    looked = boss.post("welcome", {"step": "look", "code": code})
    assert looked.status_code == 200
    assert "Become the first administrator" in looked.text
    weak = boss.redeem(code, "Boss", "password123")
    assert weak.status_code == 400
    assert "first that people try" in told(weak.text)
    assert 'value="Boss"' in weak.text
    answer = boss.redeem(code, "Boss")
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/home")
    assert boss.who() == "boss"
    assert 'href="/services/portal/admin"' in boss.get(ANY_PAGE).text

    again = story_hub.visitor().redeem(code, "eve")
    assert again.status_code == 409
    assert "used already" in told(again.text)
    with pytest.raises(Conflict, match="administrator already"):
        await bootstrap.first_admin_link(story_hub.deployment)
    assert code not in story_hub.log
    assert older.partition("#")[2] not in story_hub.log
    assert PASSWORD not in story_hub.log


async def test_two_browsers_with_one_link(hub, invite) -> None:
    code = await invite()
    visitors = [hub.visitor() for _ in range(4)]
    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = list(
            pool.map(lambda pair: pair[1].redeem(code, f"twin{pair[0]}"), enumerate(visitors))
        )
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409]
    assert sum(visitor.who() is not None for visitor in visitors) == 1


async def test_an_invitation_with_a_role(hub, invite) -> None:
    code = await invite(role="user-admin")
    visitor = hub.visitor()
    assert visitor.redeem(code, "grace.hopper").status_code == 303
    assert visitor.who() == "grace.hopper"
    assert 'href="/services/portal/admin"' in visitor.get(ANY_PAGE).text


async def test_a_form_cannot_give_itself_a_role_or_a_name(hub, invite) -> None:
    code = await invite(name="fixed-name")
    visitor = hub.visitor()
    looked = visitor.post("welcome", {"step": "look", "code": code})
    assert re.search(r'value="fixed-name"[^>]*readonly', looked.text)
    form = {
        "step": "join",
        "code": code,
        "username": "root",
        "role": "super-admin",
        "kind": "first-admin",
    }
    answer = visitor.post("welcome", {**form, "password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 303
    assert visitor.who() == "fixed-name"
    assert 'href="/services/portal/admin"' not in visitor.get(ANY_PAGE).text


@pytest.mark.parametrize(
    ("name", "password", "again", "words"),
    [
        ("no spaces", PASSWORD, PASSWORD, "not a usable name"),
        ("", PASSWORD, PASSWORD, "not a usable name"),
        ("x" * 100_000, PASSWORD, PASSWORD, "not a usable name"),
        ("admin", PASSWORD, PASSWORD, "kept for the platform"),
        ("Hub", PASSWORD, PASSWORD, "kept for the platform"),
        ("con", PASSWORD, PASSWORD, "kept for the platform"),
        ("..", PASSWORD, PASSWORD, "not a usable name"),
        ("newcomer", "short", "short", "at least 10"),
        ("newcomer", PASSWORD, OTHER, "not the same"),
        ("newcomer", "x" * 300, "x" * 300, "at most"),
        ("newcomer.long", "newcomer.long", "newcomer.long", "must not be your name"),
    ],
)
async def test_wrong_choices_leave_the_link_open(
    hub, invite, name: str, password: str, again: str, words: str
) -> None:
    code = await invite()
    visitor = hub.visitor()
    form = {"step": "join", "code": code, "username": name, "password": password, "again": again}
    answer = visitor.post("welcome", form)
    assert answer.status_code == 400
    assert words in told(answer.text)
    assert password not in answer.text or password == name
    assert visitor.who() is None
    assert visitor.post("welcome", {"step": "look", "code": code}).status_code == 200


async def test_a_taken_name_is_said_and_another_one_works(hub, invite, researcher: str) -> None:
    code = await invite()
    visitor = hub.visitor()
    taken = visitor.redeem(code, researcher.upper())
    assert taken.status_code == 409
    assert "taken" in told(taken.text)
    assert visitor.redeem(code, f"{researcher}-2").status_code == 303


async def test_wrong_codes_are_refused_counted_and_audited(hub, tables: Database) -> None:
    visitor = hub.visitor()
    answer = visitor.post("welcome", {"step": "look", "code": "wrong"})
    assert answer.status_code == 404
    assert "not known here" in told(answer.text)
    for _ in range(ADDRESS.free - 1):
        assert visitor.redeem("wrong", "eve").status_code == 404
    assert visitor.redeem("wrong", "eve").status_code == 429
    async with tables.session() as session:
        rows = list(await session.scalars(select(AuditRow).where(AuditRow.action == "link.tried")))
        here = [row for row in rows if row.detail["address"] == visitor.address]
        assert len(here) == ADDRESS.free
        assert await audit.verify(session) is None


async def test_without_its_token_nothing_is_redeemed(hub, invite) -> None:
    code = await invite(role="user-admin")
    visitor = hub.visitor()
    visitor.get("welcome")
    form = {"step": "join", "code": code, "username": "mallory"}
    answer = visitor.client.post(
        "/hub/welcome", data={**form, "password": PASSWORD, "again": PASSWORD}
    )
    assert answer.status_code == 403
    assert visitor.post("welcome", {"step": "look", "code": code}).status_code == 200


async def test_a_code_in_the_query_is_not_taken(hub, invite) -> None:
    code = await invite()
    page = hub.visitor().get(f"welcome?code={code}")
    assert code not in page.text


async def test_a_reset_ends_every_other_sign_in_and_token(hub, reset, researcher: str) -> None:
    old = hub.visitor()
    assert old.sign_in(researcher).status_code == 303
    # a note that looks like a workspace's own token
    token = hub.token(researcher, "Server at /user/x/")
    as_script = {"Authorization": f"token {token}"}
    assert hub.visitor().get("api/user", headers=as_script).status_code == 200

    code = await reset(researcher)
    assert old.who() == researcher, "the old sign-in holds until the link is used"
    for _ in range(ACCOUNT.free):
        hub.visitor().sign_in(researcher, "guess")
    fresh = hub.visitor()
    looked = fresh.post("welcome", {"step": "look", "code": code})
    assert "Choose a new password" in looked.text
    answer = fresh.redeem(code, password=OTHER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/home")
    assert fresh.who() == researcher
    assert old.who() is None
    assert hub.visitor().get("api/user", headers=as_script).status_code == 403
    assert hub.visitor().sign_in(researcher, PASSWORD).status_code == 403
    assert hub.visitor().sign_in(researcher, OTHER).status_code == 303
    assert token not in hub.log
    assert OTHER not in hub.log
    assert code not in hub.log


async def test_the_command_line_resets_a_lost_password(hub, researcher: str) -> None:
    link = await bootstrap.reset_link(hub.deployment, researcher)
    visitor = hub.visitor()
    assert visitor.redeem(link, password=OTHER).status_code == 303
    assert visitor.who() == researcher
