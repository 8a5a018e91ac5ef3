"""`petrihub-save NAME`: saves what is installed in this workspace, from its terminal."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from petrihub_extensions.checkpoints.portal import Portal
from petrihub_extensions.errors import AppError

_LOOKS_EVERY = 1.0  # seconds
_ENDED = ("done", "failed")
_MOST_WARNED = 20


def main() -> None:
    """Ends with 0 when it is saved, with 1 when it is not."""
    parser = argparse.ArgumentParser(
        prog="petrihub-save", description="Save what is installed in this workspace."
    )
    parser.add_argument("name", help="name of the checkpoint")
    parser.add_argument("--message", default="", help="what is in it")
    parser.add_argument(
        "--yes", action="store_true", help="save without asking, unless files look like secrets"
    )
    wanted = parser.parse_args()
    try:
        saved = asyncio.run(_save(Portal.of(os.environ), wanted))
    except AppError as exc:
        sys.exit(f"{exc.message} {exc.hint}".strip())
    except KeyboardInterrupt:
        sys.exit("\nIt goes on without this program; the panel in JupyterLab shows how far it is.")
    sys.exit(0 if saved else 1)


async def _save(portal: Portal, wanted: argparse.Namespace) -> bool:
    wish = {"name": wanted.name, "message": wanted.message, "measure_first": True}
    order: str = (await portal.ask("POST", "/checkpoints", wish))["id"]
    row = await _followed(portal, order, until=("confirm", *_ENDED))
    if row["state"] == "confirm":
        if not _agreed(await portal.ask("GET", f"/checkpoints/{order}"), wanted):
            await portal.ask("POST", f"/checkpoints/{order}/cancel")
            _say("Nothing was saved.")
            return False
        await portal.ask("POST", f"/checkpoints/{order}/confirm")
        row = await _followed(portal, order, until=_ENDED)
    if row["state"] != "done":
        _say(f"{row['name']} was not saved. {row['reason']}")
        return False
    _say(f"{row['name']} is saved, {_size(row['layer_size'])}.")
    return True


async def _followed(portal: Portal, order: str, until: tuple[str, ...]) -> dict[str, Any]:
    """The order once it is in one of these states; tells meanwhile what happens."""
    said = ""
    while True:
        here = await portal.ask("GET")
        row: dict[str, Any] | None = next(
            (each for each in here["checkpoints"] if each["id"] == order), None
        )
        if row is None:
            raise AppError("The save was removed meanwhile.", hint="Save again.")
        if row["state"] in until:
            return row
        if row["words"] not in ("", said):
            said = row["words"]
            _say(said)
        await asyncio.sleep(_LOOKS_EVERY)


def _agreed(detail: dict[str, Any], wanted: argparse.Namespace) -> bool:
    files = "file is" if detail["added"] == 1 else "files are"
    _say(
        f"{_size(detail['bytes'])} would be stored, before packing: {detail['added']} {files} "
        f"new, {detail['changed']} changed, {detail['deleted']} gone."
    )
    warned = detail["findings"]
    for each in warned[:_MOST_WARNED]:
        _say(f"  look at {each['path']}: {each['words']}")
    if len(warned) > _MOST_WARNED:
        _say(f"  and {len(warned) - _MOST_WARNED} more")
    if wanted.yes and not warned:
        return True
    if not sys.stdin.isatty():
        _say("Nobody is there to be asked.")
        return False
    return input("Save it? [y/N] ").strip().lower() in ("y", "yes")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()  # a save takes minutes, also in a pipe


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
