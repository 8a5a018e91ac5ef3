"""Workspaces that take all they can get: the disk is bounded, and the hub goes first."""

import asyncio
from contextlib import suppress

import psutil

from petrihub_spawner.contract import ask, started, until
from petrihub_spawner.reconcile import keep_logs_bounded
from petrihub_spawner.workspace_log import _KEPT, _LIMIT, WorkspaceLog


async def test_a_flooded_log_is_cut_again_and_again_and_the_hub_answers(hub):
    await hub.ready("ada", "study")
    (main, *_) = await hub.runner().find()
    address = (await hub.runner().look(main.ref)).address
    log = WorkspaceLog(hub.deployment.logs, main.ref.name)
    keeping = asyncio.create_task(keep_logs_bounded(hub.deployment.logs))
    for _ in range(4):
        await ask(address, "flood", mib=12)
        assert (await hub.ask("GET", "users")).status_code == 200

        async def cut() -> bool:
            return _KEPT <= log.path.stat().st_size < _LIMIT  # and whole again

        await until(cut)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    assert "of no use to anybody" in log.tail()
    await hub.stop("ada", "study")


async def test_a_workspace_yields_to_the_hub(local_bench):
    pod = local_bench.pod("ada", "study")
    await started(local_bench, pod)
    (main,) = await local_bench.runner.find(pod.ref)
    assert psutil.Process(int(main.handle.split("@")[0])).nice() > psutil.Process().nice()
