"""The certificate in force: versioned in the database, its key in the vault, a copy for the front.

The front reads one file at each handshake. Whoever changes the certificate writes that file anew
with a rename, so that the front sees the old pair or the new one and nothing between.
"""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core import audit, settings
from petrihub_core.addresses import FrontSection
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, Refused, Unavailable
from petrihub_core.records import SettingsVersion, now
from petrihub_core.settings import SettingsPage
from petrihub_core.settings.vault import Vault
from petrihub_portal.certificates import (
    Pair,
    look_at,
    publicly_trusted,
    require_covered,
    self_signed,
)

Kind = Literal["none", "self-signed", "uploaded", "acme"]

_LOOK_EVERY = 0.02  # seconds, for the lock of the front's copy
_KEPT = 4  # versions whose keys are kept, so that they can be put back


class CertificateSettings(SettingsPage):
    """The certificate of this site; its key is the secret named by its fingerprint."""

    page: ClassVar[str] = "certificate"
    title: ClassVar[str] = "Certificate"

    kind: Kind = Field("none", description="Where it comes from.")
    chain: str = Field("", description="The chain in PEM, the site's own first.")
    fingerprint: str = Field("", description="SHA-256 of the first certificate, in hex digits.")
    trusted: bool = Field(False, description="Whether browsers trust it by themselves.")


class CertificateStore:
    """Keeps the certificate; every replica may hold one of these."""

    def __init__(self, deployment: Deployment, database: Database, vault: Vault) -> None:
        self.deployment = deployment
        self.database = database
        self._vault = vault

    @classmethod
    def of(cls, deployment: Deployment) -> "CertificateStore":
        """The store of a deployment, with a database connection of its own to `close`."""
        vault = Vault(deployment.secrets / "settings_keys")
        return cls(deployment, Database.open(deployment.database_url), vault)

    async def close(self) -> None:
        """Give the connections back."""
        await self.database.close()

    async def in_force(self) -> CertificateSettings:
        """What is in force; kind "none" before there is any."""
        async with self.database.reading() as session:
            return await settings.read(session, CertificateSettings)

    async def ensure(self) -> None:
        """Make a self-signed certificate if there is none, and bring the front's file up to date.

        So HTTPS answers from the first moment, and nobody signs in by plain HTTP before it.
        """
        async with self.database.reading() as session:
            there = await settings.read(session, CertificateSettings)
        front = self.deployment.front
        # one of ours from before people had origins of their own is made anew; nobody else's is
        if there.kind == "none" or (there.kind == "self-signed" and not suffices(there, front)):
            pair = self_signed(front.domain, now(), subdomains=front.origins)
            await self.keep(pair, "self-signed", by="petrihub")
        await self.write_file()

    async def keep(self, pair: Pair, kind: Kind, *, by: str) -> CertificateSettings:
        """Make a checked pair the one in force; the front serves it after `write_file`."""
        look = look_at(pair.chain)
        trusted = kind != "self-signed" and await asyncio.to_thread(
            publicly_trusted, pair.chain, self.deployment.front.domain, now()
        )
        chosen = CertificateSettings(
            kind=kind, chain=pair.chain, fingerprint=look.fingerprint, trusted=trusted
        )
        async with self.database.session() as session:
            await self._vault.seal(session, chosen.page, look.fingerprint, pair.key, by)
            await settings.write(session, chosen, by=by)
            await audit.record(
                session,
                actor=by,
                action="certificate.replaced",
                target=", ".join(look.names),
                detail={"kind": kind, "sha256": look.fingerprint, "until": str(look.not_after)},
            )
            await self._forget_old_keys(session, by)
        return chosen

    async def put_back(self, before: CertificateSettings, *, by: str, why: str) -> None:
        """Make an earlier certificate the one in force again; its key must still be kept.

        The front serves it after `write_file`.
        """
        async with self.database.session() as session:
            if await self._vault.open(session, before.page, before.fingerprint) is None:
                raise NotFound("The key of this certificate is not kept any more.")
            await settings.write(session, before, by=by)
            await audit.record(
                session,
                actor=by,
                action="certificate.put-back",
                target=", ".join(look_at(before.chain).names),
                detail={"sha256": before.fingerprint, "why": why},
            )

    async def earlier(self) -> list[SettingsVersion]:
        """Earlier certificates that can be put back, newest first, each once."""
        async with self.database.reading() as session:
            versions = await settings.history(session, CertificateSettings.page)
            keys = await self._vault.look(session, CertificateSettings.page)
        seen = {versions[0].content["fingerprint"]} if versions else set()
        found = []
        for each in versions:
            fingerprint = each.content["fingerprint"]
            if fingerprint in keys and fingerprint not in seen:
                seen.add(fingerprint)
                found.append(each)
        return found

    async def write_file(self) -> None:
        """Bring the front's copy up to date; does nothing if it is, or before there is any."""
        path = self.deployment.certificate_file
        async with _alone_in(path.parent):
            async with self.database.reading() as session:
                there = await settings.read(session, CertificateSettings)
                if there.kind == "none":
                    return
                key = await self._vault.open(session, there.page, there.fingerprint)
            if key is None:
                raise Unavailable(
                    "The key of the certificate in force is missing.",
                    hint="Upload the certificate with its key again.",
                )
            await asyncio.to_thread(_replace, path, key + there.chain)

    async def _forget_old_keys(self, session: AsyncSession, by: str) -> None:
        versions = await settings.history(session, CertificateSettings.page, _KEPT)
        kept = {each.content["fingerprint"] for each in versions}
        for field in await self._vault.look(session, CertificateSettings.page):
            if field not in kept:
                await self._vault.forget(session, CertificateSettings.page, field, by)


@asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """One writer of all replicas at a time: what one has read must not be written over what another
    has read later.
    """
    descriptor = _opened(folder)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_LOOK_EVERY)
            else:
                break
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise _unwritable(folder, exc) from exc


def _unwritable(folder: Path, exc: OSError) -> Unavailable:
    return Unavailable(
        f"The front's copy of the certificate cannot be written: {exc.strerror}.",
        hint=f"Look at the folder {folder}: is the disk full, or is it another account's?",
    )


def _replace(path: Path, text: str) -> None:
    """Write the file in one step, readable by this account only; nothing if it says so already."""
    try:
        if path.exists() and path.read_text() == text:
            return
        descriptor, fresh = tempfile.mkstemp(dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).rename(path)
    except OSError as exc:
        raise _unwritable(path.parent, exc) from exc


def suffices(there: CertificateSettings, front: FrontSection) -> bool:
    """Whether the certificate in force is for all names of the site."""
    try:
        require_covered(look_at(there.chain).names, front.domain, subdomains=front.origins)
    except Refused:
        return False
    return True


def until(there: CertificateSettings) -> datetime | None:
    """When the certificate in force ends; None if there is none."""
    return look_at(there.chain).not_after if there.chain else None
