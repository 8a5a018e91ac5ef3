"""A pod whose door is kept by a helper, on the real engine; the stand-in plays both parts."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from petrihub_core.errors import NotFound
from petrihub_spawner.backends.docker_keeping import Keeping
from petrihub_spawner.backends.engine import Engine, EngineRefusal
from petrihub_spawner.contract import ask, ended, failure, started
from petrihub_spawner.pod.model import Container, Resources, WorkspacePod
from petrihub_spawner.runner import Silent
from petrihub_spawner.saving import CHECKPOINTER

from tests.spawner.docker.conftest import PYTHON

pytestmark = pytest.mark.docker

_LIMITS = Resources(cpu=0.5, memory_bytes=64 * 2**20, pids=32)


@pytest.fixture
def gated(docker_bench) -> WorkspacePod:
    pod = docker_bench.pod("ada", "viewer")
    gate = Container(
        name="gate",
        image=docker_bench.image,
        command=pod.main.command,
        environment=pod.main.environment,
        secrets=pod.main.secrets,
        resources=_LIMITS,
    )
    tool = replace(
        pod.main,
        environment={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:5005/"},
        secrets={},
        restarts=3,
    )
    return replace(pod, main=tool, sidecars=(gate,), door=replace(pod.door, keeper="gate"))


def containers(client, ref):
    mine = {"label": f"org.petrihub.workspace={ref.key}"}
    return client.containers(all=True, filters=mine)


def states(client, ref):
    return sorted(each["State"] for each in containers(client, ref))


async def test_the_keeper_answers_at_the_address_and_holds_the_token(docker_bench, gated):
    address = await started(docker_bench, gated)
    assert (await ask(address, "environment"))["JUPYTERHUB_API_TOKEN"] == "a-token"
    assert await ask(address, "connect", host="127.0.0.1", port=5005) == "reached"
    assert await ask(address, "connect", host=address.host, port=5005) != "reached"
    look = await docker_bench.runner.look(gated.ref)
    # a hub that starts anew learns both from what runs
    assert look.running
    assert look.address == address
    assert look.environment["JUPYTERHUB_API_TOKEN"] == "a-token"


async def test_a_workspace_whose_gate_has_ended_has_ended(docker_bench, gated, client):
    await started(docker_bench, gated)
    (gate,) = client.containers(
        filters={"label": f"org.petrihub.workspace={gated.ref.key}", "network": gated.name}
    )
    client.kill(gate["Id"])
    look = await ended(docker_bench.runner, gated.ref)
    assert look.ended.startswith("Its sign-in ended.")


async def test_something_else_at_the_gates_port_does_not_pass_for_it(docker_bench, gated):
    proven = replace(gated, door=replace(gated.door, proof="only the gate knows"))
    error = await failure(docker_bench, proven)
    assert "Something else answers" in error.message
    assert await docker_bench.runner.find(gated.ref) == []


async def test_a_tool_that_cannot_work_fails_with_its_reason(docker_bench, gated):
    tool = replace(gated.main, command=(*gated.main.command, "broken"))
    gate = replace(gated.sidecars[0], command=(*gated.main.command, "deaf"))
    error = await failure(docker_bench, replace(gated, main=tool, sidecars=(gate,)))
    assert "exit code 3" in error.message
    assert "I cannot work" in error.log


async def test_what_is_kept_is_frozen_and_a_helper_reads_it_also_after_the_engine_ended_all(
    docker_bench, gated, client
):
    runner, ref = docker_bench.runner, gated.ref
    helper = replace(
        gated.sidecars[0],
        name=CHECKPOINTER,
        environment={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:7000/"},
        shares_processes=True,
    )
    made = []

    async def make():
        made.append(helper)
        return helper

    await started(docker_bench, gated)
    await runner.keep(ref, grace=1, journal=Silent())
    assert states(client, ref) == ["exited", "exited"]
    for _ in range(2):
        await runner.wake(ref, "an-order", make, "")
        assert states(client, ref) == ["paused", "paused", "running"]
    assert len(made) == 1
    reader = next(each["Id"] for each in containers(client, ref) if each["State"] == "running")
    program = "open('/proc/1/root' + '/usr/bin/jupyterhub-singleuser').read(2)"
    asked = client.exec_create(reader, [PYTHON, "-c", f"print({program})"])["Id"]
    assert client.exec_start(asked) == b"#!\n"

    for each in containers(client, ref):
        client.kill(each["Id"])
    client.remove_network(gated.name)  # as `docker network prune` does then
    await runner.wake(ref, "an-order", make, "")
    assert states(client, ref) == ["paused", "paused", "running"]
    assert len(made) == 2

    await runner.remove(await runner.find(ref), grace=30)  # what is frozen is not waited for
    assert states(client, ref) == []
    with pytest.raises(NotFound):
        await runner.wake(ref, "an-order", make, "")


class Stiff(Engine):
    """The real engine, on a machine so busy that it refuses to freeze this many times."""

    refusals = 0

    async def act(self, method, *args, **kwargs):
        if method == "pause" and self.refusals:
            self.refusals -= 1
            raise EngineRefusal(500, "OCI runtime pause failed: unable to freeze")
        return await super().act(method, *args, **kwargs)


@pytest.mark.parametrize(
    ("refusals", "after"), [(3, ["paused", "paused"]), (1000, ["exited", "exited"])]
)
async def test_what_the_engine_cannot_freeze_at_first_is_frozen_or_does_not_run(
    docker_bench, gated, client, refusals, after
):
    runner, ref = docker_bench.runner, gated.ref
    await started(docker_bench, gated)
    await runner.keep(ref, grace=1, journal=Silent())
    engine = Stiff(docker_bench.deployment.docker.socket)
    engine.refusals = refusals
    keeping = Keeping(engine, docker_bench.deployment)
    with pytest.raises(EngineRefusal) if refusals == 1000 else nullcontext():
        await keeping.revive(ref, await keeping.main(ref))
    assert states(client, ref) == after
