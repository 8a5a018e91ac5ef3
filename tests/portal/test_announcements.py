"""Announcements and maintenance: who may, and what people read, here and on the hub's pages."""

import time
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.records import Announcement, AuditRow, now

from tests.portal.conftest import AddPerson
from tests.portal.guests import Guest, Site

EVIL = "{{ 7 * 7 }} <script>alert(1)</script> the disk is full"
SHOWN = "{{ 7 * 7 }} &lt;script&gt;alert(1)&lt;/script&gt; the disk is full"


def hub_page_with(site: Site, words: str) -> str:
    """The sign-in page, as soon as it says so; the hub looks every five seconds."""
    text = ""
    for _ in range(80):
        text = httpx.get(f"{site.url}/hub/login").text
        if words in text:
            return text
        time.sleep(0.25)
    raise AssertionError(text)


async def test_an_announcement_is_text_on_every_page_until_it_ends(
    site: Site, add_person: AddPerson, guest: Guest, tables: Database
) -> None:
    admin = await add_person("content-admin")
    made = admin.api("POST", "announcements", {"text": EVIL, "level": "warning"})
    assert (made.status_code, made.json()["state"]) == (201, "shown")
    place = f"announcements/{made.json()['id']}"
    assert SHOWN in guest.get("/").text
    assert "<script>alert" not in hub_page_with(site, SHOWN)
    assert admin.api("PUT", place, {"text": "All is well."}).json()["text"] == "All is well."
    assert admin.api("POST", f"{place}/end").json()["state"] == "ended"
    again = admin.api("POST", f"{place}/end")
    assert (again.status_code, again.json()["hint"]) == (409, "Make a new one.")
    assert "All is well." not in guest.get("/").text
    async with tables.reading() as session:
        rows = await session.scalars(
            select(AuditRow.action).where(AuditRow.target == made.json()["id"])
        )
        assert sorted(rows) == ["announcement.edited", "announcement.ended", "announcement.made"]


async def test_an_announcement_for_later_is_not_shown_before(
    add_person: AddPerson, guest: Guest, tables: Database
) -> None:
    admin = await add_person("content-admin")
    fields = {"text": "Closed on Friday.", "starts_at": "2040-05-01T08:00", "ends_at": ""}
    assert admin.post("admin/announcements", fields).status_code == 303
    assert "Closed on Friday." not in guest.get("/").text
    listed = admin.get("admin/announcements").text
    assert "Planned" in listed, listed
    async with tables.session() as session:
        row = await session.scalar(
            select(Announcement).where(Announcement.text == "Closed on Friday.")
        )
        assert row is not None
        row.starts_at = now() - timedelta(minutes=1)
        row.ends_at = now() + timedelta(minutes=1)
    assert "Closed on Friday." in guest.get("/").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "x" * 501}, "between 1 and 500"),
        ({"text": " "}, "between 1 and 500"),
        ({"text": "a\x07b"}, "between 1 and 500"),
        ({"text": "a", "level": "loud"}, "no such level"),
        ({"text": "a", "ends_at": "2001-01-01T00:00"}, "before anybody sees it"),
        ({"text": "a", "starts_at": "tomorrow"}, "not a date with a time"),
    ],
)
def test_a_wrong_announcement_is_refused_in_words_and_what_was_typed_stays(
    boss: Guest, fields: dict[str, str], words: str
) -> None:
    answer = boss.post("admin/announcements", fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert fields["text"].strip()[:20].replace("\x07", "") in answer.text.replace("\x07", "")


async def test_who_may_not_announce_is_refused(add_person: AddPerson, guest: Guest) -> None:
    assert guest.api("POST", "announcements", {"text": "Hi"}).status_code == 403
    assert guest.get("admin/announcements").status_code == 403
    content = await add_person("content-admin")
    assert content.api("PUT", "maintenance", {"on": True}).status_code == 403
    assert "admin/maintenance" not in content.get("admin/announcements").text


async def test_maintenance_counts_down_then_refuses_starts_until_it_is_over(
    site: Site, add_person: AddPerson, guest: Guest
) -> None:
    admin = await add_person("technical-admin")
    try:
        begins = (now() + timedelta(hours=1)).isoformat()
        planned = admin.api("PUT", "maintenance", {"on": True, "begins": begins})
        assert (planned.status_code, planned.json()["begun"]) == (200, False)
        assert "data-ph-countdown" in guest.get("/").text
        version = str(planned.json()["version"])
        fields = {"message": "New <b>disks</b>.", "expected": version, "do": "on"}
        assert admin.post("admin/maintenance", fields).status_code == 303
        stale = admin.post("admin/maintenance", fields)
        assert stale.status_code == 409
        assert "Somebody else saved this page" in stale.text
        banner = guest.get("/").text
        assert "Maintenance is going on." in banner
        assert "New &lt;b&gt;disks&lt;/b&gt;." in banner
        hub_page_with(site, "Maintenance is going on.")
        page = guest.client.get(f"/hub/spawn/{guest.name}/study").text
        assert "No workspace can be started during the maintenance." in page
        form = {"_xsrf": page.split('name="_xsrf" value="')[1].split('"')[0]}
        start = guest.client.post(f"/hub/spawn/{guest.name}/study", data=form)
        assert "Running workspaces are kept" in start.text
    finally:
        over = admin.api("PUT", "maintenance", {"on": False})
    assert over.json()["on"] is False
    assert "Maintenance" not in guest.get("/").text
    page = guest.client.get(f"/hub/spawn/{guest.name}/study").text
    assert "during the maintenance" not in page


def test_a_maintenance_that_ends_before_it_begins_is_refused(boss: Guest) -> None:
    wrong = {"on": True, "begins": "2040-01-02T00:00:00Z", "until": "2040-01-01T00:00:00Z"}
    answer = boss.api("PUT", "maintenance", wrong)
    assert (answer.status_code, answer.json()["hint"]) == (
        400,
        "Choose a later end, or leave it empty.",
    )
