"""The storage sidecar's program: makes the mounts that the workspace sees, and keeps them."""

import asyncio
import json
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from petrihub_sidecars.mounts.kernel import detach, mounted
from petrihub_sidecars.mounts.orders import PLACES, Order, take_orders
from petrihub_sidecars.mounts.watch import Keeper

STATES = PLACES / ".petrihub" / "mounts.json"
READY = Path("/tmp/ready")  # noqa: S108 - the sidecar's own; the engine looks for it
_BEGUN = Path("/tmp/begun")  # noqa: S108 - likewise


async def run() -> None:
    """Keep the mounts until asked to end."""
    orders = prepare()
    keepers: list[Keeper] = []

    def write() -> None:
        said = [
            {
                "path": keeper.order.path,
                "title": keeper.order.title,
                "state": keeper.state.state,
                "reason": keeper.state.reason,
                "since": keeper.state.since,
            }
            for keeper in keepers
        ]
        fresh = STATES.with_suffix(".new")
        fresh.write_text(json.dumps({"mounts": said}))
        fresh.rename(STATES)

    keepers += [Keeper(order, write) for order in orders]
    write()
    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    tasks = [asyncio.create_task(keeper.run()) for keeper in keepers]
    ready = asyncio.create_task(_say_when_ready(keepers))
    end = asyncio.create_task(asked_to_end.wait())
    done, _ = await asyncio.wait([end, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    for task in done - {end}:
        task.result()  # a keeper ends only by an error
    clean()


async def _say_when_ready(keepers: list[Keeper]) -> None:
    for keeper in keepers:
        await keeper.stood.wait()
    await asyncio.to_thread(READY.touch)
    logging.getLogger("mounts").info("mounts: ready")


def prepare() -> tuple[Order, ...]:
    """What is to be mounted, with the folders for it; nothing of an earlier workspace is left."""
    if not _BEGUN.exists():
        clean()  # nobody has anything in view yet
        _BEGUN.touch()
    orders = take_orders()
    for folder in (STATES.parent, *(order.place for order in orders)):
        with suppress(FileExistsError):  # and perhaps under a dead mount, which nobody can look at
            folder.mkdir()
    return orders


def clean() -> None:
    """Take away everything that is mounted, also what an earlier sidecar left."""
    for place in list(mounted(PLACES)):
        detach(place)


def leave_empty(names: list[str]) -> None:
    """Nothing is mounted any more, and these folders are there: a container can start on them."""
    clean()
    for name in names:
        (PLACES / name).mkdir(exist_ok=True)


def main() -> None:
    """Run until the workspace ends; with the words `clean` and names, only tidy up."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if sys.argv[1:2] == ["clean"]:
        leave_empty(sys.argv[2:])
    else:
        asyncio.run(run())


if __name__ == "__main__":
    main()
