"""A bundle for support: what runs here and how it is, without secrets and without people."""

import asyncio
import io
import json
import os
import platform
import zipfile
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel
from sqlalchemy import func, make_url, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.database import state_of_tables
from petrihub_core.deployment import Deployment
from petrihub_core.errors import PetriHubError
from petrihub_core.records import Person, Record, SealedSecret, SettingsVersion, now
from petrihub_portal import health
from petrihub_portal.context import Portal
from petrihub_portal.redaction import Redactor

_TAIL_BYTES = 256 * 1024  # of each log
_TAIL_LINES = 400
_SECRET_NAMES = ("TOKEN", "PASSWORD", "SECRET", "KEY", "CREDENTIAL")

ABOUT = """\
PetriHub diagnostics bundle, made {at}

versions.json    this machine's system, Python and packages
petrihub.toml    what is fixed at start, without passwords and without comments
settings.json    the settings pages in force; secrets are not part of them
health.json      each component and what to do about it
tables.json      state of the tables, and how many rows each has
logs/            the last lines of PetriHub's own logs, not of workspaces

Taken out: keys, tokens, cookies, passwords and all that looks like one; user names; e-mail
addresses; network addresses other than this machine's. Still in it: names that you gave to
profiles, sizes and this site, folders of this machine, and what programs wrote into the logs in
words of their own. Look through it before you hand it on.
"""


async def bundle(portal: Portal) -> bytes:
    """The zip file."""
    findings = await health.look(portal)
    async with portal.database.reading() as session:
        redactor = Redactor(await _secrets(portal, session), await _names(session))
        pages = await _settings(session)
        rows = await _rows(session)
    try:
        state: str = await state_of_tables(portal.deployment.database_url)
    except PetriHubError as exc:
        state = exc.message
    parts = {
        "about.txt": ABOUT.format(at=now().isoformat(timespec="seconds")),
        "versions.json": _json(await asyncio.to_thread(_versions)),
        "petrihub.toml": tomlkit.dumps(_toml(portal.deployment)),
        "settings.json": _json(pages),
        "health.json": _json([asdict(each) for each in findings]),
        "tables.json": _json({"state": state, "rows": rows}),
        **await asyncio.to_thread(_logs, portal.deployment.logs),
    }
    return await asyncio.to_thread(_zip, parts, redactor)


def _zip(parts: dict[str, str], redactor: Redactor) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text if name == "about.txt" else redactor.text(text))
    return made.getvalue()


def _json(value: object) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


async def _secrets(portal: Portal, session: AsyncSession) -> set[str]:
    """All secrets that we know of, so that they are found wherever they got into."""
    found = {portal.cookie_key, *_in_environment(), *_in_files(portal.deployment.secrets)}
    for sealed in await session.scalars(select(SealedSecret)):
        try:
            text = await portal.vault.open(session, sealed.page, sealed.field)
        except PetriHubError:
            continue  # its key is not here, so it cannot be in any text of ours
        if text:
            found |= {text, *text.splitlines()}
    for url in (portal.deployment.database_url, portal.deployment.hub_database_url):
        # as it is, and as it is written into an address
        found.add(str(make_url(url).password or ""))
        found.add(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    return {each.strip() for each in found}


def _in_environment() -> set[str]:
    return {
        value
        for name, value in os.environ.items()
        if any(word in name.upper() for word in _SECRET_NAMES)
    }


def _in_files(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.rglob("*"):
        try:
            text = path.read_text()
            found.update(text.splitlines(), (each for each in text.split() if len(each) > 11))
        except (OSError, UnicodeDecodeError):
            continue  # a folder, or bytes that no text can hold
    return found


async def _names(session: AsyncSession) -> set[str]:
    rows = await session.execute(select(Person.username, Person.email))
    return {each for row in rows for each in row if each}


async def _settings(session: AsyncSession) -> dict[str, Any]:
    newest = (
        select(SettingsVersion.page, func.max(SettingsVersion.version).label("version"))
        .group_by(SettingsVersion.page)
        .subquery()
    )
    rows = await session.scalars(
        select(SettingsVersion).join(
            newest,
            (SettingsVersion.page == newest.c.page) & (SettingsVersion.version == newest.c.version),
        )
    )
    return {row.page: {"version": row.version, "content": row.content} for row in rows}


async def _rows(session: AsyncSession) -> dict[str, int]:
    counts = {}
    for name, table in sorted(Record.metadata.tables.items()):
        counts[name] = await session.scalar(select(func.count()).select_from(table)) or 0
    return counts


def _versions() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "packages": {
            each.name: each.version for each in sorted(distributions(), key=lambda one: one.name)
        },
    }


def _toml(deployment: Deployment) -> dict[str, Any]:
    # made from what was read: comments of the file may hold anything
    kept: BaseModel = deployment
    return kept.model_dump(mode="json", exclude_none=True)


def _logs(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.log")):
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                lines = file.read().decode("utf8", "replace").splitlines()
        except OSError:
            continue
        found[f"logs/{path.name}"] = "\n".join(lines[-_TAIL_LINES:]) + "\n"
    return found
