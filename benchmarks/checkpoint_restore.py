"""What a checkpoint adds to a start: beside a start from the same profile's image, in one run.

A hub of ours with its image server, on the engine at hand. Somebody starts a workspace of
petrihub/base, installs 100 MB in 4,000 files, and it is saved. Then workspaces start in turns from
the image and from the checkpoint (image, checkpoint, image, checkpoint, ...), each timed from the
request to the hub's API until the hub says "ready", and removed. The first pair fetches the
checkpoint's layers and warms both, and is not counted: from then on the layers are local.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import docker
import httpx
from spawn import (
    PEOPLE,
    ROLE,
    TOKEN,
    WORKSPACE,
    Hub,
    make_stand,
    people_exist,
    running,
    start,
    stop,
)
from sqlalchemy import select

from petrihub_cli.engine import ensure_engine
from petrihub_cli.image_server import running_image_server
from petrihub_cli.product import HUB_CONFIG, ROOT
from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import OPEN, State, Wish
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.images import register_image
from petrihub_core.records import Person
from petrihub_core.tools import SIDECARS_IMAGE
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL

sys.path.insert(0, str(ROOT))
from tests.platform import remove_everything

IMAGES = ("petrihub/base", SIDECARS_IMAGE)
PROFILE = {"profile": "notebooks", "size": "small"}
INSTALL = """
import os
for number in range(4000):
    folder = f"/opt/bench/{number // 100}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{number}", "wb") as file:
        file.write(os.urandom(12_500) + bytes(12_500))
"""


async def allow_images(deployment: Deployment, client: docker.APIClient) -> None:
    """Put the images of the run on the allow-list."""
    database = Database.open(deployment.database_url)
    async with database.session() as session:
        for name in IMAGES:
            seen = client.inspect_image(name)
            await register_image(
                session, name=name, digest=seen["Id"], size_bytes=seen["Size"], apps=[], labels={}
            )
    await database.close()


async def saved(deployment: Deployment) -> str:
    """Save the workspace that runs; the id of the checkpoint."""
    database = Database.open(deployment.database_url)
    async with database.session() as session:
        person = (await session.scalars(select(Person).where(Person.username == PEOPLE[0]))).one()
        wish = Wish(name="benchmark", measure_first=False)
        asked = await checkpoints.ask(session, PEOPLE[0], person, WORKSPACE, wish)
    while True:
        await asyncio.sleep(0.5)
        async with database.reading() as session:
            row = await session.get_one(Checkpoint, asked.id)
        if row.state not in OPEN:
            break
    await database.close()
    if row.state != State.DONE:
        raise RuntimeError(row.reason)
    return row.id


def install(deployment: Deployment, client: docker.APIClient) -> None:
    """What a person would do in the workspace that runs."""
    mine = {"label": f"{DEPLOYMENT_LABEL}={deployment.id}"}
    [main] = [each for each in client.containers(filters=mine) if each["Image"] in _named(client)]
    asked = client.exec_create(main["Id"], ["python", "-c", INSTALL])["Id"]
    said = client.exec_start(asked)
    if client.exec_inspect(asked)["ExitCode"]:
        raise RuntimeError(said.decode())


def _named(client: docker.APIClient) -> set[str]:
    """How the engine's list of containers may call the image of workspaces."""
    seen = client.inspect_image(IMAGES[0])
    return {seen["Id"], seen["Id"].removeprefix("sha256:")[:12], *seen["RepoTags"], IMAGES[0]}


async def in_turns(deployment: Deployment, client: docker.APIClient, hub: Hub, rounds: int) -> Any:
    """Seconds of each way, in turns."""
    headers = {"Authorization": f"token {TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=300, trust_env=False) as asker:
        await asker.post(f"{hub.url}/hub/api/users/{PEOPLE[0]}")
        hub.options = PROFILE
        await start(asker, hub, PEOPLE[0])
        await asyncio.to_thread(install, deployment, client)
        ways = {"image": PROFILE, "checkpoint": PROFILE | {"checkpoint": await saved(deployment)}}
        await stop(asker, hub, PEOPLE[0])
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, options in ways.items():
                hub.options = options
                took = await start(asker, hub, PEOPLE[0])
                await stop(asker, hub, PEOPLE[0])
                print(f"start from {name:10} {took:6.2f} s", flush=True)
                if number:
                    seconds[name].append(round(took, 3))
    return seconds


async def _with_image_server(
    deployment: Deployment, client: docker.APIClient, folder: Path, rounds: int
) -> Any:
    engine = await ensure_engine()
    await allow_images(deployment, client)
    async with running_image_server(deployment, engine, print):
        config = f"load_subconfig({str(HUB_CONFIG)!r})\n{ROLE}"
        url = deployment.public_url
        with running("PetriHub", config, folder / "hub", url, PROFILE) as hub:
            return await in_turns(deployment, client, hub, rounds)


def remove_what_is_left(client: docker.APIClient, deployment: Deployment) -> None:
    """Networks, volumes and images of the run."""
    remove_everything(client, deployment.id)
    for each in client.images():
        for name in each["RepoDigests"] or []:
            if "/checkpoints/" in name:
                client.remove_image(name, force=True)


def restore(rounds: int) -> dict[str, Any]:
    """The figures: seconds of each start, and the median of the differences of the pairs."""
    engine = asyncio.run(ensure_engine())
    client = docker.APIClient(base_url=engine.url, version="auto", timeout=600)
    os.environ["DOCKER_HOST"] = engine.url
    with tempfile.TemporaryDirectory() as scratch:
        stand = make_stand(Path(scratch) / "state", "docker")
        deployment = stand.deployment
        asyncio.run(people_exist(deployment))
        deployment.logs.mkdir(parents=True, exist_ok=True)
        try:
            seconds = asyncio.run(_with_image_server(deployment, client, Path(scratch), rounds))
        finally:
            remove_what_is_left(client, deployment)
    pairs = [b - a for a, b in zip(seconds["image"], seconds["checkpoint"], strict=True)]
    return {
        "start_seconds": seconds,
        "adds_seconds": round(statistics.median(pairs), 3),
    }
