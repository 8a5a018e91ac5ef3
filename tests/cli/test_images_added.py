"""`petrihub images add` on the real engine: somebody else's image as a tool of a workspace."""

import asyncio
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from petrihub_cli.engine import ensure_engine
from petrihub_cli.images.added import Wanted, add_image, read_said
from petrihub_cli.images.debian import DEBIAN_TAG, ensure_debian
from petrihub_cli.images.docker_cli import DockerCli, find_docker_cli
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment
from petrihub_core.errors import NotFound, Refused
from petrihub_core.images import allowed_images
from petrihub_core.tools import ToolSection, labelled_tool

docker = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dockerd") is None,
    reason="only root with docker.io installed may start an engine",
)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> DockerCli:
    async def find() -> DockerCli:
        found = await find_docker_cli(await ensure_engine(install=True))
        log = tmp_path_factory.mktemp("debian") / "log"
        await ensure_debian(found, fresh=False, log=log, progress=lambda _: None, install=True)
        return found

    return asyncio.run(find())


@pytest.fixture
def name(cli: DockerCli) -> Iterator[str]:
    """A name of this test alone; its image is removed."""
    one = f"added-{uuid.uuid4().hex[:6]}"
    yield one
    run(cli, "image", "rm", "--force", f"petrihub/{one}")


def run(cli: DockerCli, *arguments: str) -> str:
    return subprocess.run(
        [cli.program, *arguments], env=cli.environment(), capture_output=True, text=True, check=True
    ).stdout


def add(cli: DockerCli, deployment: Deployment | None, name: str, *said: str) -> str:
    wanted = Wanted(DEBIAN_TAG, name, read_said(said))
    console = Console(quiet=True)
    return asyncio.run(add_image(deployment, wanted, engine=cli.engine, console=console))


@docker
@pytest.mark.docker
def test_an_added_image_is_on_the_list_by_digest_with_what_was_said_of_it(
    cli: DockerCli, name: str, tmp_path: Path
) -> None:
    deployment = Deployment(state=tmp_path, backend="docker")
    asyncio.run(migrate(deployment.database_url))
    made = add(cli, deployment, name, "port=3333", "title=Refine", 'command=["x", "{port}"]')

    async def listed() -> dict[str, str]:
        database = Database.open(deployment.database_url)
        async with database.session() as session:
            row = (await allowed_images(session))[made]
        await database.close()
        assert labelled_tool(row.labels) == ToolSection(
            port=3333, title="Refine", command=("x", "{port}")
        )
        return {"digest": row.digest}

    found = json.loads(run(cli, "image", "inspect", made))[0]
    assert asyncio.run(listed()) == {"digest": found["Id"]}


@docker
@pytest.mark.docker
def test_a_home_that_is_mounted_there_first_belongs_to_the_person(
    cli: DockerCli, name: str
) -> None:
    made = add(cli, None, name, "port=3333")
    volume = f"petrihub-test-{uuid.uuid4().hex[:8]}"
    hardened = ["--rm", "--user", "1000:1000", "--cap-drop", "ALL", "--volume"]
    try:
        command = ["sh", "-c", "touch /home/researcher/mine && stat -c %u /home/researcher"]
        said = run(cli, "run", *hardened, f"{volume}:/home/researcher", made, *command)
        assert said.strip() == "1000"
    finally:
        run(cli, "volume", "rm", "--force", volume)


@docker
@pytest.mark.docker
def test_an_image_that_is_not_there_or_says_no_port_is_refused(cli: DockerCli) -> None:
    with pytest.raises(Refused, match="at which port"):
        add(cli, None, "no-port")
    wanted = Wanted("petrihub/never-built", "x", ToolSection(port=1))
    with pytest.raises(NotFound, match="never-built"):
        asyncio.run(add_image(None, wanted, engine=cli.engine, console=Console(quiet=True)))


@pytest.mark.parametrize("name", ["bio", "sidecars", "Big", "a/b", ""])
def test_names_of_ours_and_unusable_ones_are_refused(name: str) -> None:
    from petrihub_cli.images.added import _checked_name

    with pytest.raises(Refused):
        _checked_name(name)


@pytest.mark.parametrize("said", ["port", "colour=red", "port=http", "command=[x"])
def test_what_cannot_be_meant_is_refused(said: str) -> None:
    with pytest.raises(Refused):
        read_said([said])
