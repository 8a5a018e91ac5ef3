"""Puts checkpoints onto their image as it was built anew, without a running workspace.

What takes long is done in a thread. All of it stands in the records and every name comes from
content, so a service that was killed begins again and finds what is there.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from sqlalchemy import select

from petrihub_core import checkpoint_moves
from petrihub_core.beside import beside
from petrihub_core.checkpoint_move_records import CheckpointMove
from petrihub_core.checkpoint_moves import WORK, Step
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.errors import NotFound, Refused, Unavailable
from petrihub_core.image_server import checkpoint_repository, require_image_server
from petrihub_core.image_store import Store, digest_of, document_bytes
from petrihub_core.logs import get_logger
from petrihub_images.bases import Base
from petrihub_images.context import ImageService
from petrihub_images.documents import manifest_of, require_fits, with_layer
from petrihub_images.layers import Layer
from petrihub_images.recorded import PACKED_LIMIT, PATH, Recorded, conflicts
from petrihub_images.sweep import pushing

log = get_logger(__name__)

_EVERY = 1.0  # seconds between two looks
_PAUSE = 5.0  # after one that failed


class Mover:
    """One per process; one move after the other."""

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._store = Store(service.deployment, service.registry.url)

    def close(self) -> None:
        """Give the connections back."""
        self._store.close()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
                await asyncio.sleep(_EVERY)
            except Exception:
                # one move that cannot be handled must not keep the others
                log.exception("a look at the moves failed")
                await asyncio.sleep(_PAUSE)

    async def look(self) -> None:
        """Carry out what is open now."""
        async with self._service.database.session() as session:
            await checkpoint_moves.expire(session)
        async with self._service.database.reading() as session:
            rows = await session.scalars(
                select(CheckpointMove).where(CheckpointMove.state.in_(WORK))
            )
            found = list(rows)
        for move in found:
            try:
                await self._carry_out(move)
            except Unavailable as exc:  # until its deadline
                log.warning("not moved yet", move=move.id, reason=exc.message)
            except (Refused, NotFound) as exc:
                await self._fail(move.id, exc.message)
            except Exception:
                log.exception("a move could not be carried out", move=move.id)
                await self._fail(move.id, "Something unexpected happened.")

    async def _fail(self, move_id: str, reason: str) -> None:
        async with self._service.database.session() as session:
            row = await session.get_one(CheckpointMove, move_id, with_for_update=True)
            if row.state in WORK:
                await checkpoint_moves.fail(session, row, reason)

    async def _carry_out(self, move: CheckpointMove) -> None:
        service = self._service
        async with service.database.reading() as session:
            row = await session.get_one(Checkpoint, move.checkpoint_id)
        old = await service.bases.known(row.base_digest)
        server = require_image_server(service.deployment)
        new = await service.bases.keep(server, row.base_image, move.new_base, _unheard)
        if move.state == Step.LOOKING:
            found = await asyncio.to_thread(self._conflicts, row, old, new)
            async with service.database.session() as session:
                again = await session.get_one(CheckpointMove, move.id, with_for_update=True)
                if again.state == Step.LOOKING:
                    await checkpoint_moves.looked(session, again, found)
            return
        async with pushing(service.database):
            digest = await self._move(row, old, new, move)
            async with service.database.session() as session:
                again = await session.get_one(CheckpointMove, move.id, with_for_update=True)
                if again.state == Step.MOVING:
                    await checkpoint_moves.done(session, again, digest)

    def _conflicts(self, row: Checkpoint, old: Base, new: Base) -> list[dict[str, str]]:
        repository = checkpoint_repository(row.owner, row.workspace)
        was, now = self._recorded(old), self._recorded(new)
        with self._store.blob(repository, row.layer_digest) as packed:
            return conflicts(Layer(packed).members(), was, now)

    def _recorded(self, base: Base) -> Recorded:
        """The list of its files that an image holds: in the last of its layers that has one."""
        for layer in reversed(base.manifest["layers"]):
            with self._store.blob(base.repository, layer["digest"]) as packed:
                walk = Layer(packed)
                for member in walk.members():
                    if member.path == PATH:
                        return Recorded(walk.content(PACKED_LIMIT))
        raise Refused("This image has no list of its files, so nobody can tell what would collide.")

    async def _move(self, row: Checkpoint, old: Base, new: Base, move: CheckpointMove) -> str:
        """The digest of the new image: the new base's layers and the checkpoint's one."""
        registry = self._service.registry
        target = checkpoint_repository(row.owner, row.workspace)
        _, manifest = await registry.manifest(target, row.manifest_digest)
        config = await registry.document(target, str(manifest["config"]["digest"]))
        layer = require_fits(manifest, config, old.manifest, old.config)
        for each in new.manifest["layers"]:
            await registry.mount(each["digest"], source=new.repository, target=target)
        step = {
            "created": move.asked_at.isoformat(),
            "author": move.actor,
            "created_by": "petrihub checkpoint",
            "comment": f"{move.name} (moved onto {move.new_base})",
        }
        packed = document_bytes(with_layer(new.config, config, step, created=move.asked_at))
        whole = manifest_of(packed, [*new.manifest["layers"], layer])
        digest = await asyncio.to_thread(self._put, target, packed, document_bytes(whole))
        _, again = await registry.manifest(target, digest)
        config = await registry.document(target, digest_of(packed))
        require_fits(again, config, new.manifest, new.config)
        return digest

    def _put(self, repository: str, config: bytes, manifest: bytes) -> str:
        self._store.push(repository, digest_of(config), io.BytesIO(config), len(config))
        return self._store.put_manifest(repository, manifest)


async def _unheard(there: int, whole: int) -> None:
    """Nobody is told how far the base is; that something moves is seen."""


@asynccontextmanager
async def moving(service: ImageService) -> AsyncIterator[None]:
    """Moves are carried out within the block."""
    with closing(Mover(service)) as mover:
        async with beside(mover.run()):
            yield
