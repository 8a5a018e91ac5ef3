"""Files on a file server: through a workspace's helper, beside plain sshfs, in one run.

One `petrihub fileserver` serves both. A file of 512 MiB is written, closed and read again in turns:
by a program in a workspace, through its storage helper, and by one on this machine through `sshfs`
as a user would mount it. MB/s; above 1 the workspace is faster.

    .venv/bin/python benchmarks/storage.py [--rounds 5]

It needs root, sshfs, OpenSSH's server and an engine with petrihub/sidecars and petrihub/base
(`petrihub images build`). Writes JSON, table and chart into docs/benchmarks/.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
from report import about_machine, chart, write_result

from petrihub_cli.engine import ensure_engine
from petrihub_cli.product import ROOT
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment, DockerSection
from petrihub_core.intents import Intents
from petrihub_spawner.backends.docker_runner import DockerRunner
from petrihub_spawner.backends.networks import ensure_hub_network, networks_of_this_machine
from petrihub_spawner.pod.model import Container, Door, PodRef, Resources, WorkspacePod
from petrihub_spawner.runner import Silent

sys.path.insert(0, str(ROOT))
from tests.storage.house import House, Started, Tables
from tests.storage.pods import HOME, remote_pod

STUDIO_PYTHON = "/opt/petrihub/studio/bin/python"
DOOR = (
    "import http.server as h; h.HTTPServer(('', 8888), h.SimpleHTTPRequestHandler).serve_forever()"
)
TIMED = """
import json, os, sys, time
path, block = sys.argv[1], os.urandom(1 << 20)
began = time.perf_counter()
with open(path, "wb") as file:
    for _ in range(512):
        file.write(block)
    file.flush()
    os.fsync(file.fileno())
written = time.perf_counter()
with open(path, "rb") as file:
    while file.read(1 << 20):
        pass
done = time.perf_counter()
os.unlink(path)
size = 512 * (1 << 20) / 1e6
print(json.dumps({"write": size / (written - began), "read": size / (done - written)}))
"""


@contextmanager
def plain_sshfs(house: House, started: Started) -> Iterator[Path]:
    """The same folder, mounted on this machine with sshfs's own settings."""
    place = house.folder / "plain"
    place.mkdir()
    known = house.folder / "known_hosts"
    sftp = house.deployment.storage.sftp
    assert sftp is not None
    known.write_text(f"[{sftp.host}]:{sftp.port} {sftp.host_key}\n")
    where = f"h-{started.person}@{house.address}:/files"
    options = f"port={house.port},IdentityFile={started.key_file},UserKnownHostsFile={known}"
    subprocess.run(["sshfs", where, place, "-o", options], check=True)
    try:
        yield place
    finally:
        subprocess.run(["fusermount3", "-u", place], check=True)


def bare_pod(deployment: Deployment, person: str, image: str) -> WorkspacePod:
    """A workspace that only keeps its door open."""
    return WorkspacePod(
        ref=PodRef(deployment=deployment.id, person=person, workspace="study"),
        intent="",
        main=Container(
            name="main",
            image=image,
            command=(STUDIO_PYTHON, "-c", DOOR),
            environment={"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/"},
            resources=Resources(cpu=2, memory_bytes=2**30, pids=256),
            working_dir="/",
        ),
        door=Door(port=8888),
        start_timeout=120,
        stop_grace=1,
    )


async def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """MB/s of each way, in turns."""
    engine = await ensure_engine(private=True)
    client = docker.APIClient(base_url=f"unix://{engine.socket}", version="auto", timeout=300)
    free = next(
        each
        for each in IPv4Network("10.221.0.0/16").subnets(new_prefix=24)
        if not any(each.overlaps(other) for other in networks_of_this_machine())
    )
    (folder / "state").mkdir()
    section = DockerSection(
        socket=str(engine.socket), hub_subnet=free, network_pool=IPv4Network("10.222.0.0/16")
    )
    deployment = Deployment(state=folder / "state", backend="docker", docker=section)
    gateway = await asyncio.to_thread(ensure_hub_network, deployment)
    house = await asyncio.to_thread(House, folder, deployment, gateway)
    await asyncio.to_thread(house.open_portal)
    try:
        await asyncio.to_thread(house.start_file_server)
        database = Database.open(deployment.database_url)
        tables = Tables(house, database, Intents(database, "bench"))
        person = await tables.person()
        started = await tables.start(person, f"h-{person}", "public")
        sidecars, base = (client.inspect_image(f"petrihub/{n}")["Id"] for n in ("sidecars", "base"))
        pod = remote_pod(bare_pod(deployment, person, base), house, sidecars, started)
        pod = replace(pod, intent=started.intent)
        runner = DockerRunner(deployment)
        await runner.start(pod, Silent())
        try:
            return await asyncio.to_thread(in_turns, client, pod.name, house, started, rounds)
        finally:
            await runner.stop(pod.ref, grace=1, journal=Silent())
            await database.close()
    finally:
        house.stop_file_server()
        house.close_portal()


def in_turns(
    client: docker.APIClient, container: str, house: House, started: Started, rounds: int
) -> dict[str, Any]:
    """Plain, helper, plain, helper, ..."""
    figures: dict[str, dict[str, list[float]]] = {
        way: {"write": [], "read": []} for way in ("sshfs", "PetriHub")
    }
    with plain_sshfs(house, started) as place:
        for _ in range(rounds):
            plain = subprocess.run(
                [sys.executable, "-c", TIMED, place / "a"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            command = [STUDIO_PYTHON, "-c", TIMED, f"{HOME}/b"]
            asked = client.exec_create(container, command, user="1000", workdir="/")["Id"]
            ours = client.exec_start(asked).decode()
            for way, said in (("sshfs", plain), ("PetriHub", ours)):
                for what, value in json.loads(said).items():
                    figures[way][what].append(round(value, 1))
    middle = {way: {w: statistics.median(f) for w, f in figures[way].items()} for way in figures}
    ratios = {w: round(middle["PetriHub"][w] / middle["sshfs"][w], 2) for w in ("write", "read")}
    return {"mb_per_second": figures, "ratio": ratios}


def write_page(source: Path) -> None:
    """Write `<source>.md` and `<source>.svg` beside the JSON file."""
    result = json.loads(source.read_text())
    figures = result["mb_per_second"]
    rows = [
        (what, *(statistics.median(figures[way][what]) for way in ("sshfs", "PetriHub")))
        for what in ("write", "read")
    ]
    lines = [
        "# storage: a workspace's files on a file server, beside plain sshfs, in one run",
        "",
        "| 512 MiB, one stream | sshfs on the host | in a workspace | ratio |",
        "| --- | --- | --- | --- |",
        *(f"| {w} | {a:.0f} MB/s | {b:.0f} MB/s | {result['ratio'][w]} |" for w, a, b in rows),
        "",
        "![Bars of the same figures](storage.svg)",
        "",
        "Client and server share one machine, so both share its processors. "
        f"Medians of {len(figures['sshfs']['write'])} rounds.",
        "",
        about_machine(result, source),
        "",
    ]
    source.with_suffix(".md").write_text("\n".join(lines))
    bars = [(what, plain, ours, None, "MB/s") for what, plain, ours in rows]
    source.with_suffix(".svg").write_text(chart(bars, beside="sshfs"))


def main() -> None:
    """Run, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(rounds, Path(folder)))
    write_page(write_result("storage", result, load))


if __name__ == "__main__":
    main()
