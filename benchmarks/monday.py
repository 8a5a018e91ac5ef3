"""Monday, nine o'clock: 200 people sign in and start a workspace within a minute.

JupyterHub alone goes first, then PetriHub, with the same crowd. The workspaces' program is tiny, so
that it is the control plane which is tested. Meanwhile the hub's API is asked ten times a second.

    .venv/bin/python benchmarks/monday.py --state DIR [--people 200]

`DIR` is a state folder that was never started; it is made if need be. With a petrihub.toml in it
that names PostgreSQL, PetriHub runs on that, and the results are written under its name. Writes
JSON and table into docs/benchmarks/.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from portal import PASSWORD, sign_in
from report import about_machine, write_result
from spawn import (
    HUB_CONFIG,
    ROLE,
    STOCK_LOCAL,
    TOKEN,
    Hub,
    make_stand,
    running,
)

from petrihub_cli.product import ROOT
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Account, Person, new_id
from petrihub_core.web import PORTAL_PREFIX

WITHIN = 60  # seconds in which everybody comes
PATIENCE = 600  # seconds after which a workspace that is not ready counts as lost
TINY = ROOT / "tests" / "spawner" / "stand_in.py"


@dataclass
class Run:
    """What became of the crowd at one hub."""

    api_seconds: list[float] = field(default_factory=list)
    sign_in_seconds: list[float] = field(default_factory=list)
    ready_seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # starts; whoever is refused asks again, as the answer says
    lost: int = 0

    def figures(self) -> dict[str, Any]:
        """In milliseconds and seconds."""
        return {
            "api_ms": {name: round(1000 * each, 1) for name, each in _spread(self.api_seconds)},
            "api_asked": len(self.api_seconds),
            "sign_in_s": {name: round(each, 2) for name, each in _spread(self.sign_in_seconds)},
            "ready_s": {name: round(each, 1) for name, each in _spread(self.ready_seconds)},
            "ready": len(self.ready_seconds),
            "lost": self.lost,
            "starts_refused": self.refused,
            "answers": dict(sorted(self.answers.items())),
        }


def _spread(values: list[float]) -> list[tuple[str, float]]:
    ordered = sorted(values)
    if not ordered:
        return []
    at = lambda part: ordered[min(len(ordered) - 1, int(part * len(ordered)))]  # noqa: E731
    return [
        ("median", statistics.median(ordered)),
        ("p95", at(0.95)),
        ("p99", at(0.99)),
        ("max", ordered[-1]),
    ]


async def come(hub: Hub, home: str, name: str, api: httpx.AsyncClient, run: Run) -> None:
    """One person: signs in, sees home, starts a workspace, waits until it is ready."""
    began = time.perf_counter()
    try:
        browser = await sign_in(hub.url, home, name, PASSWORD)
    except httpx.HTTPError as exc:
        run.answers[type(exc).__name__] += 1
        run.lost += 1
        return
    run.sign_in_seconds.append(time.perf_counter() - began)
    asked = time.perf_counter()
    path = f"{hub.url}/hub/api/users/{name}"
    while time.perf_counter() - asked < PATIENCE:
        begun = await api.post(f"{path}/servers/bench", json=hub.options)
        run.answers[str(begun.status_code)] += 1
        if begun.is_success:
            break
        run.refused += 1
        await asyncio.sleep(float(begun.headers.get("Retry-After", 10)))
    while time.perf_counter() - asked < PATIENCE:
        answer = await browser.get(home)  # as whoever waits looks again
        run.answers[str(answer.status_code)] += 1
        user = (await api.get(path)).json()
        if user["servers"].get("bench", {}).get("ready"):
            run.ready_seconds.append(time.perf_counter() - asked)
            break
        await asyncio.sleep(3)
    else:
        run.lost += 1
    await browser.aclose()


async def crowd(hub: Hub, home: str, people: int) -> dict[str, Any]:
    """Everybody comes, evenly over the minute; the figures."""
    run = Run()
    headers = {"Authorization": f"token {TOKEN}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        headers=headers, timeout=120, trust_env=False, limits=limits
    ) as api:

        async def one(number: int) -> None:
            await asyncio.sleep(number * WITHIN / people)
            await come(hub, home, f"p{number}", api, run)

        async def probe() -> None:
            while True:
                began = time.perf_counter()
                answer = await api.get(f"{hub.url}/hub/api/users?limit=20")
                run.api_seconds.append(time.perf_counter() - began)
                run.answers[f"API {answer.status_code}"] += 1
                await asyncio.sleep(0.1)

        probing = asyncio.create_task(probe())
        await asyncio.gather(*(one(number) for number in range(people)))
        probing.cancel()
    return run.figures()


async def fill(deployment: Deployment, people: int) -> None:
    """Make the people, with the same password."""
    await migrate(deployment.database_url)
    database = Database.open(deployment.database_url)
    password_hash = PasswordHasher().hash(PASSWORD)
    async with database.session() as session:
        for number in range(people):
            person = Person(issuer=LOCAL_ISSUER, subject=new_id(), username=f"p{number}")
            session.add(person)
            await session.flush()
            session.add(Account(person_id=person.id, password_hash=password_hash))
    await database.close()


def tiny_studio(deployment: Deployment) -> Path:
    """The program that every workspace runs."""
    folder = deployment.environments / "studio" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "jupyterhub-singleuser"
    program.write_text(f"#!{sys.executable}\n{TINY.read_text()}")
    program.chmod(0o755)
    return program


def run(state: Path, people: int) -> dict[str, Any]:
    """One after the other: side by side they would take each other's processors."""
    stand = make_stand(state, "local")
    deployment = stand.deployment
    asyncio.run(fill(deployment, people))
    studio = tiny_studio(deployment)
    result: dict[str, Any] = {"people": people, "within_s": WITHIN}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = stand.stock()
        config += STOCK_LOCAL.format(studio=str(studio), home=str(folder / "{username}"))
        with running("JupyterHub", config + ROLE, folder / "stock", stand.url, {}) as hub:
            result["JupyterHub"] = asyncio.run(crowd(hub, "/hub/home", people))
    ours = f"load_subconfig({str(HUB_CONFIG)!r})\n{ROLE}"
    wish = {"profile": "notebooks", "size": "small"}
    with running("PetriHub", ours, deployment.logs, deployment.public_url, wish) as hub:
        result["PetriHub"] = asyncio.run(crowd(hub, PORTAL_PREFIX, people))
    kind = deployment.database_url.partition(":")[0].partition("+")[0]
    return {"database": kind, **result}


def write_page(source: Path) -> None:
    """Write `<source>.md` beside the JSON file."""
    result = json.loads(source.read_text())
    ours, theirs = result["PetriHub"], result["JupyterHub"]
    rows = [
        (f"{what}, {name}", theirs[key].get(name), ours[key].get(name), unit)
        for what, key, unit in (
            ("Answer of the hub's API", "api_ms", "ms"),
            ("Sign-in to first page", "sign_in_s", "s"),
            ("Start to ready", "ready_s", "s"),
        )
        for name in ("median", "p99", "max")
    ]
    rows += [
        (what, theirs[key], ours[key], "")
        for what, key in (
            ("Workspaces that became ready", "ready"),
            ("People who got none", "lost"),
            ("Starts that were refused, to be tried again", "starts_refused"),
        )
    ]
    bad = {
        name: sum(n for code, n in each["answers"].items() if code.split()[-1].startswith("5"))
        for name, each in (("theirs", theirs), ("ours", ours))
    }
    rows.append(("Answers of 500 and above", bad["theirs"], bad["ours"], ""))
    lines = [
        f"# {source.stem}: {result['people']} people sign in and start within "
        f"{result['within_s']} s",
        "",
        f"PetriHub on {result['database']}, JupyterHub 6.1 alone on SQLite with a sign-in that "
        "checks no password; one after the other on the same machine. The workspaces' program "
        "is tiny. Promised: p99 of the hub's API under 2 s, nobody lost, no answer of 500.",
        "",
        "| | JupyterHub | PetriHub |",
        "| --- | --- | --- |",
        *(f"| {what} | {a} {unit} | {b} {unit} |" for what, a, b, unit in rows),
        "",
        "JupyterHub refuses starts above 100 at once with 429; PetriHub lets them wait in line "
        "and tells the place.",
        "",
        about_machine(result, source),
        "",
    ]
    source.with_suffix(".md").write_text("\n".join(lines))


def main() -> None:
    """Run, print, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    chosen = parser.parse_args()
    load = os.getloadavg()
    result = run(chosen.state, chosen.people)
    write_page(write_result(f"monday-{result['database']}", result, load))


if __name__ == "__main__":
    main()
