"""The pages on which administrators manage people; everybody else is refused before anything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from tornado import web

from petrihub_authenticators import accounts, links, sessions
from petrihub_authenticators.admission import ADMIN, RESEARCHER
from petrihub_authenticators.pages.page import Page, PageRefused
from petrihub_core import audit
from petrihub_core.errors import NotAllowed, PetriHubError


class PeoplePage(Page):
    """A page for administrators. Who is none gets 403 and a row in the audit trail."""

    async def prepare(self) -> None:
        """After JupyterHub's sign-in and XSRF checks: our table says who is an administrator."""
        await super().prepare()
        if self.current_user is None:
            return  # `web.authenticated` on each method sends them to the sign-in page
        name = self.current_user.name
        database = self.authenticator.database
        try:
            async with database.session() as session:
                await accounts.require_admin(session, name)
        except NotAllowed as refused:
            async with database.session() as session:
                await audit.record(
                    session,
                    actor=name,
                    action="people.page",
                    target=self.request.path,
                    outcome="refused",
                )
            raise PageRefused(403, refused.jupyterhub_message) from refused

    @property
    def people_url(self) -> str:
        """The list of people."""
        return f"{self.hub.base_url}people"

    def link_to(self, code: str) -> str:
        """The whole one-time link, for the administrator to hand over."""
        prefix = str(self.hub.base_url).removesuffix("/hub/")
        return links.address_of(f"{self.public_base}{prefix}", code)

    async def show_list(self, error: str = "", **typed: str) -> None:
        """Answer with everybody and the open invitations."""
        async with self.authenticator.database.session() as session:
            people = await accounts.everyone(session)
            invitations = await accounts.invitations(session)
        await self.show(
            "people.html",
            people=people,
            invitations=invitations,
            people_url=self.people_url,
            notice=self.read_notice(),
            error=error,
            typed=typed,
        )


class People(PeoplePage):
    """The list."""

    @web.authenticated
    async def get(self) -> None:
        """Everybody, with role and state."""
        await self.show_list()


class AddPerson(PeoplePage):
    """An invitation, or an account that waits for its person."""

    @web.authenticated
    async def post(self) -> None:
        """Make it, and show its link once on the list."""
        name, role = self.body_field("username"), self.body_field("role")
        try:
            async with self.authenticator.database.session() as session:
                code = await accounts.add(session, self.current_user.name, name=name, role=role)
        except PetriHubError as refused:
            self.answer_status(refused)
            await self.show_list(refused.jupyterhub_message, username=name[:64], role=role)
            return
        whom = f"{name.strip()[:64]} " if name.strip() else ""
        self.leave_notice(
            f"Give this link to {whom or 'one person '}in private. It works once, for 7 days.",
            self.link_to(code),
        )
        self.redirect(self.people_url, status=303)


class Withdraw(PeoplePage):
    """An open invitation that should not be used any more."""

    @web.authenticated
    async def post(self, link_id: str) -> None:
        """Close it."""
        try:
            async with self.authenticator.database.session() as session:
                await accounts.withdraw(session, self.current_user.name, link_id)
        except PetriHubError as refused:
            self.answer_status(refused)
            await self.show_list(refused.jupyterhub_message)
            return
        self.leave_notice("The invitation was withdrawn; its link does not work any more.")
        self.redirect(self.people_url, status=303)


@dataclass(frozen=True)
class Deed:
    """Something that an administrator does with one person."""

    change: Callable[[AsyncSession, str, str], Awaitable[Any]]
    done: str
    question: str = ""  # asked before; empty for what harms nobody


async def _promote(session: AsyncSession, actor: str, name: str) -> Any:
    return await accounts.set_role(session, actor, name, ADMIN)


async def _demote(session: AsyncSession, actor: str, name: str) -> Any:
    return await accounts.set_role(session, actor, name, RESEARCHER)


DEEDS = {
    "link": Deed(accounts.new_link, "Give this link to {name} in private. It works once."),
    "activate": Deed(accounts.activate, "{name} may sign in again."),
    "make-admin": Deed(
        _promote,
        "{name} is an administrator now.",
        "{name} will be able to do everything here: manage people, and open and stop everybody's "
        "workspaces.",
    ),
    "remove-admin": Deed(
        _demote,
        "{name} is not an administrator any more.",
        "{name} keeps account, files and workspaces, but cannot manage people any more.",
    ),
    "deactivate": Deed(
        accounts.deactivate,
        "{name} was deactivated and signed out everywhere.",
        "{name} will be signed out everywhere, their access tokens stop working and their running "
        "workspaces are stopped: work that is not saved is lost. Their files are kept.",
    ),
}


class OnePerson(PeoplePage):
    """One person and what can be done."""

    @web.authenticated
    async def get(self, name: str, deed: str = "") -> None:
        """The person; with a deed, the question before it."""
        await self._show(name, asked=deed)

    @web.authenticated
    async def post(self, name: str, deed: str = "") -> None:
        """Do it: first in our tables, then in the hub."""
        chosen = DEEDS.get(deed)
        if chosen is None:
            raise PageRefused(405, "Nothing can be done here. Go back to the list of people.")
        try:
            async with self.authenticator.database.session() as session:
                result = await chosen.change(session, self.current_user.name, name)
        except PetriHubError as refused:
            self.answer_status(refused)
            await self._show(name, error=refused.jupyterhub_message)
            return
        await self._follow(name, deed)
        self.leave_notice(
            chosen.done.format(name=name), self.link_to(result) if deed == "link" else ""
        )
        # who gave up their own role would only be refused on the page of the person
        gone = deed == "remove-admin" and name == self.current_user.name
        self.redirect(self.home_url if gone else f"{self.people_url}/person/{name}", status=303)

    async def _follow(self, name: str, deed: str) -> None:
        """Let the hub know what our tables say now."""
        if deed in ("make-admin", "remove-admin"):
            sessions.set_hub_admin(self, name, deed == "make-admin")
        elif deed == "deactivate":
            sessions.end_sessions(self, name, keep_workspaces=False)
            await sessions.stop_workspaces(self, name)

    async def _show(self, name: str, asked: str = "", error: str = "") -> None:
        async with self.authenticator.database.session() as session:
            found = [p for p in await accounts.everyone(session) if p.person.username == name]
        if not found:
            raise PageRefused(404, "There is nobody with this name. Look at the list again.")
        question = DEEDS[asked].question.format(name=name) if asked in DEEDS else ""
        await self.show(
            "person.html",
            line=found[0],
            people_url=self.people_url,
            asked=asked if question else "",
            question=question,
            notice=self.read_notice(),
            error=error,
        )
