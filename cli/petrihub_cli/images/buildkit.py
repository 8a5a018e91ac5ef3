"""Runs one `docker build` and says in words where it is."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from petrihub_cli.images.docker_cli import DockerCli
from petrihub_core.errors import Unavailable

State = Literal["running", "done", "cached", "failed"]

_LINE = re.compile(r"#(?P<vertex>\d+) (?P<text>.*)")
_HEAD = re.compile(r"\[(?P<stage>[^\]]+?)(?: +(?P<number>\d+)/(?P<of>\d+))?\] (?P<what>.*)")
_TITLE = re.compile(r': "(?P<title>[^"]+)" &&')
_DONE = re.compile(r"DONE (?P<seconds>[\d.]+)s")
_SAID = re.compile(r"\d+\.\d+ (?P<words>.*)")
_LAST_LINES = 12


@dataclass(frozen=True)
class Step:
    """One step of a build; `seconds` is what it took once it is done."""

    vertex: int
    title: str
    state: State
    seconds: float = 0.0


@dataclass
class StepReader:
    """Turns BuildKit's plain progress lines into steps that a person understands."""

    titles: dict[int, str] = field(default_factory=dict)
    last_words: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    failed: str = ""

    def read(self, line: str) -> Step | None:
        """The step that this line begins or ends; None for everything else."""
        match = _LINE.match(line)
        if not match:
            return None
        vertex, text = int(match["vertex"]), match["text"]
        if vertex not in self.titles:
            return self._begin(vertex, text)
        title = self.titles[vertex]
        return self._go_on(vertex, title, text) if title else None

    def _go_on(self, vertex: int, title: str, text: str) -> Step | None:
        if done := _DONE.match(text):
            return Step(vertex, title, "done", float(done["seconds"]))
        if text == "CACHED":
            return Step(vertex, title, "cached")
        if text.startswith("ERROR"):
            self.failed = self.failed or title
            return Step(vertex, title, "failed")
        if said := _SAID.match(text):
            self.last_words.append(said["words"])
        return None

    def _begin(self, vertex: int, text: str) -> Step | None:
        title = self.titles[vertex] = _title(text)
        return Step(vertex, title, "running") if title else None


def _title(text: str) -> str:
    """What a step does, in words; empty for what is the builder's own housekeeping."""
    if text.startswith("exporting to image"):
        return "Writing the image"
    head = _HEAD.match(text)
    if not head or head["stage"] == "internal":
        return ""
    if named := _TITLE.search(head["what"]):
        return named["title"]
    instruction, _, rest = head["what"].partition(" ")
    if instruction in ("COPY", "ADD"):
        return "Copying files"
    if instruction == "FROM":
        return ""
    return f"{instruction.capitalize()} {rest}"[:60] if instruction == "RUN" else ""


@dataclass(frozen=True)
class BuildOrder:
    """One image to build: context folder, target stage, tag and labels."""

    context: Path
    target: str
    tag: str
    labels: Mapping[str, str]
    arguments: Mapping[str, str]
    ca_bundle: Path | None = None
    from_scratch: bool = False

    def command(self) -> list[str]:
        """The arguments of docker; the certificates travel as a secret, never as a layer."""
        command = ["build", "--network", "host", "--progress", "plain"]
        command += ["--target", self.target, "--tag", self.tag]
        for name, value in self.labels.items():
            command += ["--label", f"{name}={value}"]
        for name, value in self.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if self.ca_bundle:
            command += ["--secret", f"id=ca,src={self.ca_bundle.resolve()}"]
        if self.from_scratch:
            command += ["--no-cache"]
        return [*command, str(self.context)]


async def build(
    cli: DockerCli, order: BuildOrder, *, log: Path, listener: Callable[[Step], None]
) -> None:
    """Build and tag the image; Unavailable naming the step that failed, and its last words."""
    reader = StepReader()
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        cli.program,
        *order.command(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=cli.environment(),
        limit=2**20,  # bytes in a line: package managers draw long progress bars
    )
    if process.stdout is None:
        raise Unavailable("The output of docker build cannot be read.")
    tail: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        with log.open("a") as kept:
            kept.write(f"== {order.tag} ({order.target})\n")
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                kept.write(line + "\n")
                tail.append(line)
                if step := reader.read(line):
                    listener(step)
            code = await process.wait()
            kept.write(f"== ended with {code} after {time.monotonic() - started:.0f} s\n")
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if code:
        raise _failure(order, reader, list(reader.last_words) or list(tail), log)


def _failure(order: BuildOrder, reader: StepReader, words: list[str], log: Path) -> Unavailable:
    at = f' at the step "{reader.failed}"' if reader.failed else ""
    return Unavailable(
        f"The image {order.tag} could not be built{at}. It said last:\n" + "\n".join(words),
        hint=f"{_next_step(chr(10).join(words))} The whole log: {log}",
    )


def _next_step(words: str) -> str:
    lowered = words.lower()
    if "certificate" in lowered:
        return "If your institute inspects web traffic, give its certificates with --ca-bundle."
    if "no space left" in lowered:
        return "Make room on the disk, then build again: finished steps are kept."
    if any(sign in lowered for sign in ("resolv", "unreachable", "timed out", "connection")):
        return "Check the network, then build again: finished steps are kept."
    return "Build again: finished steps are kept."
