"""The route table: deny by default. A route states who may come, or the app does not start.

Every route of the portal is made here, so that one place holds method, permission, CSRF class,
size limit and audit class, and the negative matrix can be made from it.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from petrihub_core.roles import Permission
from petrihub_portal.openapi import RESPONSES

API = "/api/v1"
_RULE = "__petrihub_rule__"
_SMALL = 64 * 1024  # bytes of a form


class Open(StrEnum):
    """Who may come to a route that needs no permission of an administrator."""

    EVERYBODY = "everybody"  # no sign-in: sign-in itself, health, ACME
    SIGNED_IN = "signed-in"  # any active person, for what is their own
    WORKSPACE = "workspace"  # a running workspace with its own token, for itself; no person


Needs = Permission | Open
Endpoint = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one route demands. `max_body` is in bytes; `audit` names what a refusal is logged as."""

    method: str
    path: str
    needs: Needs
    max_body: int = _SMALL
    audit: str = ""

    @property
    def is_api(self) -> bool:
        """Whether it speaks JSON and takes access tokens."""
        return self.path.startswith(API)

    @property
    def changes(self) -> bool:
        """Whether it changes state, so that a cookie alone does not suffice."""
        return self.method not in ("GET", "HEAD")


class Area:
    """A part of the portal: its pages and its API, side by side."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.routes: list[tuple[Rule, Endpoint, dict[str, Any]]] = []

    def page(
        self, method: str, path: str, *, needs: Needs, max_body: int = _SMALL
    ) -> Callable[[Endpoint], Endpoint]:
        """An HTML page or fragment below the portal's prefix; the endpoint returns a Response."""
        rule = Rule(method=method, path=path, needs=needs, max_body=max_body)
        return self._add(rule, {"include_in_schema": False, "response_model": None})

    def api(
        self, method: str, path: str, *, needs: Needs, max_body: int = _SMALL, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """A route of the REST API below `/api/v1`; the types of the endpoint are its OpenAPI.

        `options` go to FastAPI: status_code, summary, responses.
        """
        rule = Rule(method=method, path=f"{API}{path}", needs=needs, max_body=max_body)
        options["responses"] = {**RESPONSES, **options.get("responses", {})}
        return self._add(rule, {"tags": [self.title], **options})

    def _add(self, rule: Rule, options: dict[str, Any]) -> Callable[[Endpoint], Endpoint]:
        def register(endpoint: Endpoint) -> Endpoint:
            setattr(endpoint, _RULE, rule)
            self.routes.append((rule, endpoint, options))
            return endpoint

        return register


Gate = Callable[[Request, Rule], Coroutine[Any, Any, None]]


def _rule_of(route: BaseRoute) -> Rule:
    """The route's rule; `LookupError` if nobody said who may come."""
    rule = getattr(getattr(route, "endpoint", None), _RULE, None)
    if not isinstance(rule, Rule):
        raise LookupError(f"{getattr(route, 'path', route)}: a route without a rule")
    return rule


def require_rules(app: FastAPI) -> None:
    """Raise `LookupError` if anything but a folder of assets is reached without a rule."""
    for route in app.routes:
        if not (isinstance(route, Mount) and isinstance(route.app, StaticFiles)):
            _rule_of(route)


def gated_route(gate: Gate) -> type[APIRoute]:
    """A route class that asks `gate` before it reads a body or runs anything."""

    class GatedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()
            rule = _rule_of(self)

            async def gated(request: Request) -> Response:
                await gate(request, rule)
                return await handler(request)

            return gated

    return GatedRoute


def install(app: FastAPI, gate: Gate, areas: tuple[Area, ...]) -> tuple[Rule, ...]:
    """Put the areas' routes into the app; the whole route table."""
    app.router.route_class = gated_route(gate)
    table = []
    for area in areas:
        for rule, endpoint, options in area.routes:
            app.router.add_api_route(
                rule.path,
                endpoint,
                methods=[rule.method],
                openapi_extra={"x-petrihub-needs": str(rule.needs)},
                **options,
            )
            table.append(rule)
    return tuple(table)
