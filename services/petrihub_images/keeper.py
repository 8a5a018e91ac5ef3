"""What the image service does by itself: prepares orders, ends late ones, forgets what was deleted.

All of it stands in the records, so a service that was killed goes on where it was.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from petrihub_core.beside import beside
from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.checkpoint_retention import forget_old
from petrihub_core.checkpoints import OPEN, SAVE, State, expire, fail
from petrihub_core.errors import PetriHubError
from petrihub_core.image_server import checkpoint_repository, require_image_server
from petrihub_core.logs import get_logger
from petrihub_core.menu import menu_of
from petrihub_core.records import now
from petrihub_images.context import ImageService

log = get_logger(__name__)

EVERY = 1.0  # seconds between two looks
_EXPIRE_EVERY = 10  # looks
_SWEEP_EVERY = 60  # looks; when something was deleted, and nothing is pushed
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_MORE_TIME = timedelta(minutes=10)  # from the last sign that it goes on


class Keeper:
    """One per process; what several do at once is done once, since names come from digests."""

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._work: dict[str, asyncio.Task[None]] = {}
        self._looks = 0

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except PetriHubError as exc:
                    log.warning("not looked", reason=exc.message)
                except Exception:
                    # one order that cannot be handled must not keep the others
                    log.exception("a look failed")
                await asyncio.sleep(EVERY)
        finally:
            work = list(self._work.values())
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            # wherever a sweep was cancelled: nobody could push for ten minutes
            await self._service.sweeper.let_go()

    async def look(self) -> None:
        """One look at all that is open."""
        database = self._service.database
        if self._looks % _EXPIRE_EVERY == 0:
            async with database.session() as session:
                await expire(session)
        if self._looks == 0:
            self._begin("bases", self._note_starts())
        if self._looks % _SWEEP_EVERY == 0 and self._service.sweeper.wanted:
            self._begin("sweep", self._sweep())
        if self._looks % _SWEEP_EVERY == 0:
            self._begin("old", self._forget_old())
        self._looks += 1
        async with database.reading() as session:
            found = (
                await session.execute(
                    select(
                        Checkpoint.id, Checkpoint.instance, Checkpoint.state, Checkpoint.prepared
                    ).where(Checkpoint.state.in_([*OPEN, State.DELETING]))
                )
            ).all()
        for row in found:
            if row.state == State.DELETING:
                self._begin(row.id, self._forget(row.id))
            elif not row.prepared and row.state != State.WAITING:
                self._begin(row.id, self._prepare(row.id))
            if row.state in (State.ASKED, State.MEASURING, State.SAVING):
                self._service.bell.ring(row.instance)

    def _begin(self, order_id: str, work: Coroutine[Any, Any, None]) -> None:
        if order_id in self._work:
            work.close()
            return
        task = asyncio.create_task(work)
        self._work[order_id] = task
        task.add_done_callback(lambda ended: self._ended(order_id, ended))

    def _ended(self, order_id: str, task: asyncio.Task[None]) -> None:
        self._work.pop(order_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("not carried out", order=order_id, exc_info=task.exception())

    async def _prepare(self, order_id: str) -> None:
        """Bring the base to the registry and its layers into the repository; tried until it is."""
        pause = _FIRST_PAUSE
        while (order := await self._wanting(order_id)) is not None:
            try:
                await self._prepare_once(order)
            except PetriHubError as exc:
                log.warning("not prepared", order=order_id, reason=exc.message)
                await self._tell(order_id, {"stage": "waiting", "problem": exc.message})
                await self._put_off(order_id, exc.message)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
            else:
                return

    async def _put_off(self, order_id: str, reason: str) -> None:
        """What has stopped waits for the next try, and its owner is told."""
        async with self._service.database.session() as session:
            row = await session.get_one(Checkpoint, order_id, with_for_update=True)
            if row.at_stop and row.state == State.ASKED:
                await fail(session, row, reason)

    async def _wanting(self, order_id: str) -> Checkpoint | None:
        async with self._service.database.reading() as session:
            order = await session.get(Checkpoint, order_id)
        if order is None or order.prepared or order.state == State.WAITING:
            return None
        return order if order.state in OPEN else None

    async def _prepare_once(self, order: Checkpoint) -> None:
        service = self._service

        async def tell(there: int, whole: int) -> None:
            far = {"stage": "base", "bytes": there, "total_bytes": whole}
            await self._tell(order.id, far, more_time=True)

        server = require_image_server(service.deployment)
        base = await service.bases.keep(server, order.base_image, order.base_digest, tell)
        target = checkpoint_repository(order.owner, order.workspace)
        for layer in base.manifest["layers"]:
            await service.registry.mount(layer["digest"], source=base.repository, target=target)
        async with service.database.session() as session:
            row = await session.get_one(Checkpoint, order.id, with_for_update=True)
            row.prepared = True
            if row.state == State.ASKED:
                row.progress, row.deadline = {}, now() + _MORE_TIME
        if order.kind == SAVE:
            service.bell.ring(order.instance)

    async def _tell(
        self, order_id: str, progress: dict[str, Any], *, more_time: bool = False
    ) -> None:
        async with self._service.database.session() as session:
            row = await session.get_one(Checkpoint, order_id, with_for_update=True)
            if row.state != State.ASKED:
                return
            row.progress = progress
            if more_time:
                row.deadline = now() + _MORE_TIME

    async def _forget(self, checkpoint_id: str) -> None:
        """Delete the manifest, then the record; after a failure the next look tries again."""
        service = self._service
        async with service.database.reading() as session:
            row = await session.get(Checkpoint, checkpoint_id)
        if row is None:
            return
        repository = checkpoint_repository(row.owner, row.workspace)
        try:
            if not await self._stands_elsewhere(row):
                await service.registry.forget(repository, row.manifest_digest)
        except PetriHubError as exc:
            log.warning("not forgotten", checkpoint=checkpoint_id, reason=exc.message)
            await asyncio.sleep(_LONGEST_PAUSE)
            return
        async with service.database.session() as session:
            await session.delete(await session.get_one(Checkpoint, checkpoint_id))
        service.sweeper.wanted = True

    async def _note_starts(self) -> None:
        """Look at the bases of which it is not written down how they are started."""
        async with self._service.database.reading() as session:
            rows = await session.scalars(select(BaseImage).where(BaseImage.manifest_digest != ""))
            unknown = [row.digest for row in rows if not row.started_as]
        for digest in unknown:
            await self._service.bases.known(digest)

    async def _forget_old(self) -> None:
        """Let automatic saves go that are more than their profile keeps."""
        async with self._service.database.session() as session:
            menu = await menu_of(session, self._service.deployment)
            forgotten = await forget_old(session, menu)
        if forgotten:
            log.info("old saves are forgotten", number=forgotten)

    async def _sweep(self) -> None:
        if await self._service.sweeper.sweep():
            self._service.bell.ring_all()

    async def _stands_elsewhere(self, row: Checkpoint) -> bool:
        """Whether another checkpoint is the very same image: nothing had changed in between."""
        async with self._service.database.reading() as session:
            other = await session.scalar(
                select(Checkpoint.id).where(
                    Checkpoint.id != row.id,
                    Checkpoint.owner == row.owner,
                    Checkpoint.workspace == row.workspace,
                    Checkpoint.manifest_digest == row.manifest_digest,
                )
            )
        return other is not None


@asynccontextmanager
async def kept(service: ImageService) -> AsyncIterator[None]:
    """The keeper works within the block."""
    async with beside(Keeper(service).run()):
        yield
