"""PetriHubAuthenticator: the one class that the hub loads.

It asks a provider who you are, then `admission` whether you may enter.
"""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.utils import url_path_join
from sqlalchemy import or_, update
from sqlalchemy.ext.asyncio import AsyncSession
from traitlets import default

from petrihub_authenticators import pkce
from petrihub_authenticators.address import client_address
from petrihub_authenticators.admission import Admission, Rules, admit
from petrihub_authenticators.identity import Identity
from petrihub_authenticators.pages.routes import page_routes
from petrihub_authenticators.passwords import Passwords
from petrihub_authenticators.providers.base import Answer, Provider
from petrihub_authenticators.providers.local import LocalAccounts
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.errors import NotAllowed, Refused
from petrihub_core.names import normalise_username
from petrihub_core.people import LOCAL_ISSUER, by_username
from petrihub_core.records import Person, now
from petrihub_core.roles import permissions_of

_TEMPLATES = Path(__file__).with_name("templates")
_SEEN_EVERY = timedelta(minutes=1)
_REFRESH_AGE = 60  # seconds; the longest that a deactivated person's open page still works


def template_paths() -> list[str]:
    """Folders for `JupyterHub.template_paths`; before the frame's, which has a page.html for us."""
    return [str(_TEMPLATES)]


_panel_names: set[str] = set()  # who may open the admin panel, as of their last refresh


def may_administer(user: Any) -> bool:
    """Whether the hub's pages show this person the way to the admin panel.

    JupyterHub calls what is callable in `template_vars` with the user, who may be None.
    """
    return user is not None and user.name in _panel_names


class PetriHubAuthenticator(Authenticator):  # type: ignore[misc] # JupyterHub has no types
    """Signs people in with local accounts; pages for sign-in and for one-time links."""

    @default("auth_refresh_age")
    def _auth_refresh_age(self) -> int:
        return _REFRESH_AGE

    # a deactivated person is out, also with a token, and for a start that an admin asks for them
    @default("auth_refresh_strict")
    def _auth_refresh_strict(self) -> bool:
        return True

    @default("refresh_pre_spawn")
    def _refresh_pre_spawn(self) -> bool:
        return True

    @default("any_allow_config")
    def _any_allow_config(self) -> bool:
        return True  # `check_allowed` asks admission: nobody is let in by a list in the config

    @cached_property
    def deployment(self) -> Deployment:
        """The deployment whose people sign in, from the file that `PETRIHUB_CONFIG` names."""
        return read_deployment()

    @cached_property
    def database(self) -> Database:
        """Our tables; opened on the hub's loop at first use."""
        return Database.open(self.deployment.database_url)

    @cached_property
    def passwords(self) -> Passwords:
        """The password hasher, shared by the pages so that its limit is one limit."""
        return Passwords()

    @cached_property
    def rules(self) -> Rules:
        """Who may enter."""
        return Rules(issuers=frozenset({LOCAL_ISSUER}))

    def provider(self, hub_prefix: str) -> Provider:
        """The way to sign in that this deployment uses."""
        return LocalAccounts(self.database, self.passwords, url_path_join(hub_prefix, "login"))

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Our pages; called once while the hub starts, which is when PKCE is made strict."""
        pkce.require_pkce(app.oauth_provider)
        return page_routes()

    def normalize_username(self, username: str) -> str:
        """The one form of a name; what has none stays as it is and is refused by validation."""
        try:
            return normalise_username(username)
        except Refused:
            return username

    def validate_username(self, username: str) -> bool:
        """Whether this is the normalised form of a usable name."""
        try:
            return normalise_username(username) == username
        except Refused:
            return False

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any]:
        """Who signed in, for JupyterHub; raises in words when nobody did or they may not enter."""
        trusted = frozenset(handler.app.trusted_downstream_ips)
        answer = Answer(fields=data, address=client_address(handler, trusted))
        return await self.welcome(await self.provider(handler.hub.base_url).finish(answer))

    async def welcome(self, identity: Identity) -> dict[str, Any]:
        """What JupyterHub stores of somebody who may enter; raises `NotAllowed` if they may not."""
        async with self.database.session() as session:
            person = await by_username(session, identity.username)
            admission = admit(identity, person, self.rules)
            await _remember_panel(session, person)
            if person is not None and admission.allowed:
                person.last_seen_at = now()
            await audit.record(
                session,
                actor=identity.username,
                action="sign-in",
                target=identity.username,
                outcome="ok" if admission.allowed else "refused",
                detail={} if admission.allowed else {"reason": admission.reason},
            )
        if not admission.allowed:
            raise NotAllowed(admission.reason)
        return {"name": identity.username, "admin": False, "admission": admission}

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Deny by default: only what `welcome` admitted."""
        admission = (authentication or {}).get("admission")
        return isinstance(admission, Admission) and admission.allowed

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Whether the person is still active."""
        async with self.database.reading() as session:
            person = await by_username(session, user.name)
            await _remember_panel(session, person)
        if handler is not None and not hasattr(handler, "_token_authenticated"):
            # JupyterHub 6.1.1 reads this when we say no, but sets it only for tokens: without it,
            # whoever has a cookie would see an internal error instead of the sign-in page
            handler._token_authenticated = False
        if person is None:
            return False
        identity = Identity(person.issuer, person.subject, person.username)
        admission = admit(identity, person, self.rules)
        if not admission.allowed:
            return False
        if not _by_machine(handler):
            await self._saw(person)
        # nobody is an administrator of JupyterHub itself: what admins do here goes through the
        # portal, which asks our own roles and writes the audit trail
        return {"name": user.name, "admin": False} if user.admin else True

    async def _saw(self, person: Person) -> None:
        """Write down that the person was here, at most once a minute."""
        moment = now()
        if person.last_seen_at is not None and moment - person.last_seen_at < _SEEN_EVERY:
            return
        too_old = or_(Person.last_seen_at.is_(None), Person.last_seen_at < moment - _SEEN_EVERY)
        async with self.database.session() as session:
            await session.execute(
                update(Person).where(Person.id == person.id, too_old).values(last_seen_at=moment)
            )


def _by_machine(handler: Any) -> bool:
    """Whether no person asks: a running workspace reports its activity in their name."""
    return handler is None or str(handler.request.path).endswith("/activity")


async def _remember_panel(session: AsyncSession, person: Person | None) -> None:
    if person is None:
        return
    if await permissions_of(session, person):
        _panel_names.add(person.username)
    else:
        _panel_names.discard(person.username)
