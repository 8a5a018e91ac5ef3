"""The one door: every request and every websocket is decided here before its handler runs.

Jupyter's authorizer covers the handlers that ask it. This stands in front of all of them: tornado
makes each handler by `get_handler_delegate`, and here it makes one that asks the door first.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from petrihub_extensions.guests.rules import (
    ANONYMOUS,
    ROOM,
    Mode,
    may_say,
    name_of,
    refusal,
    shown,
)
from petrihub_extensions.guests.shares import Shares
from petrihub_extensions.guests.visitors import EXPELLED, Visitors

_NO_SHARE = "This workspace is not shared with you, or not any more. Ask its owner."


@dataclass(frozen=True)
class Pass:
    """With what somebody was let through."""

    name: str
    mode: Mode


class Door:
    """Decides about everybody who is not the owner; the owner passes as before."""

    def __init__(self, shares: Shares, visitors: Visitors, identities: Any) -> None:
        self.shares = shares
        self.visitors = visitors
        self._identities = identities
        self._guarded: dict[type[RequestHandler], type[RequestHandler]] = {}
        self._expelled: set[str] = set()

    def install(self, app: Application) -> None:
        """Stand in front of every handler of `app`, those that are added later included."""
        make = app.get_handler_delegate

        def get_handler_delegate(
            request: HTTPServerRequest, target_class: type[RequestHandler], *rest: Any, **more: Any
        ) -> Any:
            return make(request, self.guarded(target_class), *rest, **more)

        app.get_handler_delegate = get_handler_delegate  # type: ignore[method-assign]
        # a handler that forgot to ask for a name is no way in for somebody without one
        app.settings["allow_unauthenticated_access"] = False

    def guarded(self, target: type[RequestHandler]) -> type[RequestHandler]:
        """The handler, behind the door."""
        known = self._guarded.get(target)
        if known is None:
            known = self._guarded[target] = _behind(self, target)
        return known

    async def admit(self, handler: RequestHandler, target: type[RequestHandler]) -> Pass | None:
        """Who comes, if they may; None for somebody without a name. Raises `HTTPError`."""
        if name_of(target) in ANONYMOUS:
            return None
        user = await self._identity(handler)
        if user is None:
            if not issubclass(target, JupyterHandler):
                raise HTTPError(403, "Sign in first.")
            return None  # the handler itself leads to the sign-in
        if self._is_owner(user):
            return Pass(user.username, Mode.OWNER)
        mode = await self.shares.mode(user.username) if _is_person(user) else None
        if mode is None:
            raise _refused(_NO_SHARE)
        words = refusal(mode, target, handler.request.method or "")
        if words:
            raise _refused(words)
        self.visitors.seen(user.username, mode, handler)
        return Pass(user.username, mode)

    def mode_now(self, held: Pass | None) -> Mode | None:
        """What holds at this moment for somebody who was let through earlier."""
        if held is None or held.mode is Mode.OWNER:
            return held.mode if held else None
        return self.shares.known(held.name)

    async def look(self) -> list[str]:
        """Put out who may not stay; the names of all who had to go since the last look."""
        await self.check()
        # a round may have been first, and what is told here goes into the audit trail
        expelled, self._expelled = sorted(self._expelled), set()
        return expelled

    async def check(self) -> None:
        """Ask the hub who may be here, put out who may not stay as they are."""
        await self.shares.look()
        self._identities.cache.forget_guests()
        for visitor in self.visitors.inside():
            mode = self.shares.known(visitor.name)
            if mode in (visitor.mode, Mode.WORK):
                continue
            # who may only look from now on loses what is open; the pages come back themselves
            if self.visitors.expel(visitor.name) and mode is None:
                self._expelled.add(visitor.name)

    def clear(self) -> None:
        """Put everybody out who is not the owner: nobody can say any more who may be here."""
        for visitor in self.visitors.inside():
            self.visitors.expel(visitor.name)

    def _is_owner(self, user: Any) -> bool:
        return bool(_is_person(user) and user.username == self.shares.owner)

    async def _identity(self, handler: RequestHandler) -> Any:
        found = self._identities.provider.get_user(handler)
        user = await found if isinstance(found, Awaitable) else found
        # what the error page asks for when we refuse
        handler.current_user = handler._jupyter_current_user = user  # type: ignore[attr-defined]
        return user


@dataclass(frozen=True)
class Identities:
    """The server's identity provider, and the cache in which it keeps the hub's answers."""

    provider: Any
    cache: Any


def _is_person(user: Any) -> bool:
    return bool(user.hub_user.get("kind") == "user")


def _refused(words: str) -> HTTPError:
    return HTTPError(403, words, reason="You may not do this here")


def _behind(door: Door, target: type[RequestHandler]) -> type[RequestHandler]:
    class Guarded(target):  # type: ignore[misc, valid-type]  # the base is known only now
        petrihub_pass: Pass | None = None

        async def prepare(self) -> None:
            self.petrihub_pass = await door.admit(self, target)
            waiting = super().prepare()
            if inspect.isawaitable(waiting):
                await waiting

        def finish(self, chunk: Any = None, *rest: Any, **more: Any) -> Any:
            held = self.petrihub_pass
            looks = held is not None and held.mode is Mode.VIEW
            if looks and isinstance(chunk, str | bytes) and self.get_status() == 200:
                chunk = shown(target, chunk)
            return super().finish(chunk, *rest, **more)

        def on_connection_close(self) -> None:
            if self.petrihub_pass and getattr(self, "ws_connection", None) is None:
                door.visitors.done(self.petrihub_pass.name, self)
            super().on_connection_close()

        def on_finish(self) -> None:
            # the handshake of a websocket is over too; the websocket itself is not
            if self.petrihub_pass and getattr(self, "ws_connection", None) is None:
                door.visitors.done(self.petrihub_pass.name, self)
            super().on_finish()

    kind = _socket(door, Guarded, target) if issubclass(target, WebSocketHandler) else Guarded
    # logs and rules go on knowing it by its own name
    kind.__module__, kind.__qualname__, kind.__name__ = (
        target.__module__,
        target.__qualname__,
        target.__name__,
    )
    return kind


def _socket(door: Door, base: type[Any], target: type[RequestHandler]) -> type[Any]:
    room = name_of(target) == ROOM

    class GuardedSocket(base):  # type: ignore[misc]  # the base is known only now
        def open(self, *rest: Any, **more: Any) -> Any:
            held: Pass | None = self.petrihub_pass
            if held is not None and held.mode is not Mode.OWNER:
                if door.mode_now(held) is not held.mode:  # ended while the handshake went on
                    self.close(EXPELLED, _NO_SHARE[:100])
                    return None
                door.visitors.seen(held.name, held.mode, self)
            return super().open(*rest, **more)

        def check_origin(self, origin: str) -> bool:
            # collaboration takes every origin; here a foreign page gets no room either
            return bool(super().check_origin(origin)) and (
                not room or JupyterHandler.check_origin(self, origin)
            )

        def on_message(self, message: Any) -> Any:
            if may_say(door.mode_now(self.petrihub_pass), message, room=room):
                return super().on_message(message)
            return None

        def on_close(self) -> Any:
            if self.petrihub_pass is not None:
                door.visitors.done(self.petrihub_pass.name, self)
            return super().on_close()

    return GuardedSocket
