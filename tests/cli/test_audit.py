"""`petrihub audit` on a state folder without a running hub."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from petrihub_cli.main import app
from petrihub_cli.state import open_state
from petrihub_core import audit, audit_heads
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import read_deployment
from petrihub_core.records import AuditRow
from petrihub_portal.audit_checks import heads_file


@pytest.fixture
def state(tmp_path: Path) -> Path:
    deployment = read_deployment(open_state(tmp_path / "state"))

    async def fill() -> None:
        await migrate(deployment.database_url)
        database = Database.open(deployment.database_url)
        for number in range(3):
            async with database.session() as session:
                await audit.record(session, actor="ada", action="test", target=f"t{number}")
        await audit_heads.keep_newest(database, heads_file(deployment))
        await database.close()

    asyncio.run(fill())
    return deployment.state


def run(state: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words, "--state", str(state)])


def change(state: Path, statement: object) -> None:
    async def work() -> None:
        database = Database.open(read_deployment(state / "petrihub.toml").database_url)
        async with database.session() as session:
            await session.execute(statement)  # type: ignore[call-overload]
        await database.close()

    asyncio.run(work())


def test_verify_says_that_the_chain_is_whole_or_which_row_is_not(state: Path) -> None:
    assert "The chain is whole: 3 rows" in run(state, "verify").output
    change(state, update(AuditRow).where(AuditRow.seq == 2).values(actor="eve"))
    told = run(state, "verify")
    assert told.exit_code == 1
    assert "Row 2 does not fit. Its content is not what was written." in told.output


def test_verify_sees_that_the_end_was_cut_off(state: Path) -> None:
    change(state, AuditRow.__table__.delete().where(AuditRow.seq == 3))  # type: ignore[attr-defined]
    told = run(state, "verify")
    assert told.exit_code == 1
    assert "the trail ends at number 2" in told.output


def test_export_writes_all_rows_into_a_file_of_ours_alone(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.jsonl"
    assert run(state, "export", "--out", str(out)).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["action"] for row in rows] == ["test", "test", "test", "audit.exported"]
    assert out.stat().st_mode & 0o777 == 0o600
    assert run(state, "export", "--out", str(out)).exit_code == 1, "it is not overwritten"
