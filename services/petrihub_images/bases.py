"""The images on which checkpoints stand: kept in the image server, once for each digest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from petrihub_core.checkpoint_records import BaseImage
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, Unavailable
from petrihub_core.image_server import PUSH, Access, ImageServer, base_repository, base_tag, sign
from petrihub_core.logs import get_logger
from petrihub_images.documents import Json, config_for_checkpoints, oci_manifest
from petrihub_images.registry import Registry
from petrihub_images.sweep import PUSH_SECONDS, is_swept
from petrihub_spawner.backends.engine import ACT_WITHIN, Engine, EngineRefusal

log = get_logger(__name__)

_SILENT_SECONDS = 600  # for which the engine may say nothing while it packs a large layer
_TELL_SECONDS = 1.0
_WAITING_SECONDS = 30.0  # an order that is told of nothing for ten minutes is given up

Tell = Callable[[int, int], Awaitable[None]]  # bytes that are there, bytes in all


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base as the image server keeps it, with what checkpoints on it are made of."""

    repository: str
    manifest_digest: str
    manifest: Json
    config: Json


@dataclass
class _Sum:
    """How far a push is: bytes by layer."""

    there: dict[str, int]
    whole: dict[str, int]
    changed: bool = False


class Bases:
    """Brings images from the engine to the registry, and remembers what they are made of."""

    def __init__(
        self, deployment: Deployment, database: Database, registry: Registry, engine: Engine
    ) -> None:
        self._deployment = deployment
        self._database = database
        self._registry = registry
        self._engine = engine
        self._known: dict[str, Base] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def known(self, digest: str) -> Base:
        """A base that is kept already; raises `NotFound` if it is not."""
        if digest not in self._known:
            async with self._database.reading() as session:
                row = await session.get(BaseImage, digest)
            if row is None or not row.manifest_digest:
                raise NotFound("This image is not in the image server yet.")
            base = await self._read(row.repository, row.manifest_digest)
            if not row.started_as:
                await self._note_start(digest, base)
            self._known[digest] = base
        return self._known[digest]

    async def _note_start(self, digest: str, base: Base) -> None:
        """Write down how containers of it are started, for those that start from a checkpoint."""
        async with self._database.session() as session:
            row = await session.get(BaseImage, digest)
            if row is not None:
                row.started_as = base.config["config"]

    async def keep(self, server: ImageServer, image: str, digest: str, tell: Tell) -> Base:
        """The base, pushed if it is not there; raises `Unavailable` if it cannot be."""
        async with _turn(self._turns.setdefault(digest, asyncio.Lock()), tell):
            try:
                base = await self.known(digest)
                await self._registry.manifest(base.repository, base.manifest_digest)
            except NotFound:
                self._known.pop(digest, None)
                await self._push(server, base_repository(image), digest, tell)
            return await self.known(digest)

    async def _read(self, repository: str, manifest_digest: str) -> Base:
        _, pushed = await self._registry.manifest(repository, manifest_digest)
        config = await self._registry.document(repository, pushed["config"]["digest"])
        return Base(
            repository=repository,
            manifest_digest=manifest_digest,
            manifest=oci_manifest(pushed),
            config=config_for_checkpoints(config),
        )

    async def _push(self, server: ImageServer, repository: str, digest: str, tell: Tell) -> None:
        while not await self._begun(repository, digest):
            await tell(0, 0)
            await asyncio.sleep(_TELL_SECONDS)
        log.info("an image goes to the image server", repository=repository, digest=digest)
        far = _Sum({}, {})
        work = asyncio.create_task(
            asyncio.to_thread(self._push_now, server, repository, digest, far)
        )
        while not work.done():
            await asyncio.wait([work], timeout=_TELL_SECONDS)
            if far.changed:
                far.changed = False
                await tell(sum(far.there.values()), sum(far.whole.values()))
        await work
        manifest_digest, _ = await self._registry.manifest(repository, base_tag(digest))
        async with self._database.session() as session:
            row = await session.get_one(BaseImage, digest)
            row.manifest_digest = manifest_digest

    async def _begun(self, repository: str, digest: str) -> bool:
        """Write down that it is pushed, before it is; False while the registry is swept."""
        async with self._database.session() as session:
            if await is_swept(session):
                return False
            # the tag is made of the digest, so twice is once
            await session.merge(BaseImage(digest=digest, repository=repository))
        return True

    def _push_now(self, server: ImageServer, repository: str, digest: str, far: _Sum) -> None:
        name, tag = f"{server.engine}/{repository}", base_tag(digest)
        token = sign(
            self._deployment, [Access(repository, PUSH)], subject="hub", seconds=PUSH_SECONDS
        )
        try:
            self._engine.call(ACT_WITHIN, "tag", digest, name, tag)
            said = self._engine.call(
                _SILENT_SECONDS,
                "push",
                name,
                tag=tag,
                stream=True,
                decode=True,
                auth_config={"registrytoken": token.text},
            )
            for line in said:
                _take_in(line, far)
        except EngineRefusal as exc:
            raise Unavailable(
                f"The engine does not have {digest} any more.", hint="Start the workspace anew."
            ) from exc
        finally:
            self._untag(f"{name}:{tag}")

    def _untag(self, name: str) -> None:
        try:
            self._engine.call(ACT_WITHIN, "remove_image", name, noprune=True)
        except EngineRefusal as exc:
            log.info("a name stays on the engine", name=name, why=exc.words[:200])


@asynccontextmanager
async def _turn(lock: asyncio.Lock, tell: Tell) -> AsyncIterator[None]:
    """Hold the lock; whoever waits for another's push of the same base says that it goes on."""
    taking = asyncio.ensure_future(lock.acquire())
    try:
        while not taking.done():
            await asyncio.wait([taking], timeout=_WAITING_SECONDS)
            if not taking.done():
                await tell(0, 0)
    except BaseException:
        if taking.cancel() is False:
            lock.release()
        raise
    try:
        yield
    finally:
        lock.release()


def _take_in(line: dict[str, Any], far: _Sum) -> None:
    if "error" in line:
        raise Unavailable(f"The engine could not push: {str(line['error'])[:300]}.")
    detail, layer = line.get("progressDetail") or {}, str(line.get("id", ""))
    if layer and detail.get("current"):
        far.there[layer] = int(detail["current"])
        far.whole[layer] = max(int(detail.get("total") or 0), far.there[layer])
        far.changed = True
