"""A runner's journal that writes each step into the intent before the step happens."""

from petrihub_core.intents import Intents
from petrihub_spawner.failpoints import fail_point
from petrihub_spawner.progress import Progress


class IntentJournal:
    """Steps of one start or stop, on record and in the progress that the person reads."""

    def __init__(
        self, intents: Intents, intent_id: str, kind: str, progress: Progress | None = None
    ) -> None:
        self._intents = intents
        self._id = intent_id
        self._kind = kind
        self._progress = progress

    async def step(self, name: str, **external: str | int) -> None:
        """The step called `name` comes next."""
        fail_point(f"{self._kind}.{name}.unrecorded")
        await self._intents.step(self._id, name, external=dict(external))
        if self._progress:
            self._progress.step(name)
        fail_point(f"{self._kind}.{name}")
