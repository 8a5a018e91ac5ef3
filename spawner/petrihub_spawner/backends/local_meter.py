"""Counts home folders of this machine, in a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

from petrihub_core.deployment import Deployment
from petrihub_core.places import Counted, Kind, external
from petrihub_spawner.backends.local_runner import LocalRunner
from petrihub_spawner.counting import answered

# the sidecars' own program, by path: nothing of theirs is ever imported
PROGRAM = Path(__file__).resolve().parents[3] / "images/sidecars/petrihub_sidecars/storage/count.py"


class LocalMeter:
    """Homes are folders below one folder, named after the person's id."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._runner = LocalRunner(deployment.id, deployment.logs)
        self._folders: dict[str, Path] = {}

    async def places(self) -> dict[str, bool]:
        """The homes; in use are those of people who have something running."""
        busy = {found.ref.person for found in await self._runner.find()}
        people = await asyncio.to_thread(_folders_in, self._deployment.homes)
        names = {external(self._deployment.id, Kind.HOME, each): each for each in people}
        self._folders = {name: self._deployment.homes / each for name, each in names.items()}
        return {name: each in busy for name, each in names.items()}

    async def count(self, place: str) -> Counted:
        """What is in this home."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(PROGRAM), str(self._folders[place])),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath},
        )
        try:
            said, problem = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return answered(said.decode(), problem.decode(errors="replace")[-500:])


def _folders_in(homes: Path) -> list[str]:
    if not homes.is_dir():
        return []
    with os.scandir(homes) as entries:
        return [each.name for each in entries if each.is_dir(follow_symlinks=False)]
