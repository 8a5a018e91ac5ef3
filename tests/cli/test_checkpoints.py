"""`petrihub checkpoints`: what is saved, and what is refused in words."""

import subprocess
from pathlib import Path

from petrihub_cli.state import open_state
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import SAVE, State
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.image_server import ImageServer, write_image_server
from petrihub_core.people import person_for
from petrihub_core.records import now

from tests.platform import petrihub


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        petrihub("checkpoints", *arguments), capture_output=True, text=True, check=False
    )


async def deployed(state: Path) -> Deployment:
    deployment = read_deployment(open_state(state, backend="docker"))
    await migrate(deployment.database_url)
    database = Database.open(deployment.database_url)
    async with database.session() as session:
        for name in ("ada", "eve"):
            person = await person_for(session, "local", name, username=name)
            session.add(
                Checkpoint(
                    owner=person.id,
                    workspace="study",
                    sequence=1,
                    name=f"of {name}",
                    author=name,
                    instance="0" * 32,
                    profile="notebooks",
                    size="small",
                    base_image="petrihub/base",
                    base_digest="sha256:" + "1" * 64,
                    kind=SAVE,
                    state=State.DONE,
                    manifest_digest="sha256:" + "2" * 64,
                    layer_size=4096,
                    deadline=now(),
                )
            )
    await database.close()
    return deployment


async def test_what_is_saved_is_listed_and_what_cannot_be_saved_is_refused(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    deployment = await deployed(state)
    every = run("list", "--state", state).stdout
    assert "ada/study" in every
    assert "4.1 kB" in every
    assert "sha256:" + "2" * 64 in every
    assert "eve/study" not in run("list", "ada", "--state", state).stdout

    name = ("--name", "x", "--state", state)
    answer = run("save", "ada/study", *name)
    assert (answer.returncode, "has no image server" in answer.stderr) == (1, True)
    write_image_server(
        deployment, ImageServer(engine="127.0.0.1:1", pods="", registry="", service="")
    )
    for workspace, words in (
        ("ada/study", "study cannot be saved now."),
        ("nobody/study", "There is no such person."),
        ("study", "Name the person and the workspace."),
    ):
        answer = run("save", workspace, *name)
        assert (answer.returncode, words in answer.stderr) == (1, True), answer.stderr
