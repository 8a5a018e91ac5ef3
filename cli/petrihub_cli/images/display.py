"""Shows a running build: the step that it is at, how long it has taken, and what is done."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from petrihub_cli.images.buildkit import Step

_WORTH_A_LINE = 1.0  # seconds; quicker steps only pass by


class BuildDisplay:
    """One image's build on the console; on a terminal the current step moves."""

    def __init__(self, tag: str, console: Console, log: Path) -> None:
        self._tag = tag
        self._console = console
        self._log = log
        self._running: dict[int, str] = {}
        self._started = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[tag]}[/bold]"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("Looking", total=None, tag=tag)

    def __enter__(self) -> Self:
        self._console.print(f"[dim]·[/dim] Building {self._tag}. The whole log: {self._log}")
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        took = time.monotonic() - self._started
        if kind is not None:
            self._console.print(f"[red]✗[/red] {self._tag}: stopped after {took:.0f} s")

    def say(self, words: str) -> None:
        """Show what is being done outside the build proper."""
        self._progress.update(self._task, description=words)
        self._console.print(f"  [dim]{words}[/dim]")

    def step(self, step: Step) -> None:
        """Show that a step of the build began or ended."""
        if step.state == "running":
            self._running[step.vertex] = step.title
        else:
            self._running.pop(step.vertex, None)
        if step.state == "done" and step.seconds >= _WORTH_A_LINE:
            self._console.print(f"  [green]✓[/green] {step.title} [dim]{step.seconds:.0f} s[/dim]")
        elif step.state == "failed":
            self._console.print(f"  [red]✗[/red] {step.title}")
        self._progress.update(self._task, description=" + ".join(self._running.values()))
