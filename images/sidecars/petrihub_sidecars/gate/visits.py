"""Who is in, since when, and how they came: sessions with their tokens, and the record of them.

A browser's cookie names a session and says nothing else: the hub's token stays in this process.
Sessions end with the gate; then the hub lets people back in without asking them again.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

_KEPT = 1000  # visits of the record; the oldest go first
_SESSIONS = 500  # browsers signed in at one time
_IDLE = 24 * 3600.0  # seconds after which a browser that does nothing has to sign in again
_LINGER = 60.0  # seconds after the last request that somebody counts as inside


class Mode(StrEnum):
    """How somebody is here."""

    OWNER = "owner"
    WORK = "work"


@dataclass(eq=False, kw_only=True)
class Visit:
    """One stay of one person; times are seconds since 1970. `way` is browser or token."""

    name: str
    mode: Mode
    way: str
    since: float
    seen: float
    requests: int = 0
    cuts: set[Callable[[], object]] = field(default_factory=set)
    sockets: int = 0

    @property
    def inside(self) -> bool:
        """Whether they are here now."""
        return bool(self.cuts) or time.time() - self.seen < _LINGER

    @contextmanager
    def connection(self, cut: Callable[[], object], *, socket: bool) -> Iterator[None]:
        """While the block runs, this person has a connection open; `cut` ends it."""
        self.cuts.add(cut)
        self.sockets += socket
        try:
            yield
        finally:
            self.cuts.discard(cut)
            self.sockets -= socket
            self.seen = time.time()


@dataclass(eq=False, kw_only=True)
class Session:
    """A signed-in browser, or a token of the hub: what the hub said of it, and when.

    `hub_session` is JupyterHub's own mark of the browser: it changes when the person signs out.
    """

    token: str = field(repr=False)
    hub_session: str = ""
    way: str
    used: float = field(default_factory=time.monotonic)
    checked: float = 0.0
    name: str = ""
    mode: Mode | None = None
    refusal: str = ""
    visit: Visit | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Visits:
    """All sessions by what their cookie or token hashes to, and the record of visits."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._record: list[Visit] = []

    def begin(self, token: str, hub_session: str) -> str:
        """A new browser session; what its cookie says."""
        mark = secrets.token_urlsafe(32)
        self._keep(_hashed(mark), Session(token=token, hub_session=hub_session, way="browser"))
        return mark

    def of_cookie(self, mark: str) -> Session | None:
        """The session that this cookie names."""
        return self._sessions.get(_hashed(mark))

    def of_token(self, token: str) -> Session:
        """The session of a program that brings a token with each request."""
        key = _hashed(f"token:{token}")
        session = self._sessions.get(key)
        if session is None:
            session = Session(token=token, way="token")
            self._keep(key, session)
        return session

    def end(self, session: Session) -> None:
        """Forget the session and cut what it has open."""
        self._sessions = {key: s for key, s in self._sessions.items() if s is not session}
        self.put_out(session)

    def put_out(self, session: Session) -> None:
        """Cut everything that this session has open."""
        if session.visit is not None:
            for cut in list(session.visit.cuts):
                cut()
            session.visit = None

    def enter(self, session: Session) -> Visit:
        """The session's present visit; a new one, if it was away."""
        at = time.time()
        session.used = time.monotonic()
        visit = session.visit
        mode = session.mode or Mode.WORK
        if visit is None or visit.mode is not mode or not visit.inside:
            visit = session.visit = Visit(
                name=session.name, mode=mode, way=session.way, since=at, seen=at
            )
            self._record = [*self._record[-_KEPT + 1 :], visit]
        visit.seen = at
        visit.requests += 1
        return visit

    def sessions(self) -> list[Session]:
        """All sessions that there are."""
        return list(self._sessions.values())

    def record(self) -> list[Visit]:
        """The visits, newest first."""
        return self._record[::-1]

    def inside(self) -> list[Visit]:
        """The visits of those who are here now, oldest first."""
        return [visit for visit in self._record if visit.inside]

    def _keep(self, key: str, session: Session) -> None:
        now = time.monotonic()
        for old, each in list(self._sessions.items()):
            if now - each.used > _IDLE:
                self.put_out(each)
                del self._sessions[old]
        while len(self._sessions) >= _SESSIONS:
            old = min(self._sessions, key=lambda each: self._sessions[each].used)
            self.put_out(self._sessions.pop(old))
        self._sessions[key] = session


def _hashed(mark: str) -> str:
    return hashlib.sha256(mark.encode("utf-8", "replace")).hexdigest()
