"""Requests as an attacker writes them: bytes on a socket, nothing tidied up on the way."""

import base64
import os
import socket
import ssl
from urllib.parse import urlsplit

WAIT = 20.0
_UNCHECKED = ssl.create_default_context()  # certificates of tests, for names of tests
_UNCHECKED.check_hostname, _UNCHECKED.verify_mode = False, ssl.CERT_NONE


def exchange(address: str, sent: bytes) -> bytes:
    """What comes back until the other side hangs up, which it has to."""
    target = urlsplit(address)
    with socket.create_connection((target.hostname, target.port), timeout=WAIT) as wire:
        wire.sendall(sent)
        found = b""
        while piece := wire.recv(65536):
            found += piece
        return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


class Handshake:
    """One attempt to open a websocket; `status` is what was answered."""

    def __init__(self, address: str, path: str, **headers: str) -> None:
        target = urlsplit(address)
        host = "127.0.0.1" if target.scheme == "https" else target.hostname
        self.wire = socket.create_connection((host, target.port), timeout=WAIT)
        if target.scheme == "https":
            self.wire = _UNCHECKED.wrap_socket(self.wire, server_hostname=target.hostname)
        lines = {
            "Host": target.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.wire.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        found = b""
        while b"\r\n\r\n" not in found and (piece := self.wire.recv(1)):
            found += piece
        self.head = found.decode("latin1")
        self.status = status(found)

    def say(self, text: bytes, opcode: int = 1) -> None:
        """A masked frame; the mask is zero, so the payload is as it is."""
        assert len(text) < 126
        self.wire.sendall(bytes([0x80 | opcode, 0x80 | len(text), 0, 0, 0, 0]) + text)

    def hear(self) -> bytes:
        """The payload of one short frame; empty when the connection is over."""
        head = self._exactly(2)
        return self._exactly(head[1]) if len(head) == 2 else b""

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                piece = self.wire.recv(count - len(found))
            except ConnectionResetError:
                return b""
            if not piece:
                return b""
            found += piece
        return found

    def close(self) -> None:
        self.wire.close()
