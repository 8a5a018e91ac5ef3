"""The reconciler's rules, with real processes and a real database; what the hub knows is given."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field, replace

import psutil
import pytest

from petrihub_core.database import migrate
from petrihub_core.deployment import Deployment, DockerSection
from petrihub_core.errors import Unavailable
from petrihub_core.intents import Effect
from petrihub_spawner.backends.runners import make_runner
from petrihub_spawner.contract import NOTED, until
from petrihub_spawner.foundation import lay
from petrihub_spawner.hub_servers import Server
from petrihub_spawner.reconcile import OutOfDate, Reconciler

KEY = "p/study"


@dataclass
class Knows:
    """Stands for the hub: what it says of its servers, and what it was asked to stop."""

    servers: dict[str, Server] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    silent: bool = False

    async def active(self, person_ids):
        if self.silent:
            raise Unavailable("The hub does not answer.")
        return self.servers

    async def stop(self, server):
        self.stopped.append(server.workspace)


def known(**changes):
    said = Server(user="ada", name="study", ready=True, pending="", workspace=KEY)
    return {KEY: replace(said, **changes)}


@pytest.fixture
async def before(deployment):
    """The life of the hub that has ended."""
    await migrate(deployment.database_url)
    foundation = lay(deployment, "before")
    yield foundation
    await foundation.database.close()


@pytest.fixture
async def present(deployment, before):
    foundation = lay(deployment, "present")
    yield foundation
    await foundation.database.close()


@pytest.fixture
def running(local_bench):
    """A workspace that runs for an intent."""

    async def run(row):
        pod = replace(local_bench.pod("p", "study"), intent=row.id)
        await local_bench.runner.start(pod, NOTED)

    return run


async def begun(foundation, kind, *, deadline_s=60.0):
    effect = Effect(kind=kind, workspace=KEY, owner="p", external={}, plan={})
    return await foundation.intents.begin(effect, deadline_s=deadline_s)


async def outcome(foundation, row):
    ended = await foundation.intents.get(row.id)
    return ended.state, ended.reason


async def test_a_start_that_the_hub_forgot_is_undone_with_a_reason(
    before, present, running, local_bench
):
    row = await begun(before, "start")
    await running(row)
    done = await Reconciler(present, local_bench.runner, Knows()).once()
    assert done.failed == [KEY]
    assert await local_bench.runner.find() == []
    state, reason = await outcome(present, row)
    assert state == "failed"
    assert "was stopped while the workspace was starting" in reason


async def test_a_start_that_the_hub_found_again_is_adopted(before, present, running, local_bench):
    row = await begun(before, "start")
    await running(row)
    done = await Reconciler(present, local_bench.runner, Knows(known())).once()
    assert done.adopted == [KEY]
    assert await local_bench.runner.find()
    assert (await outcome(present, row))[0] == "done"


async def test_what_the_hub_still_checks_waits(before, present, running, local_bench):
    row = await begun(before, "start")
    await running(row)
    hub = Knows(known(ready=False, pending="check"))
    done = await Reconciler(present, local_bench.runner, hub).once()
    assert done.waiting == [KEY]
    assert await local_bench.runner.find()
    assert (await outcome(present, row))[0] == "open"


async def test_a_start_in_flight_is_not_touched(present, running, local_bench):
    row = await begun(present, "start")
    await running(row)
    done = await Reconciler(present, local_bench.runner, Knows()).once()
    assert not any(vars(done).values())
    assert await local_bench.runner.find()


async def test_a_start_past_its_deadline_ends(present, running, local_bench):
    row = await begun(present, "start", deadline_s=-1)
    await running(row)
    hub = Knows(known(ready=False, pending="spawn"))
    done = await Reconciler(present, local_bench.runner, hub).once()
    assert done.failed == hub.stopped == [KEY]
    assert await local_bench.runner.find() == []
    assert "too long" in (await outcome(present, row))[1]


async def test_an_interrupted_stop_is_finished(before, present, running, local_bench):
    await before.intents.finish((start := await begun(before, "start")).id)
    await running(start)
    row = await begun(before, "stop")
    done = await Reconciler(present, local_bench.runner, Knows()).once()
    assert done.finished == [KEY]
    assert await local_bench.runner.find() == []
    assert (await outcome(present, row))[0] == "done"


async def test_an_interrupted_stop_of_a_server_that_the_hub_runs_goes_through_the_hub(
    before, present, running, local_bench
):
    start = await begun(before, "start")
    await before.intents.finish(start.id)
    await running(start)
    row = await begun(before, "stop")
    hub = Knows(known())
    await Reconciler(present, local_bench.runner, hub).once()
    assert hub.stopped == [KEY]
    assert await local_bench.runner.find()  # the hub does it, in its own order
    hub.servers = {}
    await Reconciler(present, local_bench.runner, hub).once()
    assert (await outcome(present, row))[0] == "done"
    assert await local_bench.runner.find() == []


async def test_an_orphan_without_any_open_intent_is_removed(before, present, running, local_bench):
    row = await begun(before, "start")
    await before.intents.fail(row.id, "engine was down")
    await running(row)
    done = await Reconciler(present, local_bench.runner, Knows()).once()
    assert done.removed == [KEY]
    assert await local_bench.runner.find() == []


async def test_without_the_hub_nothing_is_changed(before, present, running, local_bench):
    row = await begun(before, "start")
    await running(row)
    with pytest.raises(Unavailable):
        await Reconciler(present, local_bench.runner, Knows(silent=True)).once()
    assert await local_bench.runner.find()
    assert (await outcome(present, row))[0] == "open"


async def test_no_intent_stays_open_for_an_engine_that_is_away(before, present, tmp_path):
    late = await begun(before, "stop", deadline_s=-1)
    fresh = await begun(before, "start")
    docker = Deployment(
        state=tmp_path, backend="docker", docker=DockerSection(socket=str(tmp_path / "nobody"))
    )
    with pytest.raises(Unavailable):
        await Reconciler(present, make_runner(docker), Knows()).once()
    state, reason = await outcome(present, late)
    assert state == "failed"
    assert "engine is not running" in reason
    assert (await outcome(present, fresh))[0] == "open"


async def test_a_reconciler_of_an_earlier_hub_ends_itself(before, present, running, local_bench):
    outdated = Reconciler(before, local_bench.runner, Knows())
    row = await begun(present, "start", deadline_s=-1)
    await running(row)
    with pytest.raises(OutOfDate):
        await outdated.once()
    assert await local_bench.runner.find()


async def test_the_reconciler_ends_with_the_hub_that_started_it(deployment, new_hub, tmp_path):
    hub = await new_hub(deployment)
    program = (
        "import asyncio; from petrihub_core.deployment import read_deployment;"
        "from petrihub_spawner.reconcile import run_forever;"
        "asyncio.run(run_forever(read_deployment()))"
    )
    parent = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {program!r}]);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PETRIHUB_CONFIG": str(deployment.state.parent / "petrihub.toml"),
        "PETRIHUB_BOOT": hub.foundation.intents.boot,
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
        "JUPYTERHUB_API_TOKEN": "none",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", parent), env=environment, stdout=asyncio.subprocess.PIPE
    )
    child = psutil.Process(int(await process.stdout.readline()))
    assert b"not reconciled" in await process.stdout.readline()  # there is no hub to ask
    process.send_signal(signal.SIGKILL)

    async def ended():
        return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    await until(ended)
    await process.wait()
