"""A real hub with LocalWorkspaceSpawner: what a person sees of starts, refusals and failures."""

import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from petrihub_core import settings
from petrihub_core.menu import MenuSettings, menu_in_file
from petrihub_core.people import by_username
from petrihub_core.records import Group, GroupMember
from petrihub_core.settings.pages import MaintenanceSettings, SiteSettings
from petrihub_spawner.contract import ask

FORGED = [
    ({"privileged": True}, "'privileged'"),
    ({"profile": "notebooks", "binds": {"/": "/host"}}, "'binds'"),
    ({"image": "evil"}, "'image'"),
    ({"env": {"LD_PRELOAD": "/x"}}, "'env'"),
    ({"LD_PRELOAD": "/x", "profile": "notebooks"}, "belong to PetriHub"),
    ({"profile": ["notebooks"]}, "must be a word"),
    ({"profile": {"a": {"b": {}}}}, "must be a word"),
    ({"profile": "n" * 100_000}, "too long"),
]
NOT_OFFERED = [
    ({"profile": "gpu-farm"}, "no profile 'gpu-farm'"),
    ({"profile": "notebooks", "size": "large"}, "no size 'large'"),
    ({"profile": "notebooks\nX=1"}, "no profile"),
    (
        {"profile": "bio-studio"},
        "Bio studio is for the group Imaging. You can ask to join. Ask it@",
    ),
    ({"profile": "notebooks", "size": "medium"}, "Medium is for the group Imaging."),
]


@pytest.fixture
def begun(hub, studio):
    """Begins a start that is not over before its progress is asked for; all that is told of it."""

    async def begin():
        (studio / "mode").write_text("held")
        (studio / "go").write_text("")
        assert (await hub.begin("ada", "study")).status_code in (201, 202)
        return await hub.events(
            "ada", "study", heard=lambda: (studio / "go").write_text("everybody")
        )

    return begin


async def test_a_person_starts_and_stops_a_workspace(hub, begun):
    events = await begun()
    assert [event.get("stage") for event in events][1:-1] == [
        "queued",
        "preparing",
        "preparing",
        "starting",
        "ready",
    ]
    assert all("message" in event for event in events)
    assert events[-1]["ready"]
    server = await hub.server("ada", "study")
    assert server["ready"]
    await hub.stop("ada", "study")
    assert await hub.runner().find() == []
    assert await hub.foundation.intents.open_intents() == []
    assert await hub.foundation.intents.start_seconds("notebooks", "small") is not None


async def test_the_second_start_tells_how_long_it_usually_takes(hub, begun):
    await hub.ready("ada", "study")
    await hub.stop("ada", "study")
    events = await begun()
    assert any("usually about" in event["message"] for event in events)


async def test_forged_choices_are_refused_in_words_and_nothing_starts(hub):
    for options, words in FORGED:
        answer = await hub.begin("ada", "study", options)
        assert answer.status_code == 400, options
        assert words in answer.json()["message"]
    assert await hub.foundation.intents.open_intents() == []
    assert await hub.runner().find() == []
    # the unnamed server is not offered, and a name that would change is not taken
    assert "name of its own" in (await hub.ask("POST", "users/ada/server")).json()["message"]
    await hub.ready("ada", "study")


async def refusal(hub, options=None):
    """The words of a start that the menu or a maintenance refuses."""
    await hub.begin("ada", "study", options)
    return (await hub.events("ada", "study"))[-1]


def for_imaging(menu):
    """The same menu, with the bio studio and the medium size for one group only."""
    closed = {"groups": ("imaging",)}
    return MenuSettings(
        sizes=tuple(s.model_copy(update=closed) if s.id == "medium" else s for s in menu.sizes),
        profiles=tuple(
            p.model_copy(update=closed) if p.id == "bio-studio" else p for p in menu.profiles
        ),
    )


async def test_what_is_not_offered_is_refused_with_whom_to_ask_and_nothing_starts(hub):
    async with hub.foundation.database.session() as session:
        session.add(Group(name="imaging", title="Imaging"))
        await settings.write(session, for_imaging(menu_in_file(hub.deployment)), by="boss")
        await settings.write(session, SiteSettings(contact="it@lab.example"), by="boss")
    for options, words in NOT_OFFERED:
        failed = await refusal(hub, options)
        assert words in failed["message"], options
    assert await hub.foundation.intents.open_intents() == []
    assert await hub.runner().find() == []
    async with hub.foundation.database.session() as session:
        person = await by_username(session, "ada")
        group = await session.scalar(select(Group))
        session.add(GroupMember(group_id=group.id, person_id=person.id))
    await hub.begin("ada", "study", {"profile": "bio-studio", "size": "medium"})
    assert (await hub.events("ada", "study"))[-1].get("ready")


async def test_in_a_maintenance_nothing_starts_and_what_runs_is_kept(hub):
    await hub.ready("ada", "kept")
    until = datetime(2031, 5, 4, 14, 30, tzinfo=UTC)
    async with hub.foundation.database.session() as session:
        closed = MaintenanceSettings(on=True, until=until, message="New disks.")
        await settings.write(session, closed, by="boss")
    failed = await refusal(hub)
    assert (
        "during the maintenance. New disks. It is expected to end on 4 May, 14:30 UTC."
        in (failed["message"])
    )
    assert (await hub.server("ada", "kept"))["ready"]
    await hub.kill()
    await hub.start()
    await hub.settled()
    assert (await hub.server("ada", "kept"))["ready"]
    assert "maintenance" in (await refusal(hub))["message"]
    async with hub.foundation.database.session() as session:
        await settings.write(session, MaintenanceSettings(), by="boss")
    await hub.ready("ada", "study")


async def test_a_failing_start_names_stage_reason_and_log_and_can_be_tried_again(hub, studio):
    cases = {"broken": "exit code 3", "full": "The disk is full"}
    for mode, words in cases.items():
        (studio / "mode").write_text(mode)
        await hub.begin("ada", "study")
        failed = (await hub.events("ada", "study"))[-1]
        assert failed["failed"]
        assert "Failed while starting" in failed["message"]
        assert words in failed["message"]
        assert "<details>" in failed["html_message"]
        assert "<b>" not in failed["html_message"]
        assert await hub.runner().find() == []
        assert await hub.foundation.intents.open_intents() == []
    (studio / "mode").write_text("")
    await hub.ready("ada", "study")


async def test_jupyterlab_itself_starts_survives_the_hub_and_stops(new_hub, deployment):
    deployment.environments.mkdir()
    (deployment.environments / "studio").symlink_to(sys.prefix)
    hub = await new_hub(deployment)
    await hub.start()
    await hub.begin("ada", "study")
    events = await hub.events("ada", "study")
    assert events[-1].get("ready"), events
    (main, *_) = await hub.runner().find()
    address = (await hub.runner().look(main.ref)).address
    await hub.kill()
    assert "version" in await ask(address, "user/ada/study/api")
    await hub.start()
    await hub.settled()
    assert (await hub.server("ada", "study"))["ready"]
    await hub.stop("ada", "study")
    assert await hub.runner().find() == []
    # asked to end, it ended by itself: nothing was killed
    assert "received signal 15" in await hub.runner().log_tail(main.ref)
