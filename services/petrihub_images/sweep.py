"""Room comes back: blobs that no manifest names are swept out of the registry, while it runs.

The registry's own `garbage-collect` does it, which is safe only while nothing is pushed. So it is:

- A helper's upload passes the front only while its order is `saving` (`app.passed`), and the engine
  pushes a base only under a token of an hour, with a row that says when it began.
- Who pushes on the hub's side does it within `pushing`.
- A sweep begins in one transaction with the look that there is no such order and no such row, and
  writes down until when it holds. Giving out an order to save, or beginning to push a base, looks
  at that row in its own transaction and waits. The row is locked by both, so one of them is first.
- What is called saved was read back while its order was still `saving`, so after every sweep that
  could have taken a blob of it.

What was pushed whole by a save that ended before it was called saved is named by no row, and goes
with a sweep. Uploads that ended halfway go too, and those of a save that has failed at once: it may
be for want of room that it failed, and then there is none to write that down either.

A sweep that is killed has removed nothing that anybody names; its program ends by itself before the
row's time is over.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.checkpoints import OPEN, State
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.image_server import checkpoint_repository, registry_config_file
from petrihub_core.logs import get_logger
from petrihub_core.records import Lease, WorkspaceImage, new_id, now
from petrihub_images.registry import Registry

PUSH_SECONDS = 3600  # for which the engine's own token holds: a base may have many gigabytes
_NAME = "image-sweep"  # the row is made with the tables
_PUSHES = "image-push-"  # before the names of rows of `pushing`
_LONGEST_PUSH = timedelta(hours=4)  # after which a row was left by a process that was killed
_WAIT = 1.0
_LONGEST_SECONDS = 540
_REPOSITORIES = "docker/registry/v2/repositories"  # below the registry's storage
_HOLD = timedelta(seconds=_LONGEST_SECONDS + 60)

log = get_logger(__name__)


async def is_swept(session: AsyncSession) -> bool:
    """Whether the registry is being swept; it does not begin before the caller's transaction ends.

    The caller must not begin to push then, and may ask again in a moment.
    """
    row = await session.get(Lease, _NAME, with_for_update=True)
    return row is not None and row.until > now()


@asynccontextmanager
async def pushing(database: Database) -> AsyncIterator[None]:
    """Nothing is swept within the block: for whoever pushes here on the hub's side.

    The block holds from before the first blob until the row that names the result is committed.
    Waits while it is swept.
    """
    name = f"{_PUSHES}{new_id()}"
    while not await _noted(database, name):  # noqa: ASYNC110 - another process sweeps
        await asyncio.sleep(_WAIT)
    try:
        yield
    finally:
        async with database.session() as session:
            await session.delete(await session.get_one(Lease, name))


async def _noted(database: Database, name: str) -> bool:
    async with database.session() as session:
        if await is_swept(session):
            return False
        session.add(Lease(name=name, holder="", until=now() + _LONGEST_PUSH))
    return True


def _our_pushes() -> Select[str]:
    return select(Lease.name).where(Lease.name.startswith(_PUSHES), Lease.until > now())


async def _is_pushed_to(session: AsyncSession) -> bool:
    begun = now() - timedelta(seconds=PUSH_SECONDS)
    for one in (
        select(Checkpoint.id).where(Checkpoint.state == State.SAVING),
        select(BaseImage.digest).where(BaseImage.manifest_digest == "", BaseImage.asked_at > begun),
        _our_pushes(),
    ):
        if await session.scalar(one.limit(1)) is not None:
            return True
    return False


class Sweeper:
    """Sweeps when it was asked for and nothing is pushed."""

    def __init__(self, deployment: Deployment, database: Database, registry: Registry) -> None:
        self._deployment = deployment
        self._database = database
        self._registry = registry
        self._holder = new_id()
        self.wanted = True  # nobody knows what an earlier life of this process had still to do

    async def sweep(self) -> bool:
        """Sweep, unless something is being pushed now; whether it was done."""
        config = registry_config_file(self._deployment)
        if not config.exists() or not await self._hold():
            return False
        self.wanted = False
        try:
            await self._forget_bases()
            await self._forget_unnamed()
            await self._collect()
            await asyncio.to_thread(self._remove_uploads, Path())
        finally:
            await self.let_go()
        return True

    async def give_up(self, session: AsyncSession, order: Checkpoint) -> None:
        """Remove what a save that has failed had pushed of a blob; the rest goes with a sweep."""
        self.wanted = True
        if order.state == State.SAVING and await session.scalar(_our_pushes()) is None:
            repository = Path(checkpoint_repository(order.owner, order.workspace))
            await asyncio.to_thread(self._remove_uploads, repository)

    def _remove_uploads(self, below: Path) -> None:
        """The registry itself would keep them for a week; its store is ours alone to write to."""
        storage = registry_config_file(self._deployment).with_name("storage")
        top = storage / _REPOSITORIES / below
        for folder, inside, _ in os.walk(top):
            if "_uploads" in inside:
                inside.clear()
                shutil.rmtree(Path(folder, "_uploads"), ignore_errors=True)

    async def _hold(self) -> bool:
        async with self._database.session() as session:
            if await is_swept(session):
                return False
            if await _is_pushed_to(session):
                return False
            row = await session.get_one(Lease, _NAME)
            row.holder, row.until = self._holder, now() + _HOLD
            return True

    async def let_go(self) -> None:
        """End this process's hold, if it has one."""
        async with self._database.session() as session:
            row = await session.get_one(Lease, _NAME, with_for_update=True)
            if row.holder == self._holder:
                row.until = now()

    async def _forget_bases(self) -> None:
        """Forget bases on which nothing stands, and which no profile runs any more."""
        named = select(Checkpoint.base_digest).where(
            Checkpoint.state.in_([*OPEN, State.DONE, State.DELETING])
        )
        async with self._database.reading() as session:
            unused = list(
                await session.scalars(
                    select(BaseImage).where(
                        BaseImage.manifest_digest != "",
                        BaseImage.digest.not_in(named),
                        BaseImage.digest.not_in(select(WorkspaceImage.digest)),
                    )
                )
            )
        for base in unused:
            await self._registry.forget(base.repository, base.manifest_digest)
            async with self._database.session() as session:
                await session.delete(await session.get_one(BaseImage, base.digest))
            log.info("a base is forgotten", repository=base.repository, digest=base.digest)

    async def _forget_unnamed(self) -> None:
        """Forget manifests that no row names: of saves that ended after they had pushed all."""
        async with self._database.reading() as session:
            saved = await session.execute(
                select(Checkpoint.owner, Checkpoint.workspace, Checkpoint.manifest_digest)
            )
            bases = await session.execute(select(BaseImage.repository, BaseImage.manifest_digest))
        named = {(checkpoint_repository(owner, name), digest) for owner, name, digest in saved}
        named.update((repository, digest) for repository, digest in bases)
        for repository, digest in await asyncio.to_thread(self._manifests):
            if (repository, digest) not in named:
                await self._registry.forget(repository, digest)
                log.info("what nobody names is forgotten", repository=repository, digest=digest)

    def _manifests(self) -> list[tuple[str, str]]:
        """Repository and digest of all that is kept; the registry has no call for that."""
        top = registry_config_file(self._deployment).with_name("storage") / _REPOSITORIES
        links = top.glob("**/_manifests/revisions/sha256/*/link")
        return [
            (str(link.parents[4].relative_to(top)), f"sha256:{link.parent.name}") for link in links
        ]

    async def _collect(self) -> None:
        with (self._deployment.logs / "registry.log").open("ab") as out:
            # ends by itself, so also when this process is killed meanwhile
            process = await asyncio.create_subprocess_exec(
                *("timeout", "--signal=KILL", str(_LONGEST_SECONDS)),
                *(
                    "docker-registry",
                    "garbage-collect",
                    str(registry_config_file(self._deployment)),
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=out,
            )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        log.info("the registry was swept", exit_code=code)
