"""The door to look at the engine: three questions get through, and nothing else does."""

import asyncio
import socket
from pathlib import Path

import pytest

from petrihub_cli.engine import ensure_engine
from petrihub_cli.engine_look import looks_at_engine
from petrihub_core.deployment import Deployment
from petrihub_core.errors import PetriHubError
from petrihub_spawner.backends.engine import Engine, EngineRefusal

from tests.conftest import skip

pytestmark = pytest.mark.docker

FORBIDDEN = [
    b"GET /v1.41/containers/json HTTP/1.1\r\n\r\n",
    b"POST /v1.41/images/json HTTP/1.1\r\n\r\n",
    b"GET /images/json/../../containers/json HTTP/1.1\r\n\r\n",
    b"GET /version HTTP/1.1 x\r\n\r\n",
    b"GET http://engine/version HTTP/1.1\r\n\r\n",
    b"DELETE /version HTTP/1.1\r\n\r\n",
]


async def test_three_questions_get_through_and_nothing_else(tmp_path: Path) -> None:
    try:
        engine = (await ensure_engine(private=True)).socket
    except PetriHubError as exc:
        skip(exc.jupyterhub_message)
    deployment = Deployment(state=tmp_path, backend="docker", parts="apart")
    async with looks_at_engine(deployment, engine):
        place = tmp_path / "run" / "engine" / "look.sock"
        door = Engine(str(place))
        assert (await door.ask("version"))["Version"]
        assert isinstance(await door.ask("images"), list)
        assert "LayersSize" in await door.ask("df")
        for method, arguments in (("containers", ()), ("inspect_container", ("x",)), ("info", ())):
            with pytest.raises(EngineRefusal, match="Only the hub"):
                await door.ask(method, *arguments)
        for head in FORBIDDEN:
            assert b" 403 " in await asyncio.to_thread(exchange, place, head)
        # a second request behind an allowed one does not reach the engine
        both = b"GET /version HTTP/1.1\r\n\r\nGET /containers/json HTTP/1.1\r\n\r\n"
        assert (await asyncio.to_thread(exchange, place, both)).count(b"HTTP/1.1 ") == 1


def exchange(place: Path, sent: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))
        client.sendall(sent)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer
