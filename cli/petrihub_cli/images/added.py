"""`petrihub images add`: lets workspaces run somebody else's image, behind the gate."""

import asyncio
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from petrihub_cli.engine import Engine
from petrihub_cli.images.build import PROFILE_LABEL
from petrihub_cli.images.buildkit import BuildOrder, build
from petrihub_cli.images.display import BuildDisplay
from petrihub_cli.images.docker_cli import DockerCli, find_docker_cli
from petrihub_cli.images.recipe import PREFIX, find_source, recipe_names
from petrihub_cli.images.registration import register
from petrihub_cli.images.wheel import cache_folder
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, Refused
from petrihub_core.tools import LABELS, ToolSection, combined, labelled_tool, tool_labels

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
# the home's folder, owned by the account that all tools run as: a volume mounted there for the
# first time takes its owner from it
_DOCKERFILE = """\
ARG ADDED
FROM ${ADDED} AS tool
COPY --chown=1000:1000 home/ /home/researcher/
"""


@dataclass(frozen=True)
class Wanted:
    """An image that the engine has, the name that profiles call it by, and what it is told of."""

    image: str
    name: str
    tool: ToolSection


def read_said(said: Sequence[str]) -> ToolSection:
    """What the person said of the tool, each as name=value; raises `Refused` in words."""
    labels = {}
    for each in said:
        name, equals, value = each.partition("=")
        known = name.replace("-", "_") in ToolSection.model_fields
        if not known or not equals:
            raise Refused(
                f"--set {each[:60]} says nothing that is known.",
                hint="Write it as --set port=3838; docs/how-to/bring-your-own-image.md lists all.",
            )
        labels[LABELS + name.replace("_", "-")] = value
    return labelled_tool(labels) or ToolSection()


async def add_image(
    deployment: Deployment | None, wanted: Wanted, *, engine: Engine, console: Console
) -> str:
    """Build on the image, in one small layer, what a workspace needs; the name for profiles.

    Raises `NotFound` if the engine has no such image, `Refused` if it cannot be one of a workspace.
    """
    name = _checked_name(wanted.name)
    cli = await find_docker_cli(engine)
    found = await cli.inspect(wanted.image)
    if found is None:
        raise NotFound(
            f"The engine has no image {wanted.image}.",
            hint=f"Get it first: docker -H {engine.url} pull {wanted.image}",
        )
    labels = (found.get("Config") or {}).get("Labels") or {}
    tool = combined(wanted.tool, labelled_tool(labels)) or wanted.tool
    if tool.port is None:
        raise Refused(
            f"Nothing says at which port {wanted.image} answers.",
            hint="Give it with --set port=3838, or in the image's label org.petrihub.tool.port.",
        )
    title = tool.title or wanted.name
    described = {
        **tool_labels(tool),
        PROFILE_LABEL: json.dumps({"title": title, "description": ""}, ensure_ascii=False),
    }
    await _build(cli, wanted.image, name, described, console)
    made = await cli.inspect(name)
    if made is None:
        raise NotFound(f"{name} was built, but the engine does not have it.")
    if deployment is not None:
        await register(
            deployment,
            name=name,
            digest=str(made["Id"]),
            size_bytes=int(made["Size"]),
            apps=(),
            labels=dict(made["Config"]["Labels"]),
        )
    console.print(f"[green]✓[/green] {name}: {title}, {decimal(int(made['Size']))}")
    return name


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Refused(
            f"An image cannot be called {name[:40]!r} here.",
            hint="Use small letters, digits and - , such as --name openrefine.",
        )
    if name in recipe_names(find_source()):
        raise Refused(
            f"{PREFIX}{name} is an image of PetriHub itself.", hint="Choose another --name."
        )
    return PREFIX + name


async def _build(
    cli: DockerCli, image: str, name: str, labels: dict[str, str], console: Console
) -> None:
    log = cache_folder() / "builds" / f"{name.removeprefix(PREFIX)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    with (
        tempfile.TemporaryDirectory(prefix="petrihub-context-") as folder,
        BuildDisplay(name, console, log) as display,
    ):
        context = Path(folder)
        await asyncio.to_thread(_write_context, context)
        order = BuildOrder(context, "tool", name, labels, {"ADDED": image})
        await build(cli, order, log=log, listener=display.step)


def _write_context(context: Path) -> None:
    (context / "Dockerfile").write_text(_DOCKERFILE)
    (context / "home").mkdir()
