"""What a workspace may do with its own token: save itself and see its checkpoints, nothing else.

That it is refused at all other routes is in the matrix (tests/portal/test_matrix.py); the panel
that uses it is in tests/e2e/test_checkpoints.py.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import State
from petrihub_core.database import Database
from petrihub_core.intents import STOP
from petrihub_core.records import Person

from tests.portal.guests import API, Guest, Site
from tests.portal.own_tokens import end_tokens, token_of_workspace
from tests.portal.test_checkpoints import MEASURED, carried_out, running, saved

SAVE = "from petrihub_extensions.checkpoints.command import main; main()"
Client = Callable[[str], httpx.AsyncClient]


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    made: list[httpx.AsyncClient] = []

    def with_token(token: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"token {token}"}  # as JupyterHub's own programs send it
        one = httpx.AsyncClient(
            base_url=f"{site.url}{API}/", headers=headers, timeout=60, trust_env=False
        )
        made.append(one)
        return one

    yield with_token
    for each in made:
        await each.aclose()


@pytest.fixture
async def ada(guest: Guest, tables: Database) -> Guest:
    guest.sign_in()  # the hub knows them from then on
    await running(tables, guest)
    return guest


@pytest.fixture
async def study(site: Site, ada: Guest, client: Client) -> httpx.AsyncClient:
    return client(await token_of_workspace(site, ada.name))


async def asked(study: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    answer = await study.post("workspace/checkpoints", json={"name": "first", **wish})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_workspace_saves_itself_and_sees_how_far_it_is(
    study: httpx.AsyncClient, ada: Guest, tables: Database
) -> None:
    order = await asked(study, message="for the paper", measure_first=True)
    assert (order["workspace"], order["author"]) == ("study", ada.name)
    packing = {"stage": "packing", "files": 12, "bytes": 30, "total_bytes": 60}
    await saved(tables, order["id"], state=State.SAVING, progress=packing)
    seen = (await study.get("workspace")).json()
    assert (seen["workspace"], seen["running"]["base_image"]) == ("study", "petrihub/base")
    assert seen["running"]["checkpoint"] is None
    [one] = seen["checkpoints"]
    assert one["progress"] == packing
    assert one["words"] == "Packing what has changed: 12 files"

    finding = {"path": "/opt/x.pem", "pattern": "private-key"}
    await saved(tables, order["id"], state=State.CONFIRM, summary=MEASURED, findings=[finding])
    detail = (await study.get(f"workspace/checkpoints/{order['id']}")).json()
    assert detail["bytes"] == 5_000_000
    assert detail["findings"] == [{**finding, "words": "a private key"}]
    confirmed = await study.post(f"workspace/checkpoints/{order['id']}/confirm")
    assert (confirmed.status_code, confirmed.json()["state"]) == (202, "asked")
    assert (await study.post(f"workspace/checkpoints/{order['id']}/cancel")).status_code == 200
    assert (await study.delete(f"workspace/checkpoints/{order['id']}")).status_code == 204
    assert (await study.get("workspace")).json()["checkpoints"] == []


async def test_it_sees_no_other_workspace_of_its_owner(
    study: httpx.AsyncClient, ada: Guest, tables: Database
) -> None:
    await running(tables, ada, "diary")
    other = ada.api("POST", "my/workspaces/diary/checkpoints", {"name": "private"}).json()["id"]
    assert (await study.get("workspace")).json()["checkpoints"] == []
    path = f"workspace/checkpoints/{other}"
    for method, where in (
        ("GET", path),
        ("POST", f"{path}/confirm"),
        ("POST", f"{path}/cancel"),
        ("DELETE", path),
    ):
        answer = await study.request(method, where)
        assert (answer.status_code, "no such checkpoint" in answer.text) == (404, True), where


async def stopped(tables: Database, ada: Guest) -> None:
    """The workspace's stop, as the spawner writes it down."""
    async with tables.session() as session:
        session.add(carried_out(STOP, ada))


async def test_its_token_is_worth_nothing_from_the_stop_on(
    study: httpx.AsyncClient, ada: Guest, tables: Database
) -> None:
    assert (await study.get("workspace")).status_code == 200
    await stopped(tables, ada)
    refused = await study.get("workspace")
    assert refused.status_code == 401
    assert "This workspace has ended" in refused.json()["detail"]


async def test_after_a_restart_only_the_new_token_counts(
    site: Site, study: httpx.AsyncClient, ada: Guest, tables: Database, client: Client
) -> None:
    assert (await study.get("workspace")).status_code == 200  # the portal remembers this answer
    await stopped(tables, ada)
    await end_tokens(site, ada.name)
    await running(tables, ada)
    assert (await study.get("workspace")).status_code == 401
    again = client(await token_of_workspace(site, ada.name))
    assert (await again.get("workspace")).status_code == 200


async def test_it_is_saved_from_a_terminal(site: Site, ada: Guest, tables: Database) -> None:
    """`petrihub-save`, as a person who pipes it; what the helper would write is written here."""

    async def begin(*more: str) -> asyncio.subprocess.Process:
        told = {
            "PETRIHUB_CHECKPOINTS_URL": f"{site.url}{API}/workspace",
            "JUPYTERHUB_API_TOKEN": await token_of_workspace(site, ada.name),
        }
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SAVE, "with tools", *more),
            env={**os.environ, **told},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def helper_says(**values: object) -> None:
        async with tables.reading() as session:
            newest = select(Checkpoint.id).order_by(Checkpoint.sequence.desc())
            mine = newest.where(Checkpoint.owner == ada.person_id)
            order = (await session.scalars(mine)).first()
        assert order is not None
        await saved(tables, order, **values)

    async def said(process: asyncio.subprocess.Process, words: str) -> str:
        assert process.stdout is not None
        while words not in (line := (await process.stdout.readline()).decode()):
            assert line, f"it ended without {words!r}"
        return line

    process = await begin("--message", "samtools", "--yes")
    await said(process, "Waiting for the workspace")
    await helper_says(state=State.CONFIRM, summary=MEASURED)
    assert await said(process, "would be stored") == (
        "5 MB would be stored, before packing: 3 files are new, 1 changed, 0 gone.\n"
    )
    await said(process, "Waiting for the workspace")
    await helper_says(state=State.DONE, layer_size=4096)
    assert await said(process, "is saved") == "with tools is saved, 4.1 kB.\n"
    assert await process.wait() == 0

    # what looks like a secret is never saved unasked
    process = await begin("--yes")
    await said(process, "Waiting for the workspace")
    finding = {"path": "/opt/x.pem", "pattern": "private-key"}
    await helper_says(state=State.CONFIRM, summary=MEASURED, findings=[finding])
    assert await said(process, "look at") == "  look at /opt/x.pem: a private key\n"
    await said(process, "Nothing was saved.")
    assert await process.wait() == 1


async def test_a_deactivated_owner_s_workspace_is_refused(
    study: httpx.AsyncClient, ada: Guest, tables: Database
) -> None:
    async with tables.session() as session:
        (await session.get_one(Person, ada.person_id)).active = False
    assert (await study.get("workspace")).status_code == 401


async def test_nobody_else_asks_for_a_workspace(
    site: Site, ada: Guest, boss: Guest, client: Client
) -> None:
    boss.sign_in()
    # a token of another person, that names this workspace: the hub gives it no such scope
    foreign = client(await token_of_workspace(site, boss.name, "study"))
    assert (await foreign.get("workspace")).status_code == 401
    assert ada.api("GET", "workspace").status_code == 403
    assert ada.api("POST", "workspace/checkpoints", {"name": "x"}).status_code == 403
