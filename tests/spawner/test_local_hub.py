"""A real hub with LocalWorkspaceSpawner: what a person sees of starts, refusals and failures."""

import sys

from petrihub_spawner.contract import ask

FORGED = [
    ({"profile": "gpu-farm"}, "no profile 'gpu-farm'"),
    ({"profile": "notebooks", "size": "large"}, "no size 'large'"),
    ({"privileged": True}, "'privileged'"),
    ({"profile": "notebooks", "binds": {"/": "/host"}}, "'binds'"),
    ({"image": "evil"}, "'image'"),
    ({"env": {"LD_PRELOAD": "/x"}}, "'env'"),
    ({"LD_PRELOAD": "/x", "profile": "notebooks"}, "belong to PetriHub"),
    ({"profile": ["notebooks"]}, "must be a word"),
    ({"profile": {"a": {"b": {}}}}, "must be a word"),
    ({"profile": "n" * 100_000}, "too long"),
    ({"profile": "notebooks\nX=1"}, "no profile"),
]


async def test_a_person_starts_and_stops_a_workspace(hub):
    assert (await hub.begin("ada", "study")).status_code in (201, 202)
    events = await hub.events("ada", "study")
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


async def test_the_second_start_tells_how_long_it_usually_takes(hub):
    await hub.ready("ada", "study")
    await hub.stop("ada", "study")
    await hub.begin("ada", "study")
    events = await hub.events("ada", "study")
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
