"""The route table of our pages: who may come, and what changes state.

Deny by default: a page is here or it does not exist. Every POST of a page is checked for its XSRF
token by JupyterHub's `prepare`, since none of the pages takes an access token.
"""

from typing import Any

from tornado.web import RedirectHandler

from petrihub_authenticators.pages.assets import STATIC, Asset
from petrihub_authenticators.pages.end import EndPerson
from petrihub_authenticators.pages.sign_in import SignIn
from petrihub_authenticators.pages.stops import AuditedServer
from petrihub_authenticators.pages.streams import BoundedProgress
from petrihub_authenticators.pages.welcome import Welcome
from petrihub_core.web import PORTAL_PREFIX


def page_routes() -> list[tuple[Any, ...]]:
    """(path below the hub's prefix, handler, settings) for each page."""
    return [
        # the home page is the portal's, and so are access tokens
        (r"/home", RedirectHandler, {"url": PORTAL_PREFIX, "permanent": False}),
        (r"/token", RedirectHandler, {"url": f"{PORTAL_PREFIX}tokens", "permanent": False}),
        # for everybody
        (r"/login", SignIn),
        (r"/welcome", Welcome),
        (r"/petrihub/sign-in/static/(.+)", Asset, {"path": str(STATIC)}),
        # JupyterHub's own, before it is asked
        (r"/api/users/([^/]+)/server", AuditedServer),
        (r"/api/users/([^/]+)/servers/([^/]*)", AuditedServer),
        (r"/api/users/([^/]+)/server/progress", BoundedProgress),
        (r"/api/users/([^/]+)/servers/([^/]*)/progress", BoundedProgress),
        # for the portal's service token only
        (r"/api/petrihub/people/([^/]+)/end", EndPerson),
    ]
