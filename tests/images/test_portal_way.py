"""The image server's front leads workspaces to the portal, for their own checkpoints and no more.

Who may ask there is the portal's decision: tests/portal/test_this_workspace.py. That it works:
tests/e2e/test_checkpoints.py.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from petrihub_cli.state import inner_ports

from tests.images.conftest import Site

OWN = "/services/portal/api/v1/workspace"
ID = "0" * 32


@pytest.fixture
async def heard(site: Site) -> AsyncIterator[list[str]]:
    """First lines of the requests that reach the portal's port."""
    lines: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines.append(head.decode().partition("\r\n")[0].removesuffix(" HTTP/1.1"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    port = inner_ports(site.deployment)["portal"]
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield lines


async def test_a_workspace_reaches_its_checkpoints(site: Site, heard: list[str]) -> None:
    asked = [
        ("GET", OWN),
        ("POST", f"{OWN}/checkpoints"),
        ("GET", f"{OWN}/checkpoints/{ID}"),
        ("POST", f"{OWN}/checkpoints/{ID}/confirm"),
        ("POST", f"{OWN}/checkpoints/{ID}/cancel"),
        ("DELETE", f"{OWN}/checkpoints/{ID}"),
    ]
    for method, path in asked:
        assert (await site.call(method, path, "Bearer x")).status_code == 204, path
    assert heard == [f"{method} {path}" for method, path in asked]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/services/portal/"),
        ("GET", "/services/portal/api/v1/me"),
        ("GET", "/services/portal/api/v1/my/checkpoints"),
        ("POST", "/services/portal/api/v1/people"),
        ("GET", f"{OWN}s"),
        ("PUT", OWN),
        ("POST", OWN),
        ("GET", f"{OWN}/../me"),
        ("GET", f"{OWN}/%2e%2e/me"),
        ("GET", f"{OWN}/checkpoints/{ID}/../../../me"),
        ("POST", f"{OWN}/checkpoints/{ID}/start"),
        ("GET", "/hub/api/users"),
    ],
)
async def test_and_nothing_else_of_the_portal(
    site: Site, heard: list[str], method: str, path: str
) -> None:
    assert (await site.call(method, path, "Bearer x")).status_code == 403
    assert heard == []
