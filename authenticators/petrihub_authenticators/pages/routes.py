"""The route table of our pages: who may come, and what changes state.

Deny by default: a page is here or it does not exist. Every POST is checked for its XSRF token by
JupyterHub's `prepare`, since none of these pages takes an access token.
"""

from typing import Any

from petrihub_authenticators.pages.assets import STATIC, Asset
from petrihub_authenticators.pages.people import DEEDS, AddPerson, OnePerson, People, Withdraw
from petrihub_authenticators.pages.sign_in import SignIn
from petrihub_authenticators.pages.welcome import Welcome

_NAME = r"([a-z0-9][a-z0-9._-]{0,31})"
_DEED = f"({'|'.join(DEEDS)})"


def page_routes() -> list[tuple[Any, ...]]:
    """(path below the hub's prefix, handler, settings) for each page."""
    return [
        # for everybody
        (r"/login", SignIn),
        (r"/welcome", Welcome),
        (r"/petrihub/sign-in/static/(.+)", Asset, {"path": str(STATIC)}),
        # for administrators: PeoplePage.prepare
        (r"/people", People),
        (r"/people/add", AddPerson),
        (r"/people/invitations/([0-9a-f]{32})/withdraw", Withdraw),
        (rf"/people/person/{_NAME}", OnePerson),
        (rf"/people/person/{_NAME}/{_DEED}", OnePerson),
    ]
