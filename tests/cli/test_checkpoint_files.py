"""`petrihub checkpoints export, import, trust, key`, against a real registry and image service."""

import asyncio
from pathlib import Path

from sqlalchemy import select

from petrihub_cli.state import open_state
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.people import person_for

from tests.cli.test_checkpoints import run
from tests.images.conftest import keep_base, running_site


async def names(deployment: Deployment) -> list[tuple[str, str]]:
    database = Database.open(deployment.database_url)
    async with database.reading() as session:
        rows = await session.execute(select(Checkpoint.workspace, Checkpoint.name))
        found = [(workspace, name) for workspace, name in rows]
    await database.close()
    return sorted(found)


async def test_a_checkpoint_goes_out_and_into_another_petrihub(tmp_path: Path) -> None:
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "it.tar"
    for state in (here, there):
        open_state(state, backend="docker")
    async with running_site(here) as site:
        await keep_base(site)
        ada = await site.member("ada")
        asked = await site.ask(ada, "with a tool")
        order = await site.order(ada)
        result = await site.save(ada, order, {"opt/tool": b"tool"})
        assert (await site.report(ada, asked.id, result)).status_code == 204
        async with site.database.session() as session:
            row = await session.get_one(Checkpoint, asked.id)
            row.base_image = site.deployment.profiles[0].image
        missing = await asyncio.to_thread(run, "export", "sha256:no", file, "--state", here)
        assert "There is no such checkpoint." in missing.stderr
        written = await asyncio.to_thread(
            run, "export", result["manifest_digest"], file, "--state", here
        )
        assert written.returncode == 0, written.stderr
        again = await asyncio.to_thread(run, "export", asked.id, file, "--state", here)
        assert "is there already" in again.stderr
        key = (await asyncio.to_thread(run, "key", "--state", here)).stdout.split()[0]
    async with running_site(there) as site:
        async with site.database.session() as session:
            await person_for(session, "local", "eve", username="eve")
        bring = ("import", file, "--person", "eve", "--state", there)
        refused = await asyncio.to_thread(run, *bring)
        assert (refused.returncode, key in refused.stderr) == (1, True), refused.stderr
        trusted = await asyncio.to_thread(
            run, "trust", key, "--title", "next door", "--state", there
        )
        assert trusted.returncode == 0, trusted.stderr
        assert "next door" in (await asyncio.to_thread(run, "key", "--state", there)).stdout
        brought = await asyncio.to_thread(run, *bring)
        assert brought.returncode == 0, brought.stderr
        assert await names(site.deployment) == [("imported", "with a tool")]
        ended = await asyncio.to_thread(run, "trust", key, "--end", "--state", there)
        assert ended.returncode == 0, ended.stderr
