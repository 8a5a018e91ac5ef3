"""Storage on the pages and in the API of a deployment whose workspaces are processes."""

from datetime import timedelta

import pytest

from petrihub_core.database import Database
from petrihub_core.places import Kind
from petrihub_core.records import now
from petrihub_core.storage_records import StorageUsage

from tests.portal.guests import Guest, Site


@pytest.fixture
async def counted(guest: Guest, site: Site, tables: Database) -> Guest:
    """Somebody whose home was counted five minutes ago."""
    (site.deployment.homes / guest.person_id).mkdir(parents=True)
    async with tables.session() as session:
        session.add(
            StorageUsage(
                kind=Kind.HOME,
                subject=guest.person_id,
                size_bytes=1_234_567_890,
                files=20_431,
                counted_at=now() - timedelta(minutes=5),
            )
        )
    return guest


async def test_how_much_is_in_a_home_is_shown(counted: Guest, boss: Guest, tables: Database):
    assert "1.2 GB in 20,431 files, counted <time" in counted.get("").text
    assert "1.2 GB" in boss.get(f"admin/people?search={counted.name}").text
    assert "1.2 GB in 20,431 files" in boss.get(f"admin/people/{counted.name}").text
    used = boss.api("GET", f"people/{counted.name}").json()["used"]
    assert (used["size_bytes"], used["files"], used["partial"]) == (1_234_567_890, 20_431, False)
    async with tables.session() as session:
        (await session.get_one(StorageUsage, (Kind.HOME, counted.person_id))).partial = True
    assert "more than 1.2 GB" in counted.get("").text


def test_what_was_never_counted_says_so(guest: Guest, boss: Guest) -> None:
    places = guest.api("GET", "my/storage").json()["places"]
    assert [(each["kind"], each["path"], each["used"]) for each in places] == [("home", "~", None)]
    assert boss.api("GET", f"people/{guest.name}").json()["used"] is None
    assert "not counted yet" in boss.get(f"admin/people/{guest.name}").text


def test_a_group_without_containers_says_why_it_has_no_folder(guest: Guest, boss: Guest) -> None:
    name = f"g{boss.name}"
    boss.api("POST", "groups", {"name": name, "title": "Imaging"})
    boss.api("PUT", f"groups/{name}/members/{guest.name}")
    words = "Shared folders need the Docker backend."
    assert words in guest.get(f"groups/{name}").text
    assert words in boss.get(f"admin/groups/{name}").text
    assert "shared folder" not in boss.get(f"admin/groups/{name}/delete").text
    assert boss.api("DELETE", f"groups/{name}").status_code == 204
    assert boss.api("GET", "storage/kept").json() == {"items": []}
    assert guest.api("GET", "storage/kept").status_code == 403
