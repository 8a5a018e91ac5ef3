"""The portal's pages with 5,000 people, 500 groups and 100,000 audit rows, on SQLite.

Two hubs run side by side: JupyterHub alone, with as many users and groups, and PetriHub. Pages are
asked for in turn, so that a machine whose speed drifts drifts for both. Beside each page stands
what a user would pick instead: the page or API call of JupyterHub's own admin panel. Then the same
pages once more, while 20 workspaces start.

    .venv/bin/python benchmarks/portal.py --state DIR [--rounds 30]

`DIR` is the state folder of a PetriHub that was started once with the local backend (its
environments are what the workspaces run); its tables are filled with made-up people. Writes JSON,
table and chart into docs/benchmarks/.
"""

import argparse
import asyncio
import os
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from portal_report import write_portal_page
from report import write_result
from spawn import (
    HUB_CONFIG,
    ROLE,
    STOCK_LOCAL,
    TOKEN,
    Hub,
    make_stand,
    running,
)
from sqlalchemy import insert

from petrihub_core import audit
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import (
    Account,
    AuditRow,
    Group,
    GroupMember,
    Notification,
    Person,
    RoleGrant,
    new_id,
    now,
)
from petrihub_core.roles import SUPER_ADMIN
from petrihub_core.web import PORTAL_PREFIX

PEOPLE, GROUPS, AUDIT_ROWS, LINES, STARTS = 5000, 500, 100_000, 200, 20
BOSS, PASSWORD = "bench-boss", "a password for this run only"
BUSY_SECONDS = 180  # after which starts that are not ready no longer count
PAGES = {
    "Home": "",
    "Feed": "feed",
    "People": "admin/people",
    "People, searched": "admin/people?q=p49",
    "Groups": "admin/groups",
    "Requests": "admin/requests",
    "Workspaces": "admin/workspaces",
    "Settings": "admin/settings",
    "Audit": "admin/audit",
    "Audit of one person": "admin/audit?actor=p77",
    "Audit, a part of the name": "admin/audit?target=t777",
}
# what JupyterHub's admin page asks for when it is opened
_USERS = "/hub/api/users?offset=0&limit=50&include_stopped_servers=1"
INSTEAD = {
    "Home": "/hub/home",
    "People": _USERS,
    "People, searched": f"{_USERS}&name_filter=p49",
    "Groups": "/hub/api/groups?offset=0&limit=50",
    "Workspaces": "/hub/api/users?offset=0&limit=50&state=active",
}


def chained(last: audit.Head) -> list[dict[str, object]]:
    """Audit rows that go on with the chain after its last row."""
    rows: list[dict[str, object]] = []
    previous = last.digest
    for number in range(last.seq + 1, AUDIT_ROWS + 1):
        row = AuditRow(
            seq=number,
            at=now(),
            actor=f"p{number % PEOPLE}",
            action=f"bench.action{number % 40}",
            target=f"t{number}",
            outcome="ok" if number % 50 else "refused",
            detail={"n": number},
            previous=previous,
            digest="",
        )
        previous = audit._digest(row)
        kept = {column.key: getattr(row, column.key) for column in audit.COLUMNS}
        rows.append({**kept, "digest": previous})
    return rows


async def fill(deployment: Deployment) -> None:
    """Make the people, groups and rows; no people may be there yet."""
    await migrate(deployment.database_url)
    database = Database.open(deployment.database_url)
    people = [
        {"id": f"{number:032x}", "issuer": LOCAL_ISSUER, "subject": new_id(), "active": True}
        | {"username": f"p{number}", "created_at": now(), "sessions_to_end": False}
        for number in range(PEOPLE)
    ]
    groups = [
        {"id": f"{number:032x}", "name": f"g{number}", "title": f"Group {number}"}
        | {"created_at": now()}
        for number in range(GROUPS)
    ]
    members = [
        {"group_id": f"{number % GROUPS:032x}", "person_id": f"{number:032x}", "manager": False}
        | {"since": now()}
        for number in range(PEOPLE)
    ]
    async with database.session() as session:
        for table, rows in (
            (Person, people),
            (Group, groups),
            (GroupMember, members),
            (AuditRow, chained(await audit.head(session))),
        ):
            await session.execute(insert(table), rows)
        boss = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=BOSS)
        session.add(boss)
        await session.flush()
        session.add(Account(person_id=boss.id, password_hash=PasswordHasher().hash(PASSWORD)))
        session.add(RoleGrant(person_id=boss.id, role=SUPER_ADMIN, granted_by="benchmark"))
        for number in range(LINES):
            session.add(Notification(person_id=boss.id, kind="finished", title=f"Line {number}"))
    await database.close()


async def sign_in(url: str, path: str, name: str, password: str) -> httpx.AsyncClient:
    """A browser of somebody who has signed in, at `path`."""
    client = httpx.AsyncClient(base_url=url, follow_redirects=True, timeout=120, trust_env=False)
    form = await client.get("/hub/login")
    token = re.search(r'name="_xsrf" value="([^"]+)"', form.text)
    data = {"username": name, "password": password, "_xsrf": token[1] if token else ""}
    (await client.post(f"/hub/login?next={path}", data=data)).raise_for_status()
    return client


async def seconds(client: httpx.AsyncClient, path: str, **more: Any) -> float | None:
    """How long the answer takes; None if there is no such page."""
    began = time.perf_counter()
    answer = await client.get(path, **more)
    return time.perf_counter() - began if answer.status_code == httpx.codes.OK else None


def summary(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {
        "median_ms": round(statistics.median(times) * 1000, 1),
        "p95_ms": round(p95 * 1000, 1),
        "n": len(times),
    }


async def crowd(stock: Hub, client: httpx.AsyncClient) -> None:
    """As many users and groups in JupyterHub alone."""
    for begin in range(0, PEOPLE, 500):
        names = [f"p{number}" for number in range(begin, begin + 500)]
        await client.post(f"{stock.url}/hub/api/users", json={"usernames": names})
    for number in range(GROUPS):
        users = [f"p{each}" for each in range(number, PEOPLE, GROUPS)]
        await client.post(f"{stock.url}/hub/api/groups/g{number}", json={"users": users})


async def settled(ours: Hub, client: httpx.AsyncClient) -> None:
    """Return when the portal has told the hub of all groups, as it does once."""
    each = PEOPLE // GROUPS
    while True:
        groups: list[dict[str, Any]] = []
        for offset in range(0, GROUPS, 200):
            where = f"{ours.url}/hub/api/groups?offset={offset}&limit=200"
            groups += (await client.get(where)).json()
        if len(groups) == GROUPS and all(len(group["users"]) == each for group in groups):
            return
        await asyncio.sleep(2)


async def start_all(ours: Hub, client: httpx.AsyncClient) -> list[float | None]:
    """Start the workspaces at once; seconds until each was ready, None if it failed."""

    async def one(number: int) -> float | None:
        began = time.perf_counter()
        person = f"{ours.url}/hub/api/users/p{number}"
        await client.post(person)
        begun = await client.post(f"{person}/servers/bench", json=ours.options)
        if not begun.is_success:
            print(f"p{number} was not started: {begun.text}")
            return None
        while time.perf_counter() - began < BUSY_SECONDS:
            user = (await client.get(person)).json()
            if user["servers"].get("bench", {}).get("ready"):
                return time.perf_counter() - began
            await asyncio.sleep(1)
        return None

    return await asyncio.gather(*(one(number) for number in range(STARTS)))


async def measure(stock: Hub, ours: Hub, rounds: int) -> dict[str, Any]:
    """All figures of the run."""
    headers = {"Authorization": f"token {TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=300, trust_env=False) as admin:
        await crowd(stock, admin)
        await settled(ours, admin)
        theirs = await sign_in(stock.url, "/hub/home", BOSS, PASSWORD)
        mine = await sign_in(ours.url, PORTAL_PREFIX, BOSS, PASSWORD)
        quiet: dict[str, list[float]] = {name: [] for name in PAGES}
        instead: dict[str, list[float]] = {name: [] for name in INSTEAD}
        for number in range(rounds + 2):
            for name, path in PAGES.items():
                took = await seconds(mine, PORTAL_PREFIX + path)
                if took is not None and number > 1:  # the first two warm up
                    quiet[name].append(took)
                if name in INSTEAD:
                    where = INSTEAD[name]
                    client, more = (theirs, {}) if "/api/" not in where else (admin, headers)
                    took = await seconds(client, stock.url + where, headers=more)
                    if took is not None and number > 1:
                        instead[name].append(took)
        busy: dict[str, list[float]] = {name: [] for name in PAGES}
        starting = asyncio.create_task(start_all(ours, admin))
        while not starting.done():
            for name, path in PAGES.items():
                if (took := await seconds(mine, PORTAL_PREFIX + path)) is not None:
                    busy[name].append(took)
        ready = await starting
        await mine.aclose()
        await theirs.aclose()
    return {
        "filled_with": {"people": PEOPLE, "groups": GROUPS, "audit_rows": AUDIT_ROWS},
        "pages": {name: summary(times) for name, times in quiet.items() if times},
        "instead": {name: summary(times) for name, times in instead.items() if times},
        "instead_is": INSTEAD,
        "while_starting": {name: summary(times) for name, times in busy.items() if times},
        "starts_ready_seconds": sorted(round(each, 1) for each in ready if each is not None),
        "starts_failed": sum(each is None for each in ready),
    }


def run(state: Path, rounds: int) -> dict[str, Any]:
    """Both hubs side by side; the figures."""
    stand = make_stand(state, "local")
    deployment = stand.deployment
    asyncio.run(fill(deployment))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        studio = deployment.environments / "studio/bin/jupyterhub-singleuser"
        config = stand.stock()
        config += STOCK_LOCAL.format(studio=str(studio), home=str(folder / "{username}"))
        role = ROLE.replace('"list:users"', '"list:users", "admin:groups"')
        stock = running("JupyterHub", config + role, folder / "stock", stand.url, {})
        ours = f"load_subconfig({str(HUB_CONFIG)!r})\n{role}"
        wish = {"profile": "notebooks", "size": "small"}
        petrihub = running("PetriHub", ours, deployment.logs, deployment.public_url, wish)
        return asyncio.run(
            measure(stack.enter_context(stock), stack.enter_context(petrihub), rounds)
        )


def main() -> None:
    """Run, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    load = os.getloadavg()
    result = run(chosen.state, chosen.rounds)
    write_portal_page(write_result("portal", result, load))


if __name__ == "__main__":
    main()
