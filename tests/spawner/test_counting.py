"""What is counted, and when: on the local backend, with real folders and the sidecars' program."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from petrihub_core.database import migrate
from petrihub_core.errors import Unavailable
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.places import Kind, external, usage, usages
from petrihub_core.records import Person
from petrihub_core.storage_records import StorageUsage
from petrihub_spawner.contract import NOTED
from petrihub_spawner.counting import EVERY, Counting, answered, make_meter
from petrihub_spawner.foundation import lay


@pytest.fixture
async def counting(deployment):
    await migrate(deployment.database_url)
    foundation = lay(deployment, "boot")
    async with foundation.database.session() as session:
        for name in ("ada", "bob"):
            session.add(Person(id=name, issuer=LOCAL_ISSUER, subject=name, username=name))
            (deployment.homes / name).mkdir(parents=True)
    (deployment.homes / "ada/notes.txt").write_text("42")
    yield Counting(foundation, make_meter(foundation))
    await foundation.database.close()


def home(counting, person):
    return external(counting.foundation.deployment.id, Kind.HOME, person)


async def row(counting, person):
    async with counting.foundation.database.reading() as session:
        return await usage(session, Kind.HOME, person)


async def age(counting, by):
    """As if everything had been counted this long ago."""
    counting._tried.clear()
    async with counting.foundation.database.session() as session:
        for each in await session.scalars(select(StorageUsage)):
            each.counted_at -= by


async def test_homes_are_counted_once_until_they_are_used(counting, local_bench):
    assert sorted(await counting.round()) == sorted(home(counting, p) for p in ("ada", "bob"))
    ada = await row(counting, "ada")
    assert (ada.files, ada.size_bytes > 0, ada.partial, ada.in_use) == (1, True, False, False)
    await age(counting, EVERY)
    assert await counting.round() == []
    pod = local_bench.pod("ada", "study")
    await local_bench.runner.start(pod, NOTED)
    assert await counting.round() == [home(counting, "ada")]
    assert (await row(counting, "ada")).in_use
    assert await counting.round() == []
    await local_bench.runner.stop(pod.ref, grace=5, journal=NOTED)
    await age(counting, EVERY)
    assert await counting.round() == [home(counting, "ada")]
    assert not (await row(counting, "ada")).in_use
    await age(counting, timedelta(days=1))
    assert len(await counting.round()) == 2


async def test_what_is_not_there_any_more_is_not_shown(counting, deployment):
    await counting.round()
    (deployment.homes / "bob").rmdir()
    await counting.round()
    async with counting.foundation.database.reading() as session:
        assert set(await usages(session, Kind.HOME, ["ada", "bob"])) == {"ada"}
    deployment.homes.rename(deployment.state / "elsewhere")
    assert await counting.round() == []
    assert await row(counting, "ada") is not None


async def test_a_link_in_the_place_of_a_home_is_no_home(counting, deployment, tmp_path: Path):
    """A38: and a folder that belongs to nobody is nobody's."""
    (deployment.homes / "bob").rmdir()
    (deployment.homes / "bob").symlink_to(tmp_path)
    (deployment.homes / "stranger").mkdir()
    assert await counting.round() == [home(counting, "ada")]


async def test_a_home_that_cannot_be_counted_waits_and_keeps_nobody(counting):
    class Broken:
        async def places(self):
            return {home(counting, person): False for person in ("ada", "bob")}

        async def count(self, place):
            self.asked = [*getattr(self, "asked", []), place]
            if place == home(counting, "ada"):
                raise Unavailable("It cannot be read.")
            return answered('{"size_bytes": 1, "files": 1, "partial": true}')

    counting.meter = Broken()
    assert await counting.round() == [home(counting, "bob")]
    assert await counting.round() == []
    assert len(counting.meter.asked) == 2
    assert await row(counting, "ada") is None
    assert (await row(counting, "bob")).partial


@pytest.mark.parametrize(
    "said", ["", "{}", "[]", '{"size_bytes": -1, "files": 0, "partial": false}']
)
def test_an_answer_that_is_none_is_refused(said: str):
    with pytest.raises(Unavailable, match=r"Nothing was counted\. It ran out of memory\."):
        answered(said, "It ran out of memory.")
