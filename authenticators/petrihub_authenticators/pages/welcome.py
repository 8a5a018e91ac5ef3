"""Where one-time links lead: look at the code, choose a name and a password, be signed in."""

from typing import Any

from petrihub_authenticators import links, redemption, sessions, throttle
from petrihub_authenticators.address import client_address
from petrihub_authenticators.identity import Identity
from petrihub_authenticators.links import Kind
from petrihub_authenticators.pages.page import Page
from petrihub_authenticators.passwords import LONGEST, check_strength
from petrihub_authenticators.redemption import Redeemed
from petrihub_core import audit, settings
from petrihub_core.errors import PetriHubError, Refused, Throttled
from petrihub_core.names import normalise_username
from petrihub_core.records import SignInLink
from petrihub_core.roles import ROLES
from petrihub_core.settings.pages import SignInSettings

_CODE = 512  # characters of a pasted link that we look at


class Welcome(Page):
    """Two steps with one address; the code travels in the body of the form only."""

    async def get(self) -> None:
        """Ask for the code; the page's script takes it from the address's fragment."""
        await self._ask_for_code()

    async def post(self) -> None:
        """Show what the code is for, or use it."""
        code = self.body_field("code", _CODE)
        try:
            link = await self._look(code)
        except PetriHubError as refused:
            self.answer_status(refused)
            await self._ask_for_code(refused.jupyterhub_message)
            return
        if self.body_field("step") != "join":
            await self._ask_for_password(link, code)
            return
        try:
            redeemed = await self._redeem(link, code)
            await self._enter(redeemed)
        except PetriHubError as refused:
            self.answer_status(refused)
            await self._ask_for_password(link, code, refused.jupyterhub_message)

    async def authenticate(self, data: dict[str, Any]) -> dict[str, Any]:
        """`data` itself: what the door gave for the person who redeemed a link."""
        return data

    async def _look(self, code: str) -> SignInLink:
        """The open link; a refusal counts for this address and is audited."""
        trusted = frozenset(self.app.trusted_downstream_ips)
        address = client_address(self, trusted)
        place = throttle.address_key(address)
        database = self.authenticator.database
        try:
            async with database.session() as session:
                await throttle.admit(session, place)
                return await links.look(session, code)
        except Throttled:
            raise
        except PetriHubError as refused:
            async with database.session() as session:
                await throttle.count(session, place, throttle.ADDRESS)
                await audit.record(
                    session,
                    actor="(not signed in)",
                    action="link.tried",
                    target="link",
                    outcome="refused",
                    detail={"address": address, "reason": refused.message},
                )
            raise

    async def _redeem(self, link: SignInLink, code: str) -> Redeemed:
        password = self.body_field("password", LONGEST + 1)
        name = link.username or normalise_username(self.body_field("username"))
        check_strength(password, name, await self._shortest())
        if password != self.body_field("again", LONGEST + 1):
            raise Refused("The two passwords are not the same.", hint="Type both again.")
        # before the transaction: hashing takes longer than anybody should wait for our tables
        hashed = await self.authenticator.passwords.hash(password)
        async with self.authenticator.database.session() as session:
            return await redemption.redeem(session, code, name=name, password_hash=hashed)

    async def _shortest(self) -> int:
        """Characters that a new password needs, as an administrator set it."""
        async with self.authenticator.database.reading() as session:
            return (await settings.read(session, SignInSettings)).shortest_password

    async def _enter(self, redeemed: Redeemed) -> None:
        person = redeemed.person
        if redeemed.kind is Kind.RESET:
            sessions.end_sessions(self, person.username, keep_workspaces=True)
        identity = Identity(person.issuer, person.subject, person.username)
        user = await self.login_user(await self.authenticator.welcome(identity))
        self._jupyterhub_user = user
        self.redirect(self.home_url, status=303)

    async def _ask_for_code(self, error: str = "") -> None:
        await self.show("welcome.html", step="code", error=error)

    async def _ask_for_password(self, link: SignInLink, code: str, error: str = "") -> None:
        await self.show(
            "welcome.html",
            step="join",
            kind=str(link.kind),
            role_title=ROLES[link.role].title if link.role in ROLES else "",
            fixed_name=link.username or "",
            typed_name=self.body_field("username", 64),
            code=code,
            error=error,
            shortest=await self._shortest(),
            longest=LONGEST,
        )
