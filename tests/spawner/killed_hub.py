"""A hub killed at any step leaves nothing behind once it is back; the same on every backend."""

from petrihub_spawner.contract import ask
from petrihub_spawner.runner import Look


async def look(hub) -> Look:
    """The one workspace that there is outside, as somebody sees it who has just come."""
    runner = hub.runner()
    found = await runner.find()
    assert len({item.ref for item in found}) == 1
    # never two: all that is outside belongs to one start
    assert len({item.intent for item in found}) == 1
    return await runner.look(found[0].ref)


async def come_back(hub) -> None:
    """The next life of the hub, and a round of its reconciler."""
    await hub.start()
    await hub.settled()
    await hub.reconcile()


async def assert_in_order(hub) -> None:
    """Hub and outside agree, no intent is open, and the workspace can be started and reached."""
    await hub.settled()
    assert await hub.foundation.intents.open_intents() == []
    server = await hub.server("ada", "study")
    assert bool(server) == bool(await hub.runner().find())
    if not server:
        await hub.ready("ada", "study")
    seen = await look(hub)
    assert seen.running
    assert await ask(seen.address, "user/ada/study/api")


async def killed_during_a_start(hub, place: str) -> None:
    await hub.start(failpoint=place)
    await hub.begin("ada", "study")
    await hub.died()
    await come_back(hub)
    await assert_in_order(hub)


async def killed_during_a_stop(hub, place: str) -> None:
    await hub.start(failpoint=place)
    await hub.ready("ada", "study")
    await hub.begin_stop("ada", "study")
    await hub.died()
    await come_back(hub)
    assert await hub.runner().find() == []
    assert await hub.server("ada", "study") == {}
    await assert_in_order(hub)


async def killed_beside_a_workspace(hub) -> None:
    """It goes on, and a stop by the later hub still takes its token back (A31)."""
    await hub.ready("ada", "study")
    before = await look(hub)
    token = before.environment["JUPYTERHUB_API_TOKEN"]
    await hub.kill()
    assert await ask(before.address, "api")
    await hub.start()
    await hub.settled()
    assert (await hub.server("ada", "study"))["ready"]
    assert (await look(hub)).address == before.address
    assert not any(vars(await hub.reconcile()).values())
    assert await ask(before.address, "api")
    assert (await hub.as_workspace(token)).status_code == 200
    await hub.stop("ada", "study")
    assert await hub.runner().find() == []
    assert (await hub.as_workspace(token)).status_code == 403
