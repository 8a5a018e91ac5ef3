"""A restart of a workspace that is saved when it stops waits, and goes on from what was saved."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import SAVE, State
from petrihub_core.database import migrate
from petrihub_core.intents import RESTART, START, Effect
from petrihub_core.people import person_for
from petrihub_core.records import IntentRow, new_id, now
from petrihub_spawner.foundation import lay
from petrihub_spawner.restarts import STOPPING, Restarts

CHOICES = {"profile": "notebooks", "size": "small"}


@dataclass
class Hub:
    """Stands for the hub: with what it was asked to start."""

    started: list[dict[str, str]] = field(default_factory=list)

    async def start(self, user, name, options):
        self.started.append(dict(options))
        return ""


@pytest.fixture
async def foundation(deployment):
    await migrate(deployment.database_url)
    made = lay(deployment, "boot")
    yield made
    await made.database.close()


@pytest.fixture
async def ada(foundation):
    """She has a workspace that was ready, and whose restart nobody drives any more."""
    async with foundation.database.session() as session:
        person = await person_for(session, "local", "ada", username="ada")
    key = f"{person.id}/study"
    effect = Effect(kind=START, workspace=key, owner=person.id, external={}, plan={})
    await foundation.intents.finish((await foundation.intents.begin(effect, deadline_s=60)).id)
    return person


async def restart(foundation, person, late: timedelta) -> IntentRow:
    row = IntentRow(
        kind=RESTART,
        workspace=f"{person.id}/study",
        owner=person.id,
        external={"user": "ada", "server": "study", "title": "The study"},
        plan={"options": CHOICES},
        boot="portal",
        step=STOPPING,
        deadline=now() - late,
    )
    async with foundation.database.session() as session:
        session.add(row)
    return row


async def test_it_waits_until_it_is_saved_and_goes_on_from_there(foundation, ada):
    hub, key = Hub(), f"{ada.id}/study"
    restarts = Restarts(foundation.intents, foundation.database, hub)
    row = await restart(foundation, ada, timedelta(0))
    await restarts.go_on({}, {key})
    assert (restarts.waiting, hub.started) == ([key], [])
    saved = Checkpoint(
        id=new_id(),
        owner=ada.id,
        workspace="study",
        sequence=1,
        name="When it stopped",
        author="petrihub",
        instance="i",
        profile="notebooks",
        size="small",
        base_image="petrihub/base",
        base_digest="sha256:1",
        kind=SAVE,
        state=State.DONE,
        at_stop=True,
        deadline=now(),
    )
    async with foundation.database.session() as session:
        session.add(saved)
    await restarts.go_on({}, ())
    assert hub.started == [{**CHOICES, "checkpoint": saved.id}]
    assert (await foundation.intents.get(row.id)).state == "done"


async def test_it_is_given_up_in_words_when_it_cannot_be_saved_for_long(foundation, ada):
    row = await restart(foundation, ada, timedelta(hours=1))
    restarts = Restarts(foundation.intents, foundation.database, Hub())
    await restarts.go_on({}, {f"{ada.id}/study"})
    assert "could not be saved yet" in (await foundation.intents.get(row.id)).reason
