"""Docker's own command line, pointed at one engine; the one place that starts it."""

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petrihub_cli.engine import Engine
from petrihub_core.errors import Unavailable

_BUILDS_ALONE = 23  # from this version on the client builds with a plug-in called buildx


@dataclass(frozen=True)
class DockerCli:
    """A docker client that can build, and the engine that it talks to."""

    program: str
    engine: Engine

    def environment(self) -> dict[str, str]:
        """The client's environment: this engine, BuildKit, no context of the person's own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        return {**kept, "DOCKER_HOST": self.engine.url, "DOCKER_BUILDKIT": "1"}

    async def run(self, *arguments: str, seconds: float | None = None) -> str:
        """What the client printed; Unavailable in its words if it failed or took longer."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(),
        )
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError as error:
            raise Unavailable(f"docker {arguments[0]} gave no answer in {seconds} s.") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = err.decode(errors="replace").strip()
            raise Unavailable(f"docker {arguments[0]} failed: {words[-500:]}")
        return out.decode(errors="replace")

    async def inspect(self, image: str) -> dict[str, Any] | None:
        """What the engine knows of an image; None if it has no such image."""
        try:
            found = json.loads(await self.run("image", "inspect", image))
        except Unavailable as error:
            if "no such image" in error.message.lower():
                return None
            raise
        return dict(found[0])


async def find_docker_cli(engine: Engine) -> DockerCli:
    """The first docker client of this machine that can build images; Unavailable if none can."""
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/bin"]
    found = [str(Path(place) / "docker") for place in dict.fromkeys(places)]
    programs = [program for program in found if shutil.which(program)]
    for program in programs:
        if await _can_build(DockerCli(program, engine)):
            return DockerCli(program, engine)
    if programs:
        raise Unavailable(
            "The docker client of this machine cannot build images.",
            hint="Run: sudo apt-get install docker-buildx",
        )
    raise Unavailable(
        "There is no docker client on this machine.", hint="Run: sudo apt-get install docker.io"
    )


async def _can_build(cli: DockerCli) -> bool:
    try:
        version = await cli.run("version", "--format", "{{.Client.Version}}", seconds=20)
        if int(version.split(".")[0]) < _BUILDS_ALONE:
            return True
        await cli.run("buildx", "version", seconds=20)
    except (Unavailable, ValueError):
        return False
    return True
