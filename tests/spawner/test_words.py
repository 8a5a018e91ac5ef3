"""What a person reads: progress, failures, the start page; and the bounded log behind it."""

import asyncio
import os
from datetime import timedelta

import pytest

from petrihub_core.apps import AppDescriptor
from petrihub_core.database import migrate
from petrihub_core.errors import Unavailable
from petrihub_core.intents import DONE, START
from petrihub_core.menu import Menu, Standing, judge, menu_in_file
from petrihub_core.records import IntentRow, WorkspaceImage, now
from petrihub_spawner.foundation import lay
from petrihub_spawner.offer import make_offer
from petrihub_spawner.progress import Progress
from petrihub_spawner.stages import Stage, StartFailed
from petrihub_spawner.workspace_log import WorkspaceLog, bound_all


async def read(progress):
    return [event async for event in progress.events()]


async def test_progress_only_goes_forward_and_ends():
    progress = Progress()
    progress.queued(8.7)
    for step in ("plan", "objects", "launch", "ready"):
        progress.step(step)
    progress.ready()
    events = await read(progress)
    percents = [event["progress"] for event in events]
    assert percents == sorted(percents)
    assert percents[-1] <= 100
    assert events[0]["message"] == "Waiting for its turn (usually about 9 s)"
    assert events[0]["estimate_seconds"] == 8.7
    assert events[-1]["stage"] == "ready"


async def test_a_reader_who_comes_early_and_one_who_comes_late_read_the_same():
    progress = Progress()
    early = asyncio.create_task(read(progress))
    await asyncio.sleep(0)
    progress.queued(None)
    progress.step("process")
    progress.ready()
    assert await early == await read(progress)


async def test_a_failure_names_stage_reason_next_step_and_shows_the_log_as_text():
    progress = Progress()
    progress.queued(None)
    progress.failed(
        StartFailed(
            "It <ended>.", stage=Stage.STARTING, hint="Try again.", log="<script>alert(1)</script>"
        )
    )
    event = (await read(progress))[-1]
    assert event["failed"]
    assert event["stage"] == "starting"
    assert event["message"] == "Failed while starting: It <ended>. Try again."
    assert "<script>" not in event["html_message"]
    assert "It &lt;ended&gt;." in event["html_message"]
    assert "<details>" in event["html_message"]


async def test_a_failure_without_a_log_has_nothing_to_unfold():
    progress = Progress()
    progress.queued(None)
    progress.failed(Unavailable("The engine is down."))
    event = (await read(progress))[-1]
    assert event["stage"] == "queued"
    assert "<details>" not in event["html_message"]


def test_a_log_is_cut_to_its_end_while_somebody_writes(tmp_path):
    log = WorkspaceLog(tmp_path, "ws")
    descriptor = log.open_fresh()
    os.write(descriptor, b"old line\n" * 1_500_000)
    bound_all(tmp_path)
    os.write(descriptor, b"new line\n")
    os.close(descriptor)
    assert log.path.stat().st_size < 2**20 + 100
    assert log.tail().splitlines()[-1] == "new line"
    assert log.path.stat().st_mode & 0o077 == 0


def test_a_workspace_without_log_has_an_empty_one(tmp_path):
    log = WorkspaceLog(tmp_path, "ws")
    bound_all(tmp_path)
    assert log.tail() == ""


def everything(deployment):
    return judge(menu_in_file(deployment), Standing(), workspaces_per_person=3)


@pytest.fixture
async def foundation(deployment):
    await migrate(deployment.database_url)
    foundation = lay(deployment, "boot")
    yield foundation
    await foundation.database.close()


async def test_the_start_page_says_what_is_missing_and_how_long_it_takes(foundation):
    intents = foundation.intents
    begun = now()
    earlier = IntentRow(
        kind=START,
        workspace="p/w",
        owner="p",
        profile="notebooks",
        size="small",
        boot="boot",
        state=DONE,
        started_at=begun,
        deadline=begun + timedelta(seconds=9),
        ended_at=begun + timedelta(seconds=1),
    )
    async with foundation.database.session() as session:
        session.add(earlier)
    chosen = {"profile": "notebooks", "size": "medium"}
    offered = everything(foundation.deployment)
    offer = await make_offer(foundation.deployment, intents, offered, {}, (), chosen)
    assert (offer.profile, offer.size) == ("notebooks", "medium")
    for profile in offer.profiles:
        tool = profile.id in {"cellxgene", "shiny-explorer"}
        assert ("container of its own" if tool else "not installed") in profile.problem
    assert "advice" in offer.limits_words
    notebooks = next(profile for profile in offer.profiles if profile.id == "notebooks")
    small = next(size for size in notebooks.sizes if size.id == "small")
    assert small.words == "1 CPU core, 2 GiB memory"
    assert small.usual == "usually about 1 s"
    assert notebooks.estimate_seconds == small.estimate_seconds


async def test_on_docker_a_profile_without_image_is_named(foundation):
    deployment = foundation.deployment.model_copy(update={"backend": "docker"})
    image = WorkspaceImage(name="petrihub/base", digest="sha256:1", size_bytes=1)
    images = {"petrihub/base": image}
    offered = everything(deployment)
    offer = await make_offer(
        deployment, foundation.intents, offered, images, (), {"profile": "gone"}
    )
    problems = {profile.id: profile.problem for profile in offer.profiles}
    assert problems["notebooks"] == ""
    assert "petrihub/bio is not built yet" in problems["bio-studio"]
    assert offer.limits_enforced
    assert offer.profile == deployment.profiles[0].id


async def test_what_is_for_others_says_the_rule_and_where_to_ask(foundation, studio):
    file = menu_in_file(foundation.deployment)
    bio = file.profile("bio-studio").model_copy(update={"groups": ("imaging",)})
    notebooks = file.profile("notebooks").model_copy(update={"apps": ("*",)})
    sizes = tuple(
        size.model_copy(update={"groups": ("imaging",)}) if size.id == "medium" else size
        for size in file.sizes
    )
    menu = Menu(sizes=sizes, profiles=(bio, notebooks), app_groups={"shell": ("imaging",)})
    offered = judge(menu, Standing(), workspaces_per_person=3)
    shell = AppDescriptor(id="shell", title="Shell", command=("sh",))
    chosen = {"profile": "bio-studio", "size": "medium"}
    offer = await make_offer(
        foundation.deployment, foundation.intents, offered, {}, (shell,), chosen
    )
    assert (offer.profile, offer.size) == ("notebooks", "small")
    closed, mine = offer.profiles
    assert closed.problem == "Bio studio is for the group imaging. You can ask to join."
    assert closed.ask == "/services/portal/requests/new?kind=group&subject=imaging"
    assert mine.problem == ""
    medium = next(size for size in mine.sizes if size.id == "medium")
    assert medium.ask == "/services/portal/requests/new?kind=size&subject=medium"
    (app,) = mine.apps
    assert app.unavailable == "This app is for the group imaging. You can ask for it."
    assert app.ask.endswith("kind=app&subject=shell")
