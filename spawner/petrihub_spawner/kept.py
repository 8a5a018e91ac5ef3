"""Workspaces that have stopped and are still being saved: what the reconciler does for them.

The open order to save is the record (see `petrihub_core.at_stop`); while there is one, nothing of
the workspace is removed. When it has ended, what is left outside is an orphan like any other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import httpx

from petrihub_core import at_stop, checkpoints
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.errors import NotFound, PetriHubError, Unavailable
from petrihub_core.image_server import ImageServer, find_image_server
from petrihub_core.images import allowed_images
from petrihub_core.logs import get_logger
from petrihub_core.records import WorkspaceImage
from petrihub_spawner.failpoints import fail_point
from petrihub_spawner.foundation import Foundation
from petrihub_spawner.pod.model import Container, PodRef
from petrihub_spawner.runner import Runner
from petrihub_spawner.saving import CREDENTIAL_VARIABLE, checkpointers

_ANSWER = 5.0  # seconds
_NEEDS_HELPER = (State.ASKED, State.MEASURING, State.SAVING)

log = get_logger(__name__)


@dataclass
class Kept:
    """Wakes what is kept, so that it can be saved."""

    foundation: Foundation
    runner: Runner
    waiting: list[str] = field(default_factory=list)

    async def keys(self) -> frozenset[str]:
        """The workspaces of which something is kept now."""
        async with self.foundation.database.reading() as session:
            return frozenset(_key(each) for each in await at_stop.all_kept(session))

    async def ask(self, key: str) -> bool:
        """Whether the workspace is to be kept, which nobody but us would end now."""
        person, _, workspace = key.partition("/")
        async with self.foundation.database.session() as session:
            return await at_stop.ask(session, person, workspace) is not None

    async def go_on(self, busy: Collection[str]) -> None:
        """One step for each; those that are `busy` are stopping still."""
        self.waiting = []
        if not await self.keys():
            return
        async with self.foundation.database.session() as session:
            await checkpoints.expire(session)  # the image service may be away
        async with self.foundation.database.reading() as session:
            orders = list(await at_stop.all_kept(session))
            images = await allowed_images(session)
        for order in orders:
            if order.state in _NEEDS_HELPER:
                self.waiting.append(_key(order))
                if _key(order) not in busy:
                    await self._step_or_say_why(order, images)

    async def _step_or_say_why(
        self, order: Checkpoint, images: Mapping[str, WorkspaceImage]
    ) -> None:
        try:
            await self._step(order, images)
        except NotFound:
            async with self.foundation.database.session() as session:
                await at_stop.lost(session, order.id)
        except PetriHubError as exc:
            log.warning("not saved yet", workspace=_key(order), reason=exc.message)
            async with self.foundation.database.session() as session:
                row = await session.get_one(Checkpoint, order.id, with_for_update=True)
                if row.state == State.ASKED:
                    await checkpoints.fail(session, row, exc.message)

    async def _step(self, order: Checkpoint, images: Mapping[str, WorkspaceImage]) -> None:
        async with self.foundation.database.session() as session:
            row = await session.get_one(Checkpoint, order.id, with_for_update=True)
            if row.state not in _NEEDS_HELPER or await at_stop.refused(session, row):
                return
        server = find_image_server(self.foundation.deployment)
        [helper] = checkpointers(server, images) or [None]
        if server is None or helper is None:
            raise Unavailable("The image server does not run.")
        if order.state == State.ASKED:
            await _require_answer(server)
        ref = self._ref(order)
        await self.runner.wake(ref, order.id, lambda: self._helper(order.id, helper), helper.image)
        fail_point("save.woken")

    async def _helper(self, order_id: str, helper: Container) -> Container | None:
        fail_point("save.revived")
        async with self.foundation.database.session() as session:
            credential = await at_stop.hand_over(session, order_id)
        fail_point("save.handed-over")
        return replace(helper, secrets={CREDENTIAL_VARIABLE: credential}) if credential else None

    def _ref(self, order: Checkpoint) -> PodRef:
        return PodRef(
            deployment=self.foundation.deployment.id,
            person=order.owner,
            workspace=order.workspace,
        )


async def _require_answer(server: ImageServer) -> None:
    """Raise `Unavailable` if the image service is away: then nobody would give the order."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER) as client:
            (await client.get(f"{server.service}/alive")).raise_for_status()
    except httpx.HTTPError as exc:
        raise Unavailable("The image service does not answer.") from exc


def _key(order: Checkpoint) -> str:
    return f"{order.owner}/{order.workspace}"
