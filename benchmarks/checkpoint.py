"""Saving a workspace, beside `docker commit` and `docker push`, in one run on one registry.

A container of an image with 100,000 files more runs with the checkpointer beside it, as in a pod.
A person's 500 MB in 20,000 files, half text and half not, are saved in turns (docker, ours, docker,
ours, ...); before each turn every file of a hundred is written anew, so that neither finds its
layer in the registry. Then the same with ten small files in an otherwise untouched container.
Ours is timed from the order to the result: comparing, packing, pushing and reading back. What a
restore adds to a start is measured by `checkpoint_restore.py`.

    .venv/bin/python benchmarks/checkpoint.py [--rounds 5]

It needs an engine with petrihub/base and petrihub/sidecars (`petrihub images build`) and Debian's
docker-registry. Writes JSON, table and chart into docs/benchmarks/.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import httpx
from checkpoint_restore import restore
from report import about_machine, chart, write_result

from petrihub_cli.engine import ensure_engine
from petrihub_cli.product import ROOT

sys.path.insert(0, str(ROOT))
from tests.sidecars.desk import CREDENTIAL, Desk, order
from tests.sidecars.registries import registry

REPOSITORY = "checkpoints/p/w"
PYTHON = "/opt/petrihub/studio/bin/python"
GUARDED = ["/opt/petrihub/sidecars/bin/guarded-python", "-P", "-m", "petrihub_sidecars"]
ALLOWED_RATIO, ALLOWED_SECONDS, ALLOWED_MORE = 0.5, 3.0, 1.0

MANY = """
import os, runpy
for folder in range(1000):
    os.makedirs(f"/usr/lib/many/{folder}")
    for name in range(100):
        with open(f"/usr/lib/many/{folder}/{name}.txt", "w") as file:
            file.write(f"{folder} {name} " * 20)
runpy.run_module("petrihub_sidecars.checkpointer.record", run_name="__main__")
"""
FILL = """
import os, random
words = random.Random(1)
text = "".join(words.choice("abcdefghij klmnopqrst\\n") for _ in range(200_000)).encode()
for number in range(20_000):
    folder = f"/opt/bench/{number // 200}"
    os.makedirs(folder, exist_ok=True)
    at = words.randrange(100_000)
    half = text[at : at + 12_500]
    with open(f"{folder}/{number}", "wb") as file:
        file.write(half * 2 if number % 2 else os.urandom(25_000))
"""
TOUCH = """
import os
for number in range(0, 20_000, 100):
    with open(f"/opt/bench/{number // 200}/{number}", "wb") as file:
        file.write(os.urandom(25_000))
"""
TEN = """
import os
os.makedirs("/opt/ten", exist_ok=True)
for number in range(10):
    with open(f"/opt/ten/{number}", "wb") as file:
        file.write(os.urandom(1000))
"""


class Stand:
    """An engine, a registry and a container that is saved in two ways."""

    def __init__(self, client: docker.APIClient, port: str, image: str, desk: Desk) -> None:
        self.client = client
        self.port = port
        self.desk = desk
        self.main = self._run(image, [PYTHON, "-c", "import signal; signal.pause()"])
        self.helper = self._run(
            "petrihub/sidecars",
            ["checkpointer"],
            entrypoint=GUARDED,
            environment={
                "PETRIHUB_IMAGES_URL": f"http://{self.gateway}:{desk.port}",
                "PETRIHUB_SIDECAR_CREDENTIAL": CREDENTIAL,
            },
            shares=self.main,
        )
        self.base = self._push_base(image)

    @property
    def gateway(self) -> str:
        """This machine as the containers reach it."""
        found = self.client.inspect_network("bridge")["IPAM"]["Config"][0]
        address: str = found.get("Gateway") or found["Subnet"].rpartition(".")[0] + ".1"
        return address

    def _run(self, image: str, command: list[str], shares: str = "", **more: Any) -> str:
        host = self.client.create_host_config(
            network_mode=f"container:{shares}" if shares else "bridge",
            pid_mode=f"container:{shares}" if shares else None,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            mem_limit="512m" if shares else "2g",
        )
        made = self.client.create_container(image, command, host_config=host, **more)["Id"]
        self.client.start(made)
        return str(made)

    def _push_base(self, image: str) -> tuple[dict[str, Any], dict[str, Any]]:
        self._push(image, "base")
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/v2/{REPOSITORY}/", trust_env=False
        ) as client:
            kind = "application/vnd.docker.distribution.manifest.v2+json"
            manifest = client.get("manifests/base", headers={"Accept": kind}).json()
            return manifest, client.get(f"blobs/{manifest['config']['digest']}").json()

    def _push(self, image: str, tag: str) -> None:
        where = f"127.0.0.1:{self.port}/{REPOSITORY}"
        self.client.tag(image, where, tag=tag)
        for line in self.client.push(where, tag=tag, stream=True, decode=True):
            if "error" in line:
                raise RuntimeError(line["error"])

    def inside(self, code: str) -> None:
        """Run this in the container, as the person."""
        asked = self.client.exec_create(self.main, [PYTHON, "-c", code])["Id"]
        said = self.client.exec_start(asked)
        if self.client.exec_inspect(asked)["ExitCode"]:
            raise RuntimeError(said.decode())

    def by_docker(self, number: int) -> float:
        """Seconds of a commit and a push."""
        begun = time.perf_counter()
        kept = self.client.commit(self.main)["Id"]
        self._push(kept, f"docker-{number}")
        seconds = time.perf_counter() - begun
        self.client.remove_image(kept, force=True)
        return seconds

    def by_us(self) -> float:
        """Seconds from an order to its result."""
        begun = time.perf_counter()
        address = f"http://{self.gateway}:{self.port}"
        self.desk.orders.put(order("save", address, self.base))
        result = self.desk.results.get(timeout=600)
        seconds = time.perf_counter() - begun
        if result["state"] != "done":
            raise RuntimeError(result)
        return seconds

    def in_turns(self, change: str, rounds: int, what: str) -> dict[str, list[float]]:
        """Both ways, after a change each time; the first round warms the page cache for both."""
        seconds: dict[str, list[float]] = {"docker": [], "PetriHub": []}
        for number in range(rounds + 1):
            for name, taken in seconds.items():
                self.inside(change)
                took = self.by_docker(number) if name == "docker" else self.by_us()
                print(f"{what}: {name:9} {took:6.2f} s", flush=True)
                if number:
                    taken.append(round(took, 3))
        return seconds

    def remove(self) -> None:
        """End both containers."""
        for container in (self.helper, self.main):
            self.client.remove_container(container, force=True)


@contextmanager
def image_of_many(client: docker.APIClient) -> Iterator[str]:
    """petrihub/base with 100,000 files more, and its manifest."""
    host = client.create_host_config(binds=[f"{ROOT / 'images/sidecars'}:/mnt/record:ro"])
    made = client.create_container(
        "petrihub/base",
        [PYTHON, "-B", "-c", MANY],
        user="0",
        entrypoint=["/usr/bin/tini", "--"],
        environment={"PYTHONPATH": "/mnt/record"},
        host_config=host,
    )["Id"]
    client.start(made)
    if client.wait(made)["StatusCode"]:
        raise RuntimeError(client.logs(made).decode())
    kept = client.commit(made, conf={"Env": [], "User": "1000:1000"})["Id"]
    client.remove_container(made)
    try:
        yield kept
    finally:
        client.remove_image(kept, force=True)


def save(rounds: int) -> dict[str, Any]:
    """The figures of saving."""
    engine = asyncio.run(ensure_engine())
    client = docker.APIClient(base_url=engine.url, version="auto", timeout=600)
    desk = Desk()
    with (
        tempfile.TemporaryDirectory() as folder,
        registry(Path(folder) / "registry", "0.0.0.0") as url,
        image_of_many(client) as image,
    ):
        stand = Stand(client, url.rpartition(":")[2], image, desk)
        try:
            few = stand.in_turns(TEN, rounds, "ten files")
            stand.inside(FILL)
            many = stand.in_turns(TOUCH, rounds, "500 MB")
        finally:
            stand.remove()
            desk.close()
    pairs = [b / a for a, b in zip(many["docker"], many["PetriHub"], strict=True)]
    return {
        "save_500_mb_seconds": many,
        "save_500_mb_ratio": round(statistics.median(pairs), 3),
        "save_ten_files_seconds": few,
        "save_ten_files_median": round(statistics.median(few["PetriHub"]), 3),
    }


def write_page(source: Path) -> None:
    """Write `<source>.md` and `<source>.svg` beside the JSON file."""
    result = json.loads(source.read_text())
    many, few = result["save_500_mb_seconds"], result["save_ten_files_seconds"]
    rows = [
        (what, statistics.median(seconds["docker"]), statistics.median(seconds["PetriHub"]))
        for what, seconds in (("500 MB in 20,000 files", many), ("Ten files of 100,000", few))
    ]
    allowed = (f"ratio {ALLOWED_RATIO}", f"{ALLOWED_SECONDS:.0f} s")
    lines = [
        "# checkpoint: beside docker commit and docker push, in one run",
        "",
        "| what is saved | docker | PetriHub | ratio | allowed |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {what} | {other:.2f} s | {ours:.2f} s | {ours / other:.2f} | {limit} |"
            for (what, other, ours), limit in zip(rows, allowed, strict=True)
        ),
        "",
        "![Bars of the same figures](checkpoint.svg)",
        "",
        "PetriHub's seconds hold more: what is pushed is read back and hashed. "
        f"Medians of {len(many['docker'])} pairs; the median of the ratios for 500 MB is "
        f"{result['save_500_mb_ratio']}.",
        "",
        about_machine(result, source),
        "",
        *restore_lines(result["restore"]),
    ]
    source.with_suffix(".md").write_text("\n".join(lines))
    source.with_suffix(".svg").write_text(
        chart([(what, other, ours, None, "s") for what, other, ours in rows], beside="docker")
    )


def restore_lines(found: dict[str, Any]) -> list[str]:
    """What a restore adds, for the page."""
    image, saved = (statistics.median(found["start_seconds"][n]) for n in ("image", "checkpoint"))
    return [
        "## What a restore adds to a start",
        "",
        "| start from the profile's image | start from a checkpoint of it | adds | allowed |",
        "| --- | --- | --- | --- |",
        f"| {image:.2f} s | {saved:.2f} s | {found['adds_seconds']:.2f} s | {ALLOWED_MORE:.0f} s |",
        "",
        "From the request to the hub until the hub says that the workspace is ready; 100 MB in "
        "4,000 files were saved, and the layers are local. "
        f"Medians of {len(found['start_seconds']['image'])} pairs in turns; what it adds is "
        "the median of their differences.",
        "",
    ]


def main() -> None:
    """Run, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    load = os.getloadavg()
    result = save(rounds) | {"restore": restore(rounds)}
    write_page(write_result("checkpoint", result, load))


if __name__ == "__main__":
    main()
