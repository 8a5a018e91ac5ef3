"""Requests: asking, answering, and what an answer changes."""

import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from petrihub_core import settings
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Size
from petrihub_core.errors import Conflict, NotAllowed
from petrihub_core.menu import MenuSettings, menu_in_file
from petrihub_core.people import LOCAL_ISSUER, person_for
from petrihub_core.records import (
    Allowance,
    AuditRow,
    Group,
    GroupMember,
    Request,
    SettingsVersion,
    now,
)
from petrihub_core.roles import SUPER_ADMIN, Actor, Permission
from petrihub_core.settings.pages import LimitsSettings
from petrihub_core.settings.store import version_of
from petrihub_portal import asking
from petrihub_portal.wishes import Kind, Wish

from tests.conftest import postgres_database
from tests.portal.conftest import AddPerson
from tests.portal.guests import Guest, Site

HUGE = {"kind": "size", "subject": "huge", "reason": "The atlas has 2 million cells."}


@pytest.fixture
async def menu(site: Site, tables: Database) -> AsyncIterator[None]:
    """A size and an app that only one group has; afterwards the menu is as before."""
    file = menu_in_file(site.deployment)
    huge = Size(id="huge", title="Huge", cpu=32, memory_gib=256, groups=("atlas",))
    notebooks = file.profiles[1]
    wider = notebooks.model_copy(update={"sizes": (*notebooks.sizes, "huge")})
    async with tables.session() as session:
        session.add(Group(name="atlas", title="Atlas makers"))
        saved = MenuSettings(
            sizes=(*file.sizes, huge),
            profiles=(file.profiles[0], wider),
            app_groups={"igv": ("atlas",)},
        )
        await settings.write(session, saved, by="tests")
    yield
    async with tables.session() as session:
        await session.execute(delete(SettingsVersion).where(SettingsVersion.page == "menu"))
        await session.execute(delete(Group).where(Group.name == "atlas"))


@dataclass
class Asked:
    id: str
    guest: Guest


def ask(guest: Guest, body: dict[str, str]) -> Asked:
    answer = guest.api("POST", "requests", body)
    assert answer.status_code == 201, answer.text
    return Asked(answer.json()["id"], guest)


def right(guest: Guest, part: str, title: str) -> dict[str, object]:
    """One line of the page of rights."""
    rights = guest.api("GET", "rights").json()[part]
    found: dict[str, object] = next(each for each in rights if each["title"] == title)
    return found


def feed(guest: Guest) -> list[str]:
    return [line["title"] for line in guest.api("GET", "feed").json()["lines"]]


async def actions(tables: Database, request: Asked) -> list[tuple[str, str]]:
    async with tables.reading() as session:
        rows = await session.execute(
            select(AuditRow.actor, AuditRow.action)
            .where(AuditRow.target == f"{request.guest.name}/{request.id}")
            .order_by(AuditRow.seq)
        )
        return [(row.actor, row.action) for row in rows]


async def test_a_bigger_size_is_asked_for_approved_and_prolonged(
    menu: None, guest: Guest, boss: Guest, tables: Database
) -> None:
    refused = right(guest, "sizes", "Huge")
    assert refused["refusal"] == "Huge is for the group Atlas makers. You can ask for it."
    assert "kind=size&amp;subject=huge" in guest.get("rights").text
    form = guest.get("requests/new?kind=size&subject=huge").text
    assert re.search(r'value="size:huge" selected', form)

    request = ask(guest, HUGE)
    assert f"{guest.name} asks for the size Huge" in feed(boss)
    assert "2 million cells" in boss.get("admin/requests").text
    tomorrow = (now() + timedelta(days=1)).date()
    answer = boss.post(
        f"admin/requests/{request.id}", {"answer": "approve", "until": f"{tomorrow}", "words": ""}
    )
    assert answer.status_code == 303
    given = right(guest, "sizes", "Huge")
    assert given["refusal"] == ""
    assert str(given["until"]).startswith(f"{tomorrow}T23:59:59")
    assert feed(guest)[0] == "You now have the size Huge"
    assert boss.api("GET", "feed").json()["lines"][0]["read_at"], "settled for all who were told"
    assert await actions(tables, request) == [
        (guest.name, "request.asked"),
        (boss.name, "request.approved"),
    ]

    wish = given["wish"]
    assert isinstance(wish, dict)
    assert wish["title"] == "more time with the size Huge"
    more = ask(guest, {"kind": "time", "subject": wish["subject"], "reason": "Not done yet."})
    assert boss.api("POST", f"admin/requests/{more.id}/answer", {"approve": True}).is_success
    assert right(guest, "sizes", "Huge")["until"] is None
    async with tables.reading() as session:
        held = await session.scalars(
            select(Allowance).where(Allowance.person_id == guest.person_id)
        )
        assert len(list(held)) == 1, "prolonged, not given twice"


async def test_declining_needs_words_and_they_arrive(
    menu: None, guest: Guest, boss: Guest, tables: Database
) -> None:
    request = ask(guest, {**HUGE, "kind": "app", "subject": "igv"})
    silent = boss.post(f"admin/requests/{request.id}", {"answer": "decline", "words": " "})
    assert silent.status_code == 400
    assert "The answer is missing" in silent.text
    past = boss.post(
        f"admin/requests/{request.id}", {"answer": "approve", "until": "2020-01-01", "words": "ok"}
    )
    assert "lies in the past" in past.text
    answer = boss.post(
        f"admin/requests/{request.id}", {"answer": "decline", "words": "Use JBrowse <please>."}
    )
    assert answer.status_code == 303
    page = guest.get("requests").text
    assert "Declined" in page
    assert "Use JBrowse &lt;please&gt;." in page
    assert feed(guest) == ["Your request for the app IGV was declined"]
    assert right(guest, "apps", "IGV")["refusal"]
    assert (await actions(tables, request))[-1] == (boss.name, "request.declined")


async def test_joining_a_group_opens_what_is_for_the_group(
    menu: None, guest: Guest, boss: Guest
) -> None:
    assert right(guest, "groups", "Atlas makers")["refusal"] == "You are not in this group."
    request = ask(guest, {**HUGE, "kind": "group", "subject": "atlas"})
    assert boss.api("POST", f"admin/requests/{request.id}/answer", {"approve": True}).is_success
    assert right(guest, "groups", "Atlas makers")["refusal"] == ""
    assert right(guest, "sizes", "Huge")["refusal"] == ""


async def test_of_two_who_answer_at_once_one_wins_and_the_other_is_told(
    menu: None, guest: Guest, boss: Guest, add_person: AddPerson
) -> None:
    other = await add_person(SUPER_ADMIN)
    request = ask(guest, HUGE)
    for admin in (boss, other):
        admin.get("/")
    bodies = ({"approve": True}, {"approve": False, "words": "No machine is that big."})
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(admin.api, "POST", f"admin/requests/{request.id}/answer", body)
            for admin, body in zip((boss, other), bodies, strict=True)
        ]
        answers = [call.result() for call in calls]
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [lost] = [answer.json() for answer in answers if answer.status_code == 409]
    assert "has answered this request already" in lost["detail"]
    assert len(feed(guest)) == 1


async def test_what_is_not_to_be_asked_for_is_refused_in_words(
    menu: None, guest: Guest, tables: Database
) -> None:
    for kind, subject in (
        ("size", "small"),
        ("size", "none"),
        ("group", "secret"),
        ("time", "0" * 32),
    ):
        answer = guest.api("POST", "requests", {**HUGE, "kind": kind, "subject": subject})
        assert (answer.status_code, "cannot be asked for" in answer.text) == (400, True)
    silent = guest.post("requests/new", {"wish": "size:huge", "reason": " "})
    assert "The reason is missing" in silent.text
    request = ask(guest, HUGE)
    twice = guest.api("POST", "requests", HUGE)
    assert (twice.status_code, "already" in twice.json()["detail"]) == (409, True)
    async with tables.session() as session:
        before = await version_of(session, LimitsSettings)
        await settings.write(session, LimitsSettings(requests_open=1), by="tests")
    try:
        full = guest.api("POST", "requests", {**HUGE, "kind": "app", "subject": "igv"})
        assert (full.status_code, "as many as one person may" in full.text) == (409, True)
    finally:
        async with tables.session() as session:
            await session.execute(
                delete(SettingsVersion).where(
                    SettingsVersion.page == "limits", SettingsVersion.version > before
                )
            )
    assert guest.api("DELETE", f"requests/{request.id}").status_code == 204
    assert "Taken back" in guest.get("requests").text
    ask(guest, HUGE)


async def test_requests_are_private_and_only_who_may_answers(
    menu: None, guest: Guest, boss: Guest, add_person: AddPerson
) -> None:
    request = ask(guest, HUGE)
    stranger = await add_person("content-admin")
    assert stranger.get("admin/requests").status_code == 403
    answer = stranger.api("POST", f"admin/requests/{request.id}/answer", {"approve": True})
    assert answer.status_code == 403
    assert stranger.api("DELETE", f"requests/{request.id}").status_code == 404
    assert stranger.api("GET", "requests").json() == {"requests": []}
    assert not any("asks for" in title for title in feed(stranger))
    late = boss.api("POST", "admin/requests/none/answer", {"approve": True})
    assert late.status_code == 404
    assert guest.api("DELETE", f"requests/{request.id}").status_code == 204
    gone = boss.api("POST", f"admin/requests/{request.id}/answer", {"approve": True})
    assert (gone.status_code, "taken back" in gone.json()["detail"]) == (409, True)


async def test_nobody_gives_by_an_answer_what_they_may_not_give(database: Database) -> None:
    actor = Actor("limited", frozenset({Permission.REQUESTS_ANSWER}))
    async with database.session() as session:
        ada = await person_for(session, LOCAL_ISSUER, "a", username="ada")
        group = Group(name="atlas", title="Atlas")
        session.add(group)
        wish = Wish(kind=Kind.GROUP, subject="atlas", title="the group Atlas")
        request = await asking.ask(session, Actor("ada"), ada, wish, "I join the atlas.")
    with pytest.raises(NotAllowed):
        async with database.session() as session:
            await asking.answer(session, actor, request.id, asking.Answer(approve=True), "it")
    async with database.reading() as session:
        assert (await session.get_one(Request, request.id)).state == "open"
        assert await session.get(GroupMember, (group.id, ada.id)) is None


@pytest.mark.postgres
async def test_an_answer_looks_at_the_request_as_it_is_now(postgres: str) -> None:
    """Not as the page saw it some moments before; on SQLite there are no two at once."""
    url = await postgres_database(postgres)
    await migrate(url)
    database = Database.open(url)
    boss = Actor("boss", frozenset(Permission))
    async with database.session() as session:
        ada = await person_for(session, LOCAL_ISSUER, "a", username="ada")
        wish = Wish(kind=Kind.SIZE, subject="huge", title="the size Huge")
        request = await asking.ask(session, Actor("ada"), ada, wish, "I need it.")
    async with database.session() as late:
        seen = await late.get_one(Request, request.id)
        assert seen.state == "open"
        async with database.session() as quick:
            declined = asking.Answer(approve=False, words="No machine is that big.")
            await asking.answer(quick, boss, request.id, declined, "it")
        with pytest.raises(Conflict, match="boss has answered this request already"):
            await asking.answer(late, boss, request.id, asking.Answer(approve=True), "it")
    await database.close()
