"""Automatic saves that are old go; what somebody uses or has named stays."""

from itertools import pairwise

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_retention import forget_old
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.checkpoints import SYSTEM, State
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.instances import Enrolment, enrol
from petrihub_core.intents import START, Effect, Intents
from petrihub_core.menu import Menu, menu_in_file
from petrihub_core.people import person_for
from petrihub_core.records import Person, now


def saves(owner: Person, workspace: str, count: int, **more: object) -> list[Checkpoint]:
    return [
        Checkpoint(
            owner=owner.id,
            workspace=workspace,
            sequence=number,
            name=f"save {number}",
            author=SYSTEM,
            instance="",
            profile="notebooks",
            size="small",
            base_image="petrihub/base",
            base_digest="sha256:1",
            kind="save",
            state=State.DONE,
            at_stop=True,
            deadline=now(),
            **more,  # type: ignore[arg-type]
        )
        for number in range(1, count + 1)
    ]


async def test_old_saves_go_unless_they_are_named_shared_built_on_or_run(
    database: Database,
) -> None:
    """Each save stands on the one before it, and moves up when that goes."""
    in_file = menu_in_file(Deployment())
    profiles = tuple(each.model_copy(update={"keep_saves": 3}) for each in in_file.profiles)
    menu = Menu(sizes=in_file.sizes, profiles=profiles, version=0)
    async with database.session() as session:
        ada = await person_for(session, "local", "ada", username="ada")
        rows = saves(ada, "study", 10)
        session.add_all([*rows, *saves(ada, "other", 3)])
        await session.flush()
        for below, above in pairwise(rows):
            above.parent_id = below.id
        rows[1].author = "ada"  # her own save, which was carried out at the stop
        mine = saves(ada, "elsewhere", 1)[0]
        mine.author, mine.at_stop, mine.parent_id = "ada", False, rows[3].id
        shared = CheckpointShare(
            checkpoint_id=rows[4].id, owner_id=ada.id, kind="link", mode="read"
        )
        session.add_all([mine, shared])
    effect = Effect(kind=START, workspace=f"{ada.id}/study", owner=ada.id, external={}, plan={})
    start = await Intents(database, "boot").begin(effect, deadline_s=60)
    runs = Enrolment(
        owner=ada.id,
        workspace="study",
        intent=start.id,
        profile="notebooks",
        size="small",
        base_image="petrihub/base",
        base_digest="sha256:1",
        checkpoint_id=rows[5].id,
    )
    async with database.session() as session:
        await enrol(session, runs)

    async with database.session() as session:
        assert await forget_old(session, menu) == 2
        assert await forget_old(session, menu) == 0

    async with database.reading() as session:
        now_there = [await session.get_one(Checkpoint, row.id) for row in rows]
    assert [row.sequence for row in now_there if row.state == State.DELETING] == [3, 7]
    assert now_there[3].parent_id == rows[1].id
    assert now_there[7].parent_id == rows[5].id
