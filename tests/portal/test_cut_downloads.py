"""What the routing proxy does when the program behind it ends in the middle of an answer (F43)."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from petrihub_cli.product import proxy_command
from petrihub_core.ports import free_port

from tests.platform import wait_until_up
from tests.side_by_side import shared_proxy

HEADS = {
    "cut": b"Content-Length: 1000\r\n\r\nshort",
    "cut-chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    "whole": b"Content-Length: 5\r\n\r\nshort",
    "whole-chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n",
}


def answer(listener: socket.socket) -> None:
    """Answers as the path says, and goes away."""
    with suppress(OSError):
        while True:
            wire, _ = listener.accept()
            with wire:
                name = wire.recv(65536).split(b" ")[1].strip(b"/").decode()
                wire.sendall(b"HTTP/1.1 200 OK\r\n" + HEADS.get(name, HEADS["whole"]))


@pytest.fixture
def door(tmp_path) -> Iterator[str]:
    """The routing proxy as it is started for a hub, before such a program."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=[listener], daemon=True).start()
    behind, port = f"http://127.0.0.1:{listener.getsockname()[1]}", str(free_port())
    command = proxy_command(shared_proxy() / "node_modules/configurable-http-proxy/bin")
    options = ["--ip", "127.0.0.1", "--port", port, "--api-port", str(free_port())]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *options, "--default-target", behind], stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait()
        listener.close()


def test_a_download_that_is_cut_behind_the_proxy_fails_and_does_not_hang(door: str) -> None:
    for name in ("whole", "whole-chunks"):
        assert httpx.get(f"{door}/{name}", trust_env=False).text == "short"
    for name in ("cut", "cut-chunks"):
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{door}/{name}", trust_env=False, timeout=60)
