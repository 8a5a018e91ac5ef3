"""Health: each component with what to do, and no page that waits for a dead one."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from petrihub_cli.state import inner_ports, keys
from petrihub_core.database import Database
from petrihub_core.heartbeat import RECONCILER, beat
from petrihub_core.ports import free_port
from petrihub_core.records import Heartbeat, now
from petrihub_portal import health
from petrihub_portal.app import make_app
from petrihub_portal.context import Portal
from petrihub_portal.serve import make_portal

from tests.portal.conftest import AddPerson
from tests.portal.guests import API, PORTAL, Guest, Site


def test_a_running_platform_is_well(boss: Guest) -> None:
    well = {"hub", "proxy", "database", "engine", "images", "reconciler", "clock", "audit"}
    for _ in range(60):  # on a busy machine the database may just have been slow
        answer = boss.get("api/v1/health").json()
        found = {each["part"]: each for each in answer["components"]}
        if all(found[part]["level"] == "green" for part in well):
            break
        time.sleep(1)
    assert set(found) == set(health.PROBES)
    assert {part: found[part] for part in well if found[part]["level"] != "green"} == {}
    assert (found["backups"]["level"], answer["level"]) == ("yellow", "yellow")
    assert "petrihub backup" in found["backups"]["todo"]
    page = boss.get("admin/health")
    assert "Something wants attention" in page.text
    assert page.text.count("data-part=") == len(health.PROBES)


async def test_a_round_of_the_reconciler_is_its_sign_of_life(
    boss: Guest, tables: Database, site: Site
) -> None:
    for _ in range(5):  # a round may end between our change and our question
        async with tables.session() as session:
            row = await session.get_one(Heartbeat, RECONCILER)
            row.at = now() - timedelta(minutes=20)
        components = boss.get("api/v1/health").json()["components"]
        late = next(each for each in components if each["part"] == RECONCILER)
        if late["level"] == "red":
            break
    assert late["level"] == "red"
    assert "log" in late["todo"]
    await beat(tables, RECONCILER)
    components = boss.get("api/v1/health").json()["components"]
    assert next(each for each in components if each["part"] == RECONCILER)["level"] == "green"


@pytest.fixture
async def away(site: Site) -> AsyncIterator[Portal]:
    """A portal whose hub takes connections and never answers."""

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(silence, "127.0.0.1", port)
    portal = make_portal(site.deployment, keys(site.deployment), f"http://127.0.0.1:{port}")
    yield portal
    await portal.hub.close()
    await portal.database.close()
    server.close()


async def test_a_component_that_hangs_is_red_and_nobody_waits_for_it(
    away: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_SLOW_MS", float("inf"))
    began = time.monotonic()
    found = {each.part: each for each in await health.look(away, patience=1.0)}
    assert time.monotonic() - began < 6
    assert found["hub"].level == "red"
    assert found["hub"].words == "It did not answer within 1 seconds."
    assert found["database"].level == "green"


async def test_ready_says_503_and_nothing_more_while_the_hub_is_away(away: Portal) -> None:
    transport = httpx.ASGITransport(make_app(away), root_path=PORTAL.rstrip("/"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        began = time.monotonic()
        answers = await asyncio.gather(*(client.get(f"{API}/ready") for _ in range(50)))
        assert time.monotonic() - began < 10, "all were answered from one look"
        assert {each.status_code for each in answers} == {503}
        assert answers[0].json() == {"status": "unavailable"}
        assert (await client.get(f"{API}/alive")).json() == {"status": "ok"}


async def test_ready_says_503_while_the_database_is_away(site: Site, tmp_path: object) -> None:
    api_url = f"http://127.0.0.1:{inner_ports(site.deployment)['hub']}/hub/api"
    portal = make_portal(site.deployment, keys(site.deployment), api_url)
    gone = Database.open("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    object.__setattr__(portal, "database", gone)
    transport = httpx.ASGITransport(make_app(portal), root_path=PORTAL.rstrip("/"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get(f"{API}/ready")).status_code == 503
    await portal.hub.close()


def test_everybody_may_ask_whether_it_is_ready(site: Site) -> None:
    answer = httpx.get(f"{site.url}{API}/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_only_who_may_see_health_sees_it(add_person: AddPerson, guest: Guest) -> None:
    technical = await add_person("technical-admin")
    assert technical.get("admin/health").status_code == 200
    assert guest.get("api/v1/health").status_code == 403
