"""The REST API against its own description: schemathesis asks everything, as a super admin.

A portal of its own answers, on tables of its own beside the running hub: what is tried out here,
such as maintenance or deactivated people, must not reach the other tests.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from petrihub_cli.state import inner_ports, keys
from petrihub_core.database import Database, migrate
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.ports import free_port
from petrihub_core.records import Person, RoleGrant, new_id
from petrihub_core.roles import SUPER_ADMIN
from petrihub_portal import openapi, routing
from petrihub_portal.app import make_app
from petrihub_portal.areas import AREAS
from petrihub_portal.hub import Hub
from petrihub_portal.registration import CLIENT_ID, SERVICE, custom_scopes
from petrihub_portal.serve import make_portal
from petrihub_portal.visit import gate

from tests.portal.guests import PORTAL, Site

EXAMPLES = int(os.environ.get("PETRIHUB_FUZZ_EXAMPLES", "6"))  # for each route
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


async def super_admin(fuzzed: Database, site: Database, hub: Hub) -> str:
    """A super admin in the fuzzed tables, whom the hub knows as a researcher; an access token."""
    name = f"fuzz{new_id()[:8]}"
    for database in (fuzzed, site):
        async with database.session() as session:
            person = Person(issuer=LOCAL_ISSUER, subject=name, username=name)
            session.add(person)
            await session.flush()
            if database is fuzzed:
                grant = RoleGrant(person_id=person.id, role=SUPER_ADMIN, granted_by="tests")
                session.add(grant)
    await hub.call("POST", "users", name)
    scopes = [f"access:services!service={SERVICE}", *custom_scopes()]
    made = await hub.call("POST", "users", name, "tokens", body={"scopes": scopes})
    return str(made["token"])


def description() -> dict[str, Any]:
    """The portal's own, without a portal: it depends on the route table alone."""
    app = FastAPI(title="PetriHub", openapi_url=None)
    routing.install(app, gate, AREAS)
    openapi.install(app)
    return app.openapi()


schema = schemathesis.openapi.from_dict(description())
schema.config.update(base_url="http://127.0.0.1")  # each call names the portal that answers
schema.config.phases.update(phases=["examples", "fuzzing"])
schema.config.generation.update(with_security_parameters=False)  # the token is ours


@pytest.fixture(scope="module")
def portal(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of a portal on tables of its own, and the access token of a super admin there."""
    deployment = site.deployment.model_copy(update={"state": tmp_path_factory.mktemp("fuzzed")})
    hub_keys = keys(site.deployment)
    api_url = f"http://127.0.0.1:{inner_ports(site.deployment)['hub']}/hub/api"

    async def prepare() -> str:
        await migrate(deployment.database_url)
        fuzzed, running = Database.open(deployment.database_url), site.database()
        hub = Hub(api_url, hub_keys["portal_token"], CLIENT_ID)
        try:
            return await super_admin(fuzzed, running, hub)
        finally:
            await hub.close()
            await fuzzed.close()
            await running.close()

    token = asyncio.run(prepare())
    app = make_app(make_portal(deployment, hub_keys, api_url))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}{PORTAL.rstrip('/')}", token
    server.should_exit = True
    thread.join(20)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_a_route_answers_as_it_is_described(
    case: schemathesis.Case, portal: tuple[str, str]
) -> None:
    url, token = portal
    answer = case.call_and_validate(
        url, headers={"Authorization": f"Bearer {token}"}, checks=CHECKS
    )
    assert answer.status_code != 401, "then nothing was tried out"
    # 501 is our word for what this deployment cannot do, such as TLS without a front
    assert answer.status_code < 500 or answer.status_code == 501, answer.text


def test_every_route_says_what_it_needs_and_how_to_get_in() -> None:
    for path, operations in description()["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["x-petrihub-needs"], where
            open_to_all = operation["x-petrihub-needs"] == "everybody"
            assert ("security" in operation) is not open_to_all, where
            assert operation.get("description"), where
            assert "default" in operation["responses"], where
