"""What the gate answers itself: whether the tool is ready, who is inside, who was."""

import json
from http import HTTPStatus
from typing import Any

from tornado.web import RequestHandler

from petrihub_sidecars.gate.guarded import Guarded
from petrihub_sidecars.gate.pages import STATIC, rendered_visits
from petrihub_sidecars.gate.tool import Condition
from petrihub_sidecars.gate.visits import Mode

PROOF_HEADER = "PetriHub-Proof"
PROBLEM_HEADER = "PetriHub-Problem"


class Health(Guarded):
    """GET petrihub-gate/health, for whoever starts the workspace: 204 once the tool is ready.

    `PetriHub-Proof` shows that the gate answers and not something that took its port: only the
    gate was given it.
    """

    async def get(self) -> None:
        """Ready or not; says nothing else to nobody."""
        condition = await self.gate.tool.check()
        self.set_header(PROOF_HEADER, self.gate.proof)
        self.set_header("Cache-Control", "no-store")
        if condition is Condition.READY:
            self.set_status(HTTPStatus.NO_CONTENT)
            return
        if condition is Condition.EXPOSED:
            self.set_header(PROBLEM_HEADER, self.gate.tool.problem())
        self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)


class VisitsPage(Guarded):
    """GET petrihub-gate/visits, for the owner."""

    async def get(self) -> None:
        """Who was here, when and how long."""
        session = await self.admit(owner=True)
        self.gate.visits.enter(session)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'self'")
        self.finish(rendered_visits(self.gate.visits.record(), self.gate.settings))


class _API(Guarded):
    """The portal asks these, with a token of the owner; the same as every workspace answers."""

    def answer(self, value: dict[str, Any]) -> None:
        """Send JSON that nobody keeps."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))


class Guests(_API):
    """GET petrihub/api/guests, for the owner."""

    async def get(self) -> None:
        """Who is inside beside the owner; times are seconds since 1970."""
        await self.admit(owner=True)
        guests = [
            {
                "name": visit.name,
                "mode": visit.mode.value,
                "since": visit.since,
                "seen": visit.seen,
                "connections": visit.sockets,
            }
            for visit in self.gate.visits.inside()
            if visit.mode is not Mode.OWNER
        ]
        self.answer({"guests": guests})


class Look(_API):
    """POST petrihub/api/guests/look, for the owner."""

    async def post(self) -> None:
        """Ask the hub now who may be here; `expelled` are the names of those who had to go."""
        await self.admit(owner=True)
        self.answer({"expelled": await self.gate.sign_in.look_again()})


class Style(RequestHandler):
    """GET petrihub-gate/gate.css: also those who may not enter see a page of ours."""

    def get(self) -> None:
        """The style of our pages."""
        self.set_header("Content-Type", "text/css; charset=UTF-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "max-age=3600")
        self.finish((STATIC / "gate.css").read_bytes())
