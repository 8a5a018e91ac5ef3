"""One process at a time, also when the one before it is killed."""

import asyncio
import signal
import sys
from pathlib import Path

from petrihub_cli.alone import alone

HOLDS = """
import asyncio, sys
from pathlib import Path
from petrihub_cli.alone import alone

async def main():
    async with alone(Path(sys.argv[1])):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_who_comes_second_says_so_and_takes_its_turn_when_the_first_is_killed(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "builds" / "lock"
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS, str(lock), stdout=asyncio.subprocess.PIPE
    )
    assert first.stdout
    assert await first.stdout.readline() == b"held\n"
    told: list[str] = []
    order: list[str] = []
    waits = asyncio.Event()

    def wait_told() -> None:
        told.append("waits")
        waits.set()

    async def second() -> None:
        async with alone(lock, wait_told):
            order.append("second")

    waiting = asyncio.create_task(second())
    await waits.wait()
    await asyncio.sleep(0.3)  # three more looks, and it is told only once
    assert (told, order) == (["waits"], [])
    first.send_signal(signal.SIGKILL)
    await first.wait()
    await waiting
    assert (told, order) == (["waits"], ["second"])


async def test_nobody_waits_for_nobody(tmp_path: Path) -> None:
    told: list[str] = []
    async with alone(tmp_path / "lock", lambda: told.append("waits")):
        pass
    async with alone(tmp_path / "lock", lambda: told.append("waits")):
        assert told == []
