"""The life of a private engine, played for real; test_engine.py reads what happened.

Run as a program in a network namespace of its own: `engine_play.py FOLDER`.
"""

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import httpx
import psutil

from petrihub_cli.engine import answers, engine_folder, ensure_engine, find_engine, stop_engine

START = """
import asyncio, json, sys
from pathlib import Path
from petrihub_cli.engine import ensure_engine
engine = asyncio.run(ensure_engine(folder=Path(sys.argv[1]), private=True))
print(json.dumps([engine.socket, engine.started_by_us, engine.pid]))
"""


def _tiny_image() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return archive.getvalue()


def _client(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=address), base_url="http://engine", timeout=60
    )


async def _starts(folder: Path, count: int) -> list[Any]:
    """What several processes that all ask for the same private engine at once are given."""
    asked = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", START, str(folder)), stdout=subprocess.PIPE
        )
        for _ in range(count)
    ]
    answers_given = await asyncio.gather(*(process.communicate() for process in asked))
    return [json.loads(out) for out, _ in answers_given]


async def play(folder: Path) -> dict[str, Any]:
    """Start three times at once, stop, start again; what was seen."""
    own = engine_folder(folder)
    own.path.mkdir(parents=True)
    own.pidfile.write_text(str(os.getpid()))  # as a crash leaves it: the number is another's now
    story: dict[str, Any] = {"given": await _starts(folder, 3)}
    first = psutil.Process(story["given"][0][2])
    story["outlives_its_callers"] = first.is_running()
    async with _client(str(own.socket)) as client:
        made = await client.post(
            "/images/create", params={"fromSrc": "-", "repo": "tiny"}, content=_tiny_image()
        )
        made.raise_for_status()
    story["stopped"] = {
        "said": await stop_engine(folder),
        "runs": first.is_running(),
        "answers": await answers(own.socket),
        "bridge": own.bridge in psutil.net_if_addrs(),
    }
    again = await ensure_engine(folder=folder, private=True)
    async with _client(again.socket) as client:
        story["image_after_restart"] = (await client.get("/images/tiny:latest/json")).status_code
    story["found_again"] = await find_engine(again.socket, folder=folder) == again
    return story


async def main(folder: Path) -> None:
    """Play, and stop the engine whatever happened."""
    story: dict[str, Any] = {}
    try:
        story = await play(folder)
    finally:
        stopped = [await stop_engine(folder), await stop_engine(folder)]
    sys.stdout.write(json.dumps(story | {"stopped_twice": stopped}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
