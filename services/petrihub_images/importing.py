"""Takes archives of checkpoints in: verifies them, keeps their blobs, records a checkpoint.

An archive brings the layers of its base along. Where the base is kept already, the checkpoint
stands on that; otherwise the base is kept as an image of its own, so that what is started from the
checkpoint can be saved again, and moved onto this installation's image.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select

from petrihub_core import checkpoint_imports
from petrihub_core.beside import beside
from petrihub_core.checkpoint_import_records import CheckpointImport
from petrihub_core.checkpoint_imports import Step, file_of, require_space
from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointPackages
from petrihub_core.checkpoint_signing import require_trusted
from petrihub_core.checkpoints import LONGEST_MESSAGE, LONGEST_NAME, SAVE, finish, next_sequence
from petrihub_core.errors import NotAllowed, NotFound, PetriHubError, Refused, Unavailable
from petrihub_core.image_server import checkpoint_repository
from petrihub_core.image_store import Store, digest_of, document_bytes
from petrihub_core.logs import get_logger
from petrihub_core.menu import offered_to
from petrihub_core.records import now
from petrihub_images.arriving import Arrived, Opened, arrived, opened
from petrihub_images.context import ImageService
from petrihub_images.documents import (
    Json,
    config_for_checkpoints,
    manifest_of,
    require_fits,
    with_layer,
)
from petrihub_images.orders import Change, Package, Summary
from petrihub_images.sweep import pushing

log = get_logger(__name__)

WORKSPACE = "imported"  # under which what was brought is listed
_EVERY = 1.0
_PAUSE = 5.0


class _About(BaseModel):
    """What an archive says of its checkpoint."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    message: str = Field("", max_length=LONGEST_MESSAGE)
    author: str = Field("", max_length=64)
    base_image: str = Field(min_length=1, max_length=128, pattern=r"^[a-z0-9][a-z0-9._/-]*$")
    summary: dict[str, int] = Field(default_factory=dict)
    changes: list[Change] = Field(default_factory=list, max_length=1000)
    packages: list[Package] = Field(default_factory=list, max_length=2000)

    def counted(self) -> Json:
        """How much differs."""
        known = {name: self.summary.get(name, 0) for name in Summary.model_fields}
        return Summary(**known).model_dump(mode="json")


class Importer:
    """One per process; one archive after the other."""

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._store = Store(service.deployment, service.registry.url)

    def close(self) -> None:
        """Give the connections back."""
        self._store.close()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        tidied = False
        while True:
            try:
                if not tidied:
                    await self._forget_left()
                    tidied = True
                await self.look()
                await asyncio.sleep(_EVERY)
            except Exception:
                # one archive that cannot be handled must not keep the others
                log.exception("a look at the imports failed")
                await asyncio.sleep(_PAUSE)

    async def _forget_left(self) -> None:
        """Remove the files of imports that have ended, where somebody was killed before that."""
        async with self._service.database.reading() as session:
            going_on = select(CheckpointImport.id).where(
                CheckpointImport.state.in_(checkpoint_imports.OPEN)
            )
            known = set(await session.scalars(going_on))
        for file in file_of(self._service.deployment, "").parent.glob("*.tar"):
            if file.stem not in known:
                file.unlink(missing_ok=True)

    async def look(self) -> None:
        """Take in what is here now, and give up what never came."""
        async with self._service.database.reading() as session:
            rows = list(
                await session.scalars(
                    select(CheckpointImport).where(
                        CheckpointImport.state.in_(checkpoint_imports.OPEN)
                    )
                )
            )
        for row in rows:
            if row.deadline <= now():
                await self._fail(row.id, "It took too long. Try it again.")
            elif row.state == Step.CHECKING:
                try:
                    await self._take_in(row)
                except Unavailable as exc:  # until its deadline
                    log.warning("not imported yet", id=row.id, reason=exc.message)
                except PetriHubError as exc:
                    await self._fail(row.id, exc.jupyterhub_message)
                except Exception:
                    log.exception("an archive could not be taken in", id=row.id)
                    await self._fail(row.id, "Something unexpected happened while it was checked.")

    async def _fail(self, import_id: str, reason: str) -> None:
        async with self._service.database.session() as session:
            row = await session.get_one(CheckpointImport, import_id, with_for_update=True)
            if row.state in checkpoint_imports.OPEN:
                await checkpoint_imports.fail(session, row, reason)
        file_of(self._service.deployment, import_id).unlink(missing_ok=True)

    async def _take_in(self, row: CheckpointImport) -> None:
        deployment = self._service.deployment
        path = file_of(deployment, row.id)
        try:
            file = path.open("rb")
        except FileNotFoundError as exc:
            raise Refused("The archive is not here any more.", hint="Send it again.") from exc
        with file:
            found = await asyncio.to_thread(opened, file)
            signer = found.signer
            async with self._service.database.reading() as session:
                await require_trusted(session, deployment, signer)
            image = await asyncio.to_thread(arrived, found, signer)
            require_space(path.parent, row.size + image.unpacked)
            about = _about(image)
            profile, size = await self._where_it_runs(row.owner, about.base_image)
            async with pushing(self._service.database):
                base = await self._base(row, image, found)
                manifest = await self._keep(row, image, found, base)
                made = _checkpoint(row, image, about, base.digest, manifest)
                made.profile, made.size = profile, size
                packages = [each.model_dump(mode="json") for each in about.packages]
                await self._record(row, made, packages)
        path.unlink(missing_ok=True)

    async def _record(self, row: CheckpointImport, made: Checkpoint, packages: list[Json]) -> None:
        async with self._service.database.session() as session:
            again = await session.get_one(CheckpointImport, row.id, with_for_update=True)
            if again.state != Step.CHECKING:
                return
            made.sequence = await next_sequence(session, row.owner, WORKSPACE)
            session.add(made)
            await session.flush()
            session.add(CheckpointPackages(checkpoint_id=made.id, packages=packages))
            again.state = Step.DONE
            await finish(session, made)

    async def _where_it_runs(self, owner: str, image: str) -> tuple[str, str]:
        """A profile and a size of it that run this image; raises `NotAllowed` if none does."""
        async with self._service.database.reading() as session:
            offered = await offered_to(session, self._service.deployment, owner)
        for each in offered.profiles:
            if each.profile.image == image and not each.refusal:
                return each.profile.id, each.sizes[0].size.id
        raise NotAllowed(
            f"It was saved in the image {image}, and no profile of yours runs that here.",
            hint="Ask the administrator for a profile with this image.",
        )

    async def _base(self, row: CheckpointImport, image: Arrived, archive: Opened) -> BaseImage:
        """The base on which it stands: one that is kept here, or the one that it brings along."""
        below = image.config["rootfs"]["diff_ids"][:-1]
        if not below:
            raise Refused("The image in this archive has no base.")
        async with self._service.database.reading() as session:
            kept = list(await session.scalars(select(BaseImage).order_by(BaseImage.asked_at)))
        for each in reversed(kept):
            if not each.manifest_digest:
                continue
            try:
                known = await self._service.bases.known(each.digest)
            except NotFound:
                continue
            if known.config["rootfs"]["diff_ids"] == below:
                return each
        config = config_for_checkpoints(
            {
                **image.config,
                "rootfs": {"type": "layers", "diff_ids": below},
                "history": image.config["history"][:-1],
            }
        )
        packed = document_bytes(config)
        repository = f"base/imported/{digest_of(packed)[7:39]}"
        manifest = document_bytes(manifest_of(packed, image.layers[:-1]))
        await asyncio.to_thread(
            self._push, archive, repository, image.layers[:-1], packed, manifest
        )
        made = BaseImage(
            digest=digest_of(manifest), repository=repository, manifest_digest=digest_of(manifest)
        )
        async with self._service.database.session() as session:
            return await session.merge(made)

    async def _keep(
        self, row: CheckpointImport, image: Arrived, archive: Opened, base: BaseImage
    ) -> str:
        """Store the image with a configuration of ours; its digest."""
        registry = self._service.registry
        known = await self._service.bases.known(base.digest)
        target = checkpoint_repository(row.owner, WORKSPACE)
        for each in known.manifest["layers"]:
            await registry.mount(each["digest"], source=known.repository, target=target)
        step = {"created_by": "petrihub import", "comment": row.id}
        config = with_layer(known.config, image.config, step, created=row.asked_at)
        packed = document_bytes(config)
        layers = [*known.manifest["layers"], image.layers[-1]]
        manifest = document_bytes(manifest_of(packed, layers))
        await asyncio.to_thread(self._push, archive, target, image.layers[-1:], packed, manifest)
        _, again = await registry.manifest(target, digest_of(manifest))
        read_back = await registry.document(target, digest_of(packed))
        require_fits(again, read_back, known.manifest, known.config)
        return digest_of(manifest)

    def _push(
        self,
        archive: Opened,
        repository: str,
        layers: list[Json],
        config: bytes,
        manifest: bytes,
    ) -> None:
        for layer in layers:
            digest = str(layer["digest"])
            place = archive.places["blobs/sha256/" + digest.removeprefix("sha256:")]
            archive.file.seek(place.offset)
            self._store.push(repository, digest, archive.file, place.size)
        self._store.push(repository, digest_of(config), io.BytesIO(config), len(config))
        self._store.put_manifest(repository, manifest)


def _checkpoint(
    row: CheckpointImport, image: Arrived, about: _About, base: str, manifest: str
) -> Checkpoint:
    """The checkpoint that is made of the archive, but for where it runs."""
    return Checkpoint(
        id=row.result_id,
        owner=row.owner,
        workspace=WORKSPACE,
        sequence=0,
        name=about.name,
        message=about.message,
        author=row.actor,
        instance="",
        profile="",
        size="",
        base_image=about.base_image,
        base_digest=base,
        kind=SAVE,
        prepared=True,
        summary=about.counted(),
        changes=[each.model_dump(mode="json") for each in about.changes],
        manifest_digest=manifest,
        layer_digest=str(image.layers[-1]["digest"]),
        layer_size=int(image.layers[-1]["size"]),
        deadline=now(),
    )


def _about(image: Arrived) -> _About:
    try:
        return _About.model_validate(image.about)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(f"What the archive says of itself cannot be used: {where[:80]}.") from exc


@asynccontextmanager
async def importing(service: ImageService) -> AsyncIterator[None]:
    """Archives are taken in within the block."""
    with closing(Importer(service)) as importer:
        async with beside(importer.run()):
            yield
