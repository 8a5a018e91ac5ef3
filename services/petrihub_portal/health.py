"""How each component is, and what to do about it: all asked at once, none waited for too long."""

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import httpx
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from petrihub_core import audit, settings
from petrihub_core.addresses import TRUSTED_ONLY
from petrihub_core.at_stop import all_kept
from petrihub_core.checkpoints import State
from petrihub_core.database import state_of_tables
from petrihub_core.errors import PetriHubError
from petrihub_core.heartbeat import RECONCILER, last_beat
from petrihub_core.image_server import require_image_server
from petrihub_core.logs import get_logger
from petrihub_core.records import AuditRow, now
from petrihub_portal.audit_checks import heads_file
from petrihub_portal.certificate_store import CertificateSettings, suffices, until
from petrihub_portal.certificates import ONE_ORIGIN
from petrihub_portal.context import Portal
from petrihub_portal.mail import MailSettings
from petrihub_portal.origins import lead_here

_PATIENCE = 3.0  # seconds for one component; a page never waits longer
_SLOW_MS = 250.0
_GIB = 2**30
_SHARE_LOW, _SHARE_EMPTY = 0.10, 0.03  # of the disk that is free
_DAYS_SOON = 14
_BACKUP_DAYS = 7
_ROUND_LATE, _ROUND_LOST = timedelta(minutes=3), timedelta(minutes=10)
_CLOCK_SLACK = timedelta(seconds=60)
_HEADS_LATE = timedelta(minutes=5)

log = get_logger(__name__)


class Level(StrEnum):
    """How it is; the worst of all counts for the whole."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One component. `todo` is the next step where it is not green."""

    part: str
    title: str
    level: Level
    words: str
    todo: str = ""


@dataclass(frozen=True)
class Said:
    """What one probe found."""

    level: Level
    words: str
    todo: str = ""


Probe = Callable[[Portal], Awaitable[Said]]
_ORDER = list(Level)


def good(words: str) -> Said:
    """All is as it should be."""
    return Said(Level.GREEN, words)


async def _hub(portal: Portal) -> Said:
    began = time.monotonic()
    info = await portal.hub.call("GET")
    ms = (time.monotonic() - began) * 1000
    words = f"JupyterHub {info['version']} answers in {ms:.0f} ms."
    if ms > _SLOW_MS * 4:
        return Said(Level.YELLOW, words, "It is busy: are many workspaces starting at once?")
    return good(words)


async def _proxy(portal: Portal) -> Said:
    url = f"{portal.deployment.proxy_url}/hub/health"
    began = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
        answer = await client.get(url)
    ms = (time.monotonic() - began) * 1000
    if answer.status_code != httpx.codes.OK:
        todo = "Look at the log of the hub, which runs the proxy, then restart PetriHub."
        return Said(Level.RED, f"It answers with {answer.status_code}.", todo)
    return good(f"It leads to the hub in {ms:.0f} ms.")


async def _database(portal: Portal) -> Said:
    began = time.monotonic()
    async with portal.database.reading() as session:
        await session.execute(text("SELECT 1"))
        kind = session.get_bind().dialect.name
    ms = (time.monotonic() - began) * 1000
    state = await state_of_tables(portal.deployment.database_url)
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(kind, kind)
    if state != "current":
        todo = "Restart PetriHub: it makes a backup and brings the tables up to date."
        return Said(Level.RED, f"{name}: the tables are of an older version.", todo)
    words = f"{name} answers in {ms:.0f} ms; its tables are up to date."
    if ms > _SLOW_MS:
        return Said(Level.YELLOW, words, "Look at the load of its machine and at its disk.")
    return good(words)


@lru_cache(maxsize=4)
def _docker(socket: str) -> Any:
    # the Docker client is an optional dependency
    from petrihub_spawner.backends.engine import Engine

    return Engine(socket)


async def _engine(portal: Portal) -> Said:
    if portal.deployment.backend != "docker":
        return good("Not needed: workspaces are processes of this machine.")
    version = await _docker(portal.deployment.docker.socket).ask("version")
    return good(f"Docker {version.get('Version', '')} answers.")


async def _images(portal: Portal) -> Said:
    async with portal.database.reading() as session:
        waiting = [row for row in await all_kept(session) if row.state == State.WAITING]
    if waiting:
        words = f"Workspaces that wait to be saved: {len(waiting)}. {waiting[0].reason}"
        return Said(Level.YELLOW, words, "They are kept and tried again. Mend the image server.")
    if portal.deployment.backend != "docker":
        return good("Not needed: workspaces are processes of this machine.")
    server = require_image_server(portal.deployment)
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
        (await client.get(f"{server.service}/alive")).raise_for_status()
        await client.get(f"{server.registry}/v2/")  # without a token it refuses, which is an answer
    return good("Registry and image service answer.")


async def _disk(portal: Portal) -> Said:
    usage = await asyncio.to_thread(shutil.disk_usage, portal.deployment.state)
    free = usage.free / usage.total
    words = f"{usage.free / _GIB:.1f} GiB of {usage.total / _GIB:.0f} GiB are free."
    if free < _SHARE_EMPTY or usage.free < _GIB:
        todo = "Make room now: soon nothing can be saved any more."
        return Said(Level.RED, words, todo)
    if free < _SHARE_LOW or usage.free < 5 * _GIB:
        return Said(Level.YELLOW, words, "Make room: old backups, images and homes take most.")
    return good(words)


def _alone(portal: Portal) -> bool:
    return portal.deployment.address.host in ("127.0.0.1", "::1", "localhost")


async def _certificate(portal: Portal) -> Said:
    if portal.deployment.front.kind == "none":
        if _alone(portal):
            return good("Not needed: only this machine reaches PetriHub.")
        todo = "Set [front] kind and domain in petrihub.toml."
        return Said(Level.YELLOW, "Browsers come without HTTPS: passwords can be read.", todo)
    async with portal.database.reading() as session:
        there = await settings.read(session, CertificateSettings)
    ends = until(there)
    if ends is None:
        return Said(Level.RED, "There is none.", "Make, upload or order one under TLS.")
    days = (ends - now()).days
    if days < 0:
        return Said(Level.RED, f"It ended on {ends:%Y-%m-%d}.", "Replace it under TLS.")
    words = f"It is good for {days} more days ({there.kind})."
    if days < _DAYS_SOON:
        return Said(
            Level.YELLOW, words, "Replace it under TLS; if it renews by itself, ask why not."
        )
    return good(words)


async def _origins(portal: Portal) -> Said:
    front = portal.deployment.front
    if front.kind == "none":
        if _alone(portal):
            return good("Not needed: only this machine reaches PetriHub.")
        return Said(Level.YELLOW, TRUSTED_ONLY, "Set [front] kind and domain in petrihub.toml.")
    wildcard = f"*.{front.domain}"
    if not front.origins:
        todo = (
            f"Set front.subdomains = true; it needs a DNS record and a certificate for {wildcard}."
        )
        return Said(Level.YELLOW, TRUSTED_ONLY, todo)
    async with portal.database.reading() as session:
        there = await settings.read(session, CertificateSettings)
    if there.chain and not suffices(there, front):
        todo = f"Upload a certificate for {front.domain} and {wildcard} under TLS. {ONE_ORIGIN}"
        words = f"The certificate is not for {wildcard}, so browsers open no workspace."
        return Said(Level.RED, words, todo)
    if not await asyncio.to_thread(lead_here, portal.deployment):
        todo = f"Add a DNS record for {wildcard} that leads where {front.domain} leads."
        return Said(Level.YELLOW, f"This server finds no DNS record for {wildcard}.", todo)
    return good(f"Each person's workspaces have an origin of their own below {front.domain}.")


async def _mail(portal: Portal) -> Said:
    async with portal.database.reading() as session:
        chosen = await settings.read(session, MailSettings)
    if chosen.host:
        return good(f"It goes out by {chosen.host}.")
    if _alone(portal) and portal.deployment.front.kind == "none":
        return good("Not set up, and not needed on one machine.")
    todo = "Name a server under Settings, E-mail, and send a test."
    return Said(Level.YELLOW, "No e-mail is sent: people see notices only here.", todo)


async def _reconciler(portal: Portal) -> Said:
    async with portal.database.reading() as session:
        at = await last_beat(session, RECONCILER)
    todo = "Look at the log of the hub, which runs it; restarting PetriHub restarts it."
    if at is None:
        return Said(Level.YELLOW, "It has not finished a round yet.", f"Wait a minute. {todo}")
    age = now() - at
    words = f"Its last round ended {max(0, round(age.total_seconds()))} seconds ago."
    if age > _ROUND_LOST:
        lost = f"Its last round ended at {at:%Y-%m-%d %H:%M} UTC."
        return Said(Level.RED, f"{lost} Interrupted starts and stops are not cleaned up.", todo)
    return Said(Level.YELLOW, words, todo) if age > _ROUND_LATE else good(words)


async def _backups(portal: Portal) -> Said:
    made = await asyncio.to_thread(newest_backup, portal)
    todo = "Run petrihub backup every night, and keep a copy on another machine."
    if made is None:
        return Said(Level.YELLOW, "There is none yet.", todo)
    age = now() - made
    words = f"The newest is from {made:%Y-%m-%d %H:%M} UTC."
    return Said(Level.YELLOW, words, todo) if age.days >= _BACKUP_DAYS else good(words)


def newest_backup(portal: Portal) -> datetime | None:
    """When the newest whole backup in the state folder was made; None if there is none."""
    newest = None
    for file in (portal.deployment.state / "backups").glob("*/backup.json"):
        if file.parent.name.startswith("."):
            continue  # one that is being made
        try:
            at = datetime.fromisoformat(json.loads(file.read_text())["made_at"]).astimezone(UTC)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        newest = at if newest is None or at > newest else newest
    return newest


async def _clock(portal: Portal) -> Said:
    todo = "Switch time synchronisation on (NTP) on every machine of PetriHub."
    async with portal.database.reading() as session:
        if session.get_bind().dialect.name == "postgresql":
            theirs = await session.scalar(select(func.now()))
            off = abs(now() - theirs) if theirs else timedelta()
            if off > _CLOCK_SLACK:
                words = f"It differs from the database's by {off.total_seconds():.0f} seconds."
                return Said(Level.YELLOW, words, todo)
        latest = await session.scalar(select(func.max(AuditRow.at)))
    if latest is not None and latest - now() > _CLOCK_SLACK:
        words = f"The audit trail has a row from {latest:%Y-%m-%d %H:%M} UTC, which is to come."
        return Said(Level.YELLOW, words, todo)
    return good("It agrees with the database and with what was written before.")


async def _trail(portal: Portal) -> Said:
    async with portal.database.reading() as session:
        newest = await audit.head(session)
        row = await session.get(AuditRow, newest.seq)
    kept = await asyncio.to_thread(heads_file(portal.deployment).last)
    number = kept.seq if kept else 0
    if number > newest.seq:
        words = f"It ends at row {newest.seq}, but row {number} was there once."
        return Said(Level.RED, words, "Verify the chain under Audit, and keep copies of all first.")
    if row is not None and number < newest.seq and now() - row.at > _HEADS_LATE:
        words = "Its newest digest is not kept outside the database."
        return Said(Level.YELLOW, words, "Can PetriHub write to its state folder?")
    return good(f"{newest.seq:,} rows; digests are kept outside the database.")


PROBES: dict[str, tuple[str, Probe]] = {
    "hub": ("Hub", _hub),
    "proxy": ("Routing proxy", _proxy),
    "database": ("Database", _database),
    "engine": ("Docker engine", _engine),
    "images": ("Image server", _images),
    "reconciler": ("Reconciler", _reconciler),
    "disk": ("Disk of the state folder", _disk),
    "certificate": ("Certificate", _certificate),
    "origins": ("Addresses of workspaces", _origins),
    "mail": ("E-mail", _mail),
    "backups": ("Backups", _backups),
    "clock": ("Clock", _clock),
    "audit": ("Audit trail", _trail),
}


async def _ask(portal: Portal, part: str, patience: float) -> Finding:
    title, probe = PROBES[part]
    try:
        async with asyncio.timeout(patience):
            said = await probe(portal)
    except TimeoutError:
        todo = "Look at its log and its machine; restart it if it stays."
        said = Said(Level.RED, f"It did not answer within {patience:.0f} seconds.", todo)
    except PetriHubError as exc:
        said = Said(Level.RED, exc.message, exc.hint)
    except (SQLAlchemyError, httpx.HTTPError, OSError) as exc:
        log.warning("a component is not well", part=part, reason=str(exc))
        said = Said(Level.RED, "It does not answer.", "Is it running? Look at its log.")
    except Exception:
        # a probe that fails must not hide what the others found
        log.exception("a probe failed", part=part)
        said = Said(Level.RED, "It could not be looked at.", "The portal's log says why.")
    return Finding(part=part, title=title, level=said.level, words=said.words, todo=said.todo)


async def look(portal: Portal, patience: float = _PATIENCE) -> list[Finding]:
    """All components, asked at once."""
    return list(await asyncio.gather(*(_ask(portal, part, patience) for part in PROBES)))


def worst(findings: list[Finding]) -> Level:
    """The level of the whole."""
    return max((each.level for each in findings), key=_ORDER.index)


class Readiness:
    """Whether requests can be answered, remembered for a moment: anybody may ask, at any rate."""

    _FRESH = 2.0  # seconds

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._turn = asyncio.Lock()
        self._at = 0.0
        self._ready = False

    async def now(self) -> bool:
        """Whether database and hub answer."""
        async with self._turn:
            if time.monotonic() - self._at > self._FRESH:
                found = await asyncio.gather(
                    *(_ask(self._portal, part, 2.0) for part in ("hub", "database"))
                )
                self._ready = all(each.level is not Level.RED for each in found)
                self._at = time.monotonic()
            return self._ready
