"""The helper that saves: in the pod where there is an image server, with a credential of its own.

It sees the main container's processes and, as the same user, its files. Its interpreter may be
executed but not read, so that the kernel closes it to the programs beside it.
"""

from collections.abc import Mapping
from dataclasses import replace

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_sharing import may_build_on, require_startable
from petrihub_core.database import Database
from petrihub_core.errors import Unavailable
from petrihub_core.image_server import ImageServer
from petrihub_core.instances import Enrolment, enrol
from petrihub_core.records import Document, WorkspaceImage
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.choices import Choices
from petrihub_spawner.pod.model import Container, Resources, WorkspacePod

CHECKPOINTER = "checkpointer"
ADDRESS_VARIABLE = "PETRIHUB_IMAGES_URL"
CREDENTIAL_VARIABLE = "PETRIHUB_SIDECAR_CREDENTIAL"
_PROGRAM = ("/opt/petrihub/sidecars/bin/guarded-python", "-P", "-m", "petrihub_sidecars")
# idle but while it saves; then it is not to keep a person waiting
_LIMITS = Resources(cpu=2, memory_bytes=512 * 2**20, pids=64)
_RESTARTS = 5


def checkpointers(
    server: ImageServer | None, images: Mapping[str, WorkspaceImage]
) -> tuple[Container, ...]:
    """The helper; none where there is no image server, or where its image is not built."""
    if server is None or SIDECARS_IMAGE not in images:
        return ()
    return (
        Container(
            name=CHECKPOINTER,
            image=images[SIDECARS_IMAGE].digest,
            entrypoint=_PROGRAM,
            command=(CHECKPOINTER,),
            environment={ADDRESS_VARIABLE: server.pods},
            resources=_LIMITS,
            shares_processes=True,
            restarts=_RESTARTS,
        ),
    )


def as_its_base(
    main: Container, saved: Checkpoint | None, started_as: Mapping[str, Document]
) -> Container:
    """The same container, started as the image below the checkpoint is: nothing in a checkpoint
    says how it is started. The runner takes away what else it would set.

    Raises `Unavailable` if nobody has written down how that image is started.
    """
    if saved is None:
        return main
    said = started_as.get(saved.base_digest)
    if not said:
        raise Unavailable(
            "The image server has not yet looked at the image below this checkpoint.",
            hint="Try again in a minute; if it stays so, tell the administrator.",
        )
    below = dict(line.split("=", 1) for line in said.get("Env") or [] if "=" in line)
    return replace(
        main,
        entrypoint=main.entrypoint or tuple(said.get("Entrypoint") or ()),
        command=main.command or tuple(said.get("Cmd") or ()),
        working_dir=main.working_dir or str(said.get("WorkingDir") or "/"),
        environment={**below, **main.environment},
        sealed=True,
    )


async def with_credential(
    database: Database,
    pod: WorkspacePod,
    choices: Choices,
    images: Mapping[str, WorkspaceImage],
) -> WorkspacePod:
    """The same pod, whose helper that saves may speak for this start; it bears its intent.

    Raises `NotAllowed` if the checkpoint to continue from is not shared any more.
    """
    saved, image = choices.checkpoint, choices.profile.image
    if saved is not None:  # the last moment before it is fetched: its share may have ended
        async with database.reading() as session:
            await require_startable(session, pod.ref.person, saved)
    if not any(each.name == CHECKPOINTER for each in pod.sidecars):
        return pod
    saves = choices.profile.save_at_stop
    if saved is not None and saves:  # of what is shared read-only nothing is ever kept
        async with database.reading() as session:
            saves = await may_build_on(session, pod.ref.person, saved)
    start = Enrolment(
        owner=pod.ref.person,
        workspace=pod.ref.workspace,
        intent=pod.intent,
        profile=choices.profile.id,
        size=choices.size.id,
        base_image=saved.base_image if saved else image,
        base_digest=saved.base_digest if saved else images[image].digest,
        checkpoint_id=saved.id if saved else None,
        saves_at_stop=saves,
    )
    async with database.session() as session:
        secrets = {CREDENTIAL_VARIABLE: await enrol(session, start)}
    return replace(
        pod,
        sidecars=tuple(
            replace(each, secrets=secrets) if each.name == CHECKPOINTER else each
            for each in pod.sidecars
        ),
    )
