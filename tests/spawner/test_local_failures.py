"""What goes wrong with local processes is named, and leaves nothing."""

import asyncio
from dataclasses import replace

from petrihub_spawner.contract import NOTED, ask, failure, started, until


async def test_a_port_that_somebody_else_answers_on_is_named(local_bench):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    pod = local_bench.pod("ada", "study")
    async with await asyncio.start_server(answer, "127.0.0.1", pod.door.port):
        error = await failure(local_bench, pod)
    assert f"took port {pod.door.port}" in error.message
    assert "Try again" in error.hint
    assert await local_bench.runner.find() == []


async def test_a_full_disk_is_named(local_bench):
    error = await failure(local_bench, local_bench.pod("ada", "study", mode="full"))
    assert error.message == "The disk is full."


async def test_a_home_that_cannot_be_made_is_named(local_bench):
    local_bench.deployment.homes.write_text("a file where a folder should be")
    error = await failure(local_bench, local_bench.pod("ada", "study"))
    assert error.stage == "preparing"
    assert "could not be started" in error.message
    assert await local_bench.runner.find() == []


async def test_a_program_that_is_missing_is_named(local_bench):
    pod = local_bench.pod("ada", "study")
    pod = replace(pod, main=replace(pod.main, command=("/nowhere/jupyterhub-singleuser",)))
    error = await failure(local_bench, pod)
    assert "No such file" in error.message


async def test_secrets_are_not_in_the_command_line_and_the_environment_is_built(
    local_bench, monkeypatch
):
    monkeypatch.setenv("SECRET_OF_THE_HUB", "x")
    pod = local_bench.pod("ada", "study")
    environment = await ask(await started(local_bench, pod), "environment")
    assert "SECRET_OF_THE_HUB" not in environment
    assert environment["JUPYTERHUB_API_TOKEN"] == "a-token"
    assert "a-token" not in " ".join(pod.main.command)


async def test_a_stray_process_that_ignores_everything_is_removed_too(local_bench):
    pod = local_bench.pod("ada", "study")
    await ask(await started(local_bench, pod), "stray")

    async def astray() -> bool:
        return len(await local_bench.runner.find(pod.ref)) > 1

    await until(astray)
    await local_bench.runner.stop(pod.ref, grace=2, journal=NOTED)
    assert await local_bench.runner.find(pod.ref) == []
