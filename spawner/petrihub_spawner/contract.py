"""The tests that every backend must pass, importable by those who write another.

Subclass `BackendContract`, give a `bench` fixture, and pytest does the rest.
"""
# ruff: noqa: S101 - these are tests, though they are shipped

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

import httpx

from petrihub_core.records import new_id
from petrihub_spawner.pod.model import PodRef, WorkspacePod
from petrihub_spawner.runner import Address, Found, Look, Runner, Silent
from petrihub_spawner.stages import StartFailed

NOTED = Silent()
_PATIENCE = 60.0  # seconds for something that takes one or two; only a hang reaches it


class Bench(Protocol):
    """What a backend's author sets up: pods that serve a few questions over HTTP."""

    runner: Runner

    def another_runner(self, *, deployment: str | None = None) -> Runner:
        """A runner as a restarted hub makes it; of another deployment if one is named."""

    def pod(self, person: str, workspace: str, *, mode: str = "") -> WorkspacePod:
        """A pod of `tests/spawner/stand_in.py`, or of a program that answers the same paths.

        Modes: "" serves, "broken" prints a line and ends with code 3, "deaf" never answers
        (give it a short `start_timeout`), "eater" takes more memory than it may.
        """


async def ask(address: Address, path: str, **query: str | int) -> Any:
    """The JSON answer of the pod's program."""
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
        answer = await client.get(f"{address.url}/{path}", params=query)
        answer.raise_for_status()
        return answer.json()


async def started(bench: Bench, pod: WorkspacePod) -> Address:
    """The address of the pod after its start."""
    return await bench.runner.start(pod, NOTED)


async def until(condition: Callable[[], Awaitable[bool]], *, patience: float = _PATIENCE) -> None:
    """Return when the condition holds; what is outside can only be asked again and again."""
    async with asyncio.timeout(patience):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def ended(runner: Runner, ref: PodRef) -> Look:
    """The first look at which the workspace does not run."""
    looks: list[Look] = []

    async def over() -> bool:
        looks.append(await runner.look(ref))
        return not looks[-1].running

    await until(over)
    return looks[-1]


async def failure(bench: Bench, pod: WorkspacePod) -> StartFailed:
    """The error with which the start of this pod fails."""
    try:
        await started(bench, pod)
    except StartFailed as exc:
        return exc
    raise AssertionError("the start went well")


class BackendContract:
    """What spawners and the reconciler rely on, whatever runs below them."""

    async def test_a_started_workspace_answers_and_a_stopped_one_is_gone(
        self, bench: Bench
    ) -> None:
        """Start, reach, stop."""
        pod = bench.pod("ada", "study")
        address = await started(bench, pod)
        assert await ask(address, "api") == {"version": "stand-in"}
        await bench.runner.stop(pod.ref, grace=5, journal=NOTED)
        assert await bench.runner.find(pod.ref) == []
        assert not (await bench.runner.look(pod.ref)).running

    async def test_stop_twice_is_fine(self, bench: Bench) -> None:
        """And a stop of what never was is fine too."""
        pod = bench.pod("ada", "study")
        await bench.runner.stop(pod.ref, grace=5, journal=NOTED)
        await started(bench, pod)
        await bench.runner.stop(pod.ref, grace=5, journal=NOTED)
        await bench.runner.stop(pod.ref, grace=5, journal=NOTED)

    async def test_a_start_that_breaks_leaves_nothing_but_its_log(self, bench: Bench) -> None:
        """The stage, the exit code and the last lines are named; a new start works."""
        pod = bench.pod("ada", "study", mode="broken")
        error = await failure(bench, pod)
        assert "exit code 3" in error.message
        assert error.stage == "starting"
        assert "I cannot work" in error.log
        assert await bench.runner.find(pod.ref) == []
        assert "I cannot work" in await bench.runner.log_tail(pod.ref)
        address = await started(bench, bench.pod("ada", "study"))
        assert await ask(address, "api")

    async def test_a_start_that_never_answers_ends(self, bench: Bench) -> None:
        """At its deadline, with nothing left."""
        pod = replace(bench.pod("ada", "study", mode="deaf"), start_timeout=3)
        error = await failure(bench, pod)
        assert "3 seconds" in error.message
        assert await bench.runner.find(pod.ref) == []

    async def test_a_start_that_is_given_up_leaves_nothing(self, bench: Bench) -> None:
        """A cancelled start cleans up before it ends."""
        pod = bench.pod("ada", "study", mode="deaf")
        task = asyncio.create_task(started(bench, pod))

        async def begun() -> bool:
            return any(item.kind != "network" for item in await bench.runner.find(pod.ref))

        await until(begun)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await bench.runner.find(pod.ref) == []

    async def test_a_look_tells_the_truth(self, bench: Bench) -> None:
        """Not running before, running with its address, and not running after it died."""
        pod = bench.pod("ada", "study")
        assert not (await bench.runner.look(pod.ref)).running
        address = await started(bench, pod)
        look = await bench.runner.look(pod.ref)
        assert look.running
        assert look.address == address
        await ask(address, "exit", code=7)
        assert "7" in (await ended(bench.runner, pod.ref)).ended

    async def test_a_start_over_a_leftover_is_one_workspace(self, bench: Bench) -> None:
        """What an earlier life left goes; never two of a name."""
        left = bench.pod("ada", "study")
        await started(bench, left)
        fresh = bench.pod("ada", "study")
        address = await bench.another_runner().start(fresh, NOTED)
        assert (await ask(address, "environment"))["PETRIHUB_INTENT"] == fresh.intent
        assert {item.intent for item in await bench.runner.find(left.ref)} == {fresh.intent}

    async def test_a_restarted_hub_knows_what_runs(self, bench: Bench) -> None:
        """Another runner sees it, with address and environment, and can stop it."""
        pod = bench.pod("ada", "study")
        address = await started(bench, pod)
        other = bench.another_runner()
        look = await other.look(pod.ref)
        assert look.running
        assert look.address == address
        assert look.environment["PETRIHUB_INTENT"] == pod.intent
        await other.stop(pod.ref, grace=5, journal=NOTED)
        assert not (await bench.runner.look(pod.ref)).running

    async def test_everything_outside_bears_its_marks(self, bench: Bench) -> None:
        """Found by workspace and by deployment, never by another deployment."""
        pod = bench.pod("ada", "study")
        await started(bench, pod)
        found = await bench.runner.find(pod.ref)
        assert found
        assert {(item.ref, item.intent) for item in found} == {(pod.ref, pod.intent)}
        assert set(map(_handle, found)) <= set(map(_handle, await bench.runner.find()))
        stranger = bench.another_runner(deployment="stranger")
        assert await stranger.find() == []
        assert not (await stranger.look(replace(pod.ref, deployment="stranger"))).running

    async def test_a_removal_means_these_objects_and_no_later_ones(self, bench: Bench) -> None:
        """What was found before a restart of the workspace does not hit the new one."""
        pod = bench.pod("ada", "study")
        await started(bench, pod)
        old = await bench.runner.find(pod.ref)
        address = await started(bench, bench.pod("ada", "study"))
        await bench.runner.remove(old, grace=0)
        assert await ask(address, "api")

    async def test_workspaces_do_not_mix(self, bench: Bench) -> None:
        """User `a` with `b-c` is not user `a-b` with `c`; stopping one leaves the other."""
        pods = [bench.pod("a", "b-c"), bench.pod("a-b", "c")]
        addresses = [await started(bench, pod) for pod in pods]
        assert addresses[0] != addresses[1]
        for pod, address in zip(pods, addresses, strict=True):
            assert (await ask(address, "environment"))["PETRIHUB_INTENT"] == pod.intent
        await bench.runner.stop(pods[0].ref, grace=5, journal=NOTED)
        assert await ask(addresses[1], "api")

    async def test_workspaces_do_not_reach_each_other(self, bench: Bench) -> None:
        """Where the backend can keep them apart."""
        if "isolation" not in bench.runner.can:
            return
        one = await started(bench, bench.pod("ada", "study"))
        other = await started(bench, bench.pod("bob", "study"))
        assert await ask(one, "connect", host=one.host, port=one.port) == "reached"
        assert await ask(one, "connect", host=other.host, port=other.port) != "reached"

    async def test_a_helper_may_see_main_and_nothing_else(self, bench: Bench) -> None:
        """Its processes, and through them its files; nothing of the machine or of another pod."""
        if "sidecar" not in bench.runner.can:
            return
        await started(bench, bench.pod("bob", "study"))
        pod = bench.pod("ada", "study")
        helper = replace(
            pod.main,
            name="helper",
            environment={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9999/"},
            secrets={},
            mounts=(),
        )
        for shares in (True, False):
            sidecar = replace(helper, shares_processes=shares)
            address = await started(bench, replace(pod, sidecars=(sidecar,)))
            await ask(address, "write", name="notes.txt", text="42")

            async def answers(port: int = 9999, address: Address = address) -> bool:
                found = await ask(address, "connect", host="127.0.0.1", port=port)
                return bool(found == "reached")

            await until(answers)
            seen = await ask(address, "relay", port=9999, question="processes")
            assert len(seen) == (2 if shares else 1)
            assert all(pod.main.command[0] in " ".join(line) for line in seen)
            if shares:
                through = "through?name=notes.txt"
                assert await ask(address, "relay", port=9999, question=through) == "42"

    async def test_the_home_outlives_the_workspace(self, bench: Bench) -> None:
        """A file written before a stop is read after the next start, also from a second one."""
        pod = bench.pod("ada", "study")
        await ask(await started(bench, pod), "write", name="notes.txt", text="42")
        await bench.runner.stop(pod.ref, grace=5, journal=NOTED)
        for workspace in ("study", "second"):
            address = await started(bench, bench.pod("ada", workspace))
            assert await ask(address, "read", name="notes.txt") == "42"

    async def test_limits_are_enforced_where_the_backend_says_so(self, bench: Bench) -> None:
        """Too much memory ends the workspace, and the reason names the limit."""
        if "limits" not in bench.runner.can:
            return
        error = await failure(bench, bench.pod("ada", "study", mode="eater"))
        assert "memory" in error.message
        assert "MiB" in error.message + error.hint or "GiB" in error.message + error.hint
        pod = bench.pod("ada", "study")
        address = await started(bench, pod)
        assert await ask(address, "threads", count=4 * pod.main.resources.pids) < (
            pod.main.resources.pids
        )

    async def test_user_code_dies_first(self, bench: Bench) -> None:
        """When the machine runs out of memory, the kernel takes a workspace before the hub."""
        address = await started(bench, bench.pod("ada", "study"))
        assert int(await ask(address, "score")) > 0


def _handle(item: Found) -> tuple[str, str]:
    return item.kind, item.handle


def fresh_intent() -> str:
    """An intent id for a pod that no hub has planned."""
    return new_id()
