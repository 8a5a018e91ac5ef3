"""Volumes that are kept on another machine: which they are, who mounts them, and with which key.

The helper that mounts may mount and nothing else, shares neither processes nor network with the
workspace's programs, and is the only one that holds what opens the storage.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from petrihub_core.carriers import S3, SFTP, VOLUME, StorageSection
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.errors import ConfigError, Unavailable
from petrihub_core.places import prefix_of
from petrihub_core.records import WorkspaceImage
from petrihub_core.storage_keys import (
    GROUP_ACCOUNT,
    HOME_ACCOUNT,
    PUBLIC_READER,
    PUBLIC_WRITER,
    enrol,
)
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.pod.model import Container, Mount, Remote, Resources, Volume, WorkspacePod

CARRIER = "storage"
MOUNTS_VARIABLE = "PETRIHUB_MOUNTS"
KEY_VARIABLE = "PETRIHUB_STORAGE_KEY"
S3_VARIABLE = "PETRIHUB_STORAGE_S3"
_LIMITS = Resources(cpu=2, memory_bytes=512 * 2**20, pids=256)
_RESTARTS = 5


def carried(
    volumes: Iterable[Volume], mounts: Iterable[Mount], storage: StorageSection
) -> tuple[Volume, ...]:
    """The same volumes, with where their files are if that is another machine.

    `mounts` are the main container's: what it only reads it is only let read.
    """
    if storage.carrier == VOLUME:
        return tuple(volumes)
    read_only = {mount.volume for mount in mounts if mount.read_only}
    return tuple(
        replace(volume, remote=_remote(volume, storage, writes=volume.name not in read_only))
        for volume in volumes
    )


def _remote(volume: Volume, storage: StorageSection, *, writes: bool) -> Remote:
    if storage.carrier == SFTP and storage.sftp:
        return Remote(
            kind=SFTP,
            host=storage.sftp.host,
            port=storage.sftp.port,
            account=_account(volume, writes=writes),
            host_key=storage.sftp.host_key,
        )
    if storage.carrier == S3 and storage.s3:
        kind = volume.name.partition("-")[0]
        return Remote(
            kind=S3,
            endpoint=storage.s3.endpoint,
            region=storage.s3.region,
            bucket=storage.s3.bucket,
            prefix=prefix_of(kind, volume.subject),
        )
    raise ConfigError("[storage] is not complete.", hint="Run `petrihub config check`.")


def _account(volume: Volume, *, writes: bool) -> str:
    if volume.name == "home":
        return f"{HOME_ACCOUNT}{volume.subject}"
    if volume.subject:
        return f"{GROUP_ACCOUNT}{volume.subject}"
    return PUBLIC_WRITER if writes else PUBLIC_READER


def carrier(
    volumes: Iterable[Volume], mounts: Iterable[Mount], images: Mapping[str, WorkspaceImage]
) -> tuple[Container, ...]:
    """The helper that mounts what is kept elsewhere; none if nothing is.

    Raises `Unavailable` if its image is not built.
    """
    remote = {volume.name: volume for volume in volumes if volume.remote}
    if not remote:
        return ()
    if SIDECARS_IMAGE not in images:
        raise Unavailable(
            "The files are kept on another machine, and the helper that mounts them is not built.",
            hint="Ask the administrator to run `petrihub images build`.",
        )
    orders = [
        {
            "name": mount.volume,
            "path": mount.path,
            "title": remote[mount.volume].title,
            "read_only": mount.read_only,
            "remote": _said(remote[mount.volume].remote),
        }
        for mount in mounts
        if mount.volume in remote
    ]
    return (
        Container(
            name=CARRIER,
            image=images[SIDECARS_IMAGE].digest,
            command=("mounts",),
            environment={MOUNTS_VARIABLE: json.dumps(orders)},
            resources=_LIMITS,
            carries=True,
            restarts=_RESTARTS,
        ),
    )


def _said(remote: Remote | None) -> dict[str, str | int]:
    return {name: value for name, value in asdict(remote).items() if value} if remote else {}


async def with_storage_key(
    database: Database, deployment: Deployment, pod: WorkspacePod
) -> WorkspacePod:
    """The same pod, whose storage helper can get in; it bears its intent."""
    if pod.carrier is None:
        return pod
    if deployment.storage.carrier == SFTP:
        accounts = [each.remote.account for each in pod.volumes if each.remote]
        async with database.session() as session:
            key = await enrol(
                session,
                owner=pod.ref.person,
                workspace=pod.ref.workspace,
                intent=pod.intent,
                accounts=accounts,
            )
        secrets = {KEY_VARIABLE: key}
    else:
        secrets = {S3_VARIABLE: bucket_credentials(deployment)}
    return replace(
        pod,
        sidecars=tuple(
            replace(each, secrets=secrets) if each.carries else each for each in pod.sidecars
        ),
    )


def bucket_credentials(deployment: Deployment) -> str:
    """ "<access key>:<secret key>"; raises `ConfigError` if the file does not hold them."""
    section = deployment.storage.s3
    path = deployment.state / section.credentials if section else deployment.state
    try:
        access_key, secret_key = path.read_text().split()
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{path} does not hold two lines, the access key and the secret key.",
            hint="Write them there, readable by the hub's account only.",
        ) from exc
    return f"{access_key}:{secret_key}"
