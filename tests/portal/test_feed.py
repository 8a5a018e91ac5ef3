"""The feed: newest first, read or not, told once, never more than is kept."""

from petrihub_core import feed
from petrihub_core.database import Database
from petrihub_core.feed import KEPT, Kind, Line
from petrihub_core.people import LOCAL_ISSUER, person_for

from tests.portal.guests import Guest


async def told(tables: Database, guest: Guest, *titles: str, link: str = "/hub/token") -> None:
    for title in titles:
        async with tables.session() as session:
            line = Line(kind=Kind.GRANTED, title=title, text="Because.", link=link)
            await feed.tell(session, guest.person_id, line)


def unread(guest: Guest) -> int:
    number: int = guest.api("GET", "feed").json()["unread"]
    return number


async def test_lines_come_newest_first_with_their_number_on_the_bell(
    guest: Guest, tables: Database
) -> None:
    assert "Nothing has happened yet" in guest.get("feed").text
    await told(tables, guest, "first", "second <b>", "third")
    page = guest.get("feed").text
    assert page.index("third") < page.index("second &lt;b&gt;") < page.index("first")
    assert "Notifications, 3 unread" in page
    answer = guest.api("GET", "feed?limit=2&offset=1").json()
    assert [line["title"] for line in answer["lines"]] == ["second <b>", "first"]
    assert (answer["total"], answer["unread"]) == (3, 3)


async def test_following_a_line_marks_it_as_read(guest: Guest, tables: Database) -> None:
    await told(tables, guest, "one", "two")
    line = guest.api("GET", "feed").json()["lines"][0]
    answer = guest.post("feed/read", {"id": line["id"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/token")
    assert unread(guest) == 1
    guest.post("feed/read")
    assert unread(guest) == 0


async def test_a_line_never_leads_to_another_site(guest: Guest, tables: Database) -> None:
    for link in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1"):
        await told(tables, guest, "bad", link=link)
        line = guest.api("GET", "feed").json()["lines"][0]
        answer = guest.post("feed/read", {"id": line["id"]})
        assert answer.headers["location"] == "/services/portal/feed"


async def test_somebody_elses_lines_are_not_mine_to_read(
    guest: Guest, boss: Guest, tables: Database
) -> None:
    await told(tables, guest, "private words")
    [line] = guest.api("GET", "feed").json()["lines"]
    assert "private words" not in boss.get("feed").text
    assert boss.api("POST", "feed/read", {"ids": [line["id"]]}).json() == {"marked": 0}
    boss.post("feed/read", {"id": line["id"]})
    assert unread(guest) == 1
    assert guest.api("POST", "feed/read", {"ids": [line["id"]]}).json() == {"marked": 1}


async def test_old_lines_are_forgotten_and_a_key_counts_once(database: Database) -> None:
    async with database.session() as session:
        ada = await person_for(session, LOCAL_ISSUER, "a", username="ada")
        bob = await person_for(session, LOCAL_ISSUER, "b", username="bob")
        await feed.tell(session, bob.id, Line(kind=Kind.FAILED, title="bob's", key="k"))
        for number in range(KEPT + 20):
            await feed.tell(session, ada.id, Line(kind=Kind.FAILED, title=str(number)))
        await feed.tell(session, bob.id, Line(kind=Kind.FAILED, title="again", key="k"))
    from petrihub_portal.feeds import count, lines_of

    async with database.reading() as session:
        assert await count(session, ada) == KEPT
        [newest, *_] = await lines_of(session, ada, limit=1, offset=0)
        assert newest.title == str(KEPT + 19)
        assert [line.title for line in await lines_of(session, bob, limit=9, offset=0)] == ["bob's"]
