"""The way to the tool: every request and every websocket is decided, cleaned and passed on here."""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from functools import partial
from http import HTTPStatus

from tornado.web import Finish, stream_request_body

from petrihub_sidecars.gate import wire
from petrihub_sidecars.gate.frames import Frames
from petrihub_sidecars.gate.guarded import Guarded
from petrihub_sidecars.gate.headers import (
    IDENTITY_HEADER,
    Pairs,
    kept_from_client,
    kept_from_tool,
)
from petrihub_sidecars.gate.tool import Condition
from petrihub_sidecars.gate.tool_log import last_lines
from petrihub_sidecars.gate.visits import Mode, Session, Visit

_LOOKS_AGAIN = 3  # seconds after which our page tries again


@stream_request_body
class Door(Guarded):
    """One request to the tool, which gets a connection of its own for it."""

    _tool: socket.socket | None = None
    _chunked = False
    _hung_up = False
    _head: asyncio.Future[wire.Head] | None = None

    async def prepare(self) -> None:
        """Decide, then connect to the tool and send it the head; the body follows as it comes."""
        self._held = AsyncExitStack()
        session = self._session = await self.admit()
        self._visit: Visit = self.gate.visits.enter(session)
        tool = self.gate.tool
        if problem := tool.problem():
            raise self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "This tool stays closed", problem)
        try:
            self._tool = await self._held.enter_async_context(wire.tool_at(tool.port))
        except wire.ToolSilent as exc:
            raise await self._no_answer(session) from exc
        await self._say(wire.request_head(self._method, self._path(), self._headers_for_tool()))
        self.gate.activity.touch()

    @property
    def _method(self) -> str:
        return self.request.method or "GET"

    def _path(self) -> str:
        settings = self.gate.settings
        uri = self.request.uri or "/"
        return uri if settings.absolute_urls else uri[len(settings.base_url) - 1 :]

    def _headers_for_tool(self) -> Pairs:
        settings, headers = self.gate.settings, self.request.headers
        sent = kept_from_client(headers)
        sent.append((IDENTITY_HEADER, self.gate.signer.header_for(self._visit.name)))
        sent.append(("X-Forwarded-Host", headers.get("Host", "")))
        sent.append(("X-Forwarded-Proto", settings.public_scheme or "http"))
        if not settings.absolute_urls:
            sent.append(("X-Forwarded-Prefix", settings.base_url.rstrip("/")))
        if self.upgrades:
            return [*sent, ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        if "Transfer-Encoding" in headers:
            self._chunked = True
            sent.append(("Transfer-Encoding", "chunked"))
        elif "Content-Length" in headers:
            sent.append(("Content-Length", headers["Content-Length"]))
        return [*sent, ("Connection", "close")]

    async def _say(self, data: bytes) -> None:
        if self._tool is None:
            return
        try:
            await wire.send(self._tool, data)
        except OSError:
            self._hung_up = True  # it may have answered before it took all: see there

    async def data_received(self, chunk: bytes) -> None:
        """A piece of the body; what a tool does not want any more is read and dropped."""
        if self._hung_up or self._tool is None:
            return
        self.gate.activity.touch()
        await self._say(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    async def _pass(self, *_: str) -> None:
        if self._tool is None:
            return
        if self._chunked and not self._hung_up:
            await self._say(b"0\r\n\r\n")
        tool = self._tool
        async with self._held:
            try:
                self._head = asyncio.ensure_future(wire.read_head(tool))
                head = await self._head
                self.gate.tool.answers()
                length = head.length(self._method)
            except asyncio.CancelledError:
                self._finished = True  # the browser is gone: there is nobody to answer
                return
            except wire.ToolSilent as exc:
                raise await self._no_answer(self._session) from exc
            except wire.ToolGarbled as exc:
                words = f"What {self.gate.tool.title} answered cannot be passed on: {exc}."
                raise self.refuse(HTTPStatus.BAD_GATEWAY, "No usable answer", words) from exc
            await self._answer(tool, head, length)

    get = head = post = put = patch = delete = options = _pass

    async def _answer(self, tool: socket.socket, head: wire.Head, length: int | None) -> None:
        switched = self.upgrades and head.status == HTTPStatus.SWITCHING_PROTOCOLS
        if head.status < HTTPStatus.OK and not switched:
            raise self.refuse(
                HTTPStatus.BAD_GATEWAY, "No usable answer", "The tool changed the protocol unasked."
            )
        stream = self.detach()
        with stream.socket.dup() as browser:
            stream.close()  # only tornado's half: `browser` is the same connection
            cut = partial(_cut, browser)
            # an OSError: one of the two hung up, which ends it for both
            with self._visit.connection(cut, socket=switched), suppress(OSError):
                await self._deliver(tool, browser, head, length, switched=switched)

    async def _deliver(
        self,
        tool: socket.socket,
        browser: socket.socket,
        head: wire.Head,
        length: int | None,
        *,
        switched: bool,
    ) -> None:
        first = wire.response_head(head, self._headers_for_browser(head, switched=switched))
        if switched:
            await wire.send(browser, first + head.body)
            await wire.join(tool, browser, self._watch(), self._watch())
            return
        body = head.body if length is None else head.body[:length]
        await wire.send(browser, first + body)
        left = None if length is None else length - len(body)
        if left != 0:
            await wire.pass_on(tool, browser, left, lambda _: self.gate.activity.touch())

    def _headers_for_browser(self, head: wire.Head, *, switched: bool) -> Pairs:
        settings = self.gate.settings
        host = self.request.headers.get("Host", "").lower()
        own = {host, f"127.0.0.1:{settings.port}", f"localhost:{settings.port}"}
        prefix = "" if settings.absolute_urls else settings.base_url.rstrip("/")
        kept = kept_from_tool(head.headers.get_all(), prefix=prefix, own=own)
        if switched:
            return [*kept, ("Connection", "Upgrade")]
        chunked = "Transfer-Encoding" in head.headers
        unfit = {"upgrade", "content-length"} if chunked else {"upgrade"}
        return [
            *((name, value) for name, value in kept if name.lower() not in unfit),
            ("Connection", "close"),
        ]

    def _watch(self) -> wire.Moved:
        frames = Frames()

        def moved(piece: bytes | int) -> None:
            if isinstance(piece, bytes) and frames.said_something(piece):
                self.gate.activity.touch()

        return moved

    async def _no_answer(self, session: Session) -> Finish:
        title, log = self.gate.tool.title, ""
        if self.gate.tool.silent() is Condition.ENDED:
            heading = f"{title} has ended"
            words = (
                "It stopped answering. PetriHub starts it again, up to three times, and this page "
                "then opens it by itself. If much data was loaded, the memory was probably full: "
                "stop the workspace and start it with a larger size."
            )
            if self.navigates and session.mode is Mode.OWNER:
                log = await last_lines(self.gate.settings)
        else:
            heading = f"{title} is starting"
            words = "This page opens it as soon as it answers."
        return self.refuse(
            HTTPStatus.SERVICE_UNAVAILABLE, heading, words, busy=True, retry=_LOOKS_AGAIN, log=log
        )

    def on_connection_close(self) -> None:
        """The browser is gone before there was an answer."""
        if self._head is not None:
            self._head.cancel()
        elif self._tool is not None:
            self._tool.close()  # in the middle of what it sent

    def on_finish(self) -> None:
        """Answered by ourselves: the tool's connection is not needed any more."""
        if self._tool is not None:
            self._tool.close()


def _cut(browser: socket.socket) -> None:
    with suppress(OSError):  # it is gone already
        browser.shutdown(socket.SHUT_RDWR)
