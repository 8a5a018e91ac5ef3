"""Counts what people keep in a bucket: in a container with the credentials and nothing else."""

import asyncio
import json
from typing import Any

from petrihub_core.names import external_name
from petrihub_core.places import every_place, kept, prefix_of
from petrihub_spawner.backends.docker_meter import DockerMeter, counter_body
from petrihub_spawner.carrying import MOUNTS_VARIABLE, S3_VARIABLE, bucket_credentials
from petrihub_spawner.pod.model import CARRIER_LABEL, DEPLOYMENT_LABEL

_PROGRAM = (
    *("/usr/bin/tini", "--", "/opt/petrihub/sidecars/bin/python", "-P", "-m"),
    "petrihub_sidecars.storage.count_objects",
)


class BucketMeter(DockerMeter):
    """All places that there may be; in use are those that a workspace has mounted for writing."""

    async def places(self) -> dict[str, bool]:
        """The places of this deployment."""
        async with self._database.reading() as session:
            known = await every_place(session, self._deployment.id)
            left = await kept(session)
        # a bucket has no folders: what a deleted group left is gone when there are no objects
        gone = {(row.kind, row.subject) for row in left if row.counted_at and not row.files}
        self._prefixes = {name: prefix_of(*key) for name, key in known.items() if key not in gone}
        written = await self._written()
        return {name: prefix in written for name, prefix in self._prefixes.items()}

    async def _written(self) -> set[str]:
        """What the running helpers that mount let their workspaces write to."""
        mine = {"label": [f"{DEPLOYMENT_LABEL}={self._deployment.id}", CARRIER_LABEL]}
        running = await self._engine.ask("containers", filters=mine)
        models = await asyncio.gather(
            *(self._engine.ask("inspect_container", each["Id"]) for each in running)
        )
        orders = [order for model in models for order in _orders(model)]
        return {each["remote"]["prefix"] for each in orders if not each["read_only"]}

    def _body(self, place: str, image: str) -> dict[str, Any]:
        section = self._deployment.storage.s3
        assert section is not None  # noqa: S101 - the carrier needs it
        where = (section.endpoint, section.region, section.bucket, f"{self._prefixes[place]}/")
        body = counter_body(self._deployment.id, place, image)
        host = {"Mounts": [], "NetworkMode": external_name("hub", self._deployment.id)}
        return body | {
            "Entrypoint": list(_PROGRAM),
            "Cmd": list(where),
            "Env": [f"{S3_VARIABLE}={bucket_credentials(self._deployment)}"],
            "HostConfig": body["HostConfig"] | host,
        }


def _orders(model: dict[str, Any]) -> list[dict[str, Any]]:
    said = dict(line.split("=", 1) for line in model["Config"]["Env"] if "=" in line)
    found: list[dict[str, Any]] = json.loads(said.get(MOUNTS_VARIABLE, "[]"))
    return found
