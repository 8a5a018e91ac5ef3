"""The image service as one ASGI app. Every route but one asks for a credential of a helper."""

import base64
import binascii
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from petrihub_core import instances
from petrihub_core.checkpoint_records import Checkpoint, SidecarInstance
from petrihub_core.checkpoints import MEASURE, SAVE, State, fail
from petrihub_core.errors import PetriHubError, Refused
from petrihub_core.image_server import (
    SERVICE,
    checkpoint_repository,
    require_image_server,
    sign,
)
from petrihub_core.instances import NotKnown
from petrihub_core.logs import get_logger
from petrihub_images import orders
from petrihub_images.context import ImageService, service_of
from petrihub_images.documents import require_fits
from petrihub_images.grants import granted, require_passed, subject_of
from petrihub_images.importing import importing
from petrihub_images.keeper import kept
from petrihub_images.moving import moving
from petrihub_images.orders import Progress, Result

log = get_logger(__name__)

_LONGEST_WAIT = 25
_NOTHING: dict[str, Any] = {"base": {"repository": "", "manifest_digest": ""}}


def _credential(authorization: Annotated[str, Header()] = "") -> str:
    """What a helper sends: as a bearer token, or as the registry's clients do."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer" and value:
        return value.strip()
    if kind.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise NotKnown("This credential cannot be read.") from exc
        return f"{name}.{secret}"
    raise NotKnown("A credential is needed.")


Credential = Annotated[str, Depends(_credential)]
Service = Annotated[ImageService, Depends(service_of)]


async def alive() -> dict[str, str]:
    """That it answers."""
    return {"state": "alive"}


async def token(
    service: Service,
    credential: Credential,
    scope: Annotated[list[str], Query(max_length=4)],
    asked: Annotated[str, Query(alias="service", max_length=64)],
) -> JSONResponse:
    """A token of the registry's own protocol, for one repository and minutes."""
    if asked != SERVICE:
        raise Refused("This is not the service that gives tokens for that.")
    async with service.database.reading() as session:
        instance = await instances.known(session, credential)
        access = await granted(session, instance, scope)
    made = sign(service.deployment, [access], subject=instance.id)
    return JSONResponse(
        {
            "token": made.text,
            "access_token": made.text,
            "expires_in": made.seconds,
            "issued_at": made.issued_at.isoformat(),
        },
        headers={"Cache-Control": "no-store"},
    )


async def passed(
    service: Service,
    authorization: Annotated[str, Header()] = "",
    method: Annotated[str, Header(alias="X-Forwarded-Method")] = "",
) -> Response:
    """The front asks before each call of a helper to the registry; an error is its answer.

    The registry itself believes a token for minutes, also when the workspace has ended. Whether the
    token is genuine is for the registry to say: here counts of whom it speaks.
    """
    async with service.database.reading() as session:
        await require_passed(session, subject_of(authorization), method)
    return Response(status_code=204)


async def next_order(
    service: Service,
    credential: Credential,
    wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT)] = 0,
) -> Response:
    """The newest order of this helper, waiting for one so many seconds; 204 without one."""
    until = time.monotonic() + wait
    while True:
        async with service.database.session() as session:
            instance = await instances.known(session, credential)
            order = await orders.take(session, instance)
        left = until - time.monotonic()
        if order is not None:
            return JSONResponse(await _as_order(service, order))
        if left <= 0:
            return Response(status_code=204)
        await service.bell.wait(instance.id, left)


async def _as_order(service: ImageService, order: Checkpoint) -> dict[str, Any]:
    repository = checkpoint_repository(order.owner, order.workspace)
    url = require_image_server(service.deployment).pods
    if order.kind == MEASURE:  # its base may still be on its way
        return orders.as_order(order, url, repository, **_NOTHING, manifest={}, config={})
    base = await service.bases.known(order.base_digest)
    return orders.as_order(
        order,
        url,
        repository,
        base={"repository": base.repository, "manifest_digest": base.manifest_digest},
        manifest=base.manifest,
        config=base.config,
    )


async def progress(
    service: Service, credential: Credential, order_id: str, said: Progress
) -> Response:
    """How far an order is."""
    async with service.database.session() as session:
        instance = await instances.known(session, credential)
        await orders.note_progress(session, instance, order_id, said)
    return Response(status_code=204)


async def result(service: Service, credential: Credential, order_id: str, said: Result) -> Response:
    """What became of an order; the same twice is fine."""
    async with service.database.session() as session:
        instance = await instances.known(session, credential)
        order = await orders.of(session, instance, order_id)
        if said.state == "failed":
            await service.sweeper.give_up(session, order)
            await orders.note_failed(session, instance, order_id, said)
        elif said.state == "confirm" or order.kind == MEASURE:
            await orders.note_measured(session, instance, order_id, said)
    if said.state == "done" and order.kind == SAVE:
        await _done(service, instance, order, said)
    return Response(status_code=204)


async def _done(
    service: ImageService, instance: SidecarInstance, order: Checkpoint, said: Result
) -> None:
    size = 0
    if order.state == State.SAVING:
        try:
            size = await _verified(service, order, said)
        except Refused as exc:
            async with service.database.session() as session:
                row = await orders.of(session, instance, order.id)
                if row.state == State.SAVING:
                    await fail(session, row, exc.message)
            raise
    async with service.database.session() as session:
        await orders.note_done(session, instance, order.id, said, size)


async def _verified(service: ImageService, order: Checkpoint, said: Result) -> int:
    """The size of the layer, after all that was pushed was read back by its digests."""
    if said.manifest_digest is None or said.layer is None:
        raise Refused("The helper did not say what it had pushed.")
    repository = checkpoint_repository(order.owner, order.workspace)
    base = await service.bases.known(order.base_digest)
    _, manifest = await service.registry.manifest(repository, said.manifest_digest)
    pointer = manifest.get("config")
    if not isinstance(pointer, dict):
        raise Refused("What was pushed is not a checkpoint of this workspace.")
    config = await service.registry.document(repository, str(pointer.get("digest")))
    layer = require_fits(manifest, config, base.manifest, base.config)
    if (layer["digest"], config["rootfs"]["diff_ids"][-1]) != (
        said.layer.digest,
        said.layer.diff_id,
    ):
        raise Refused("The helper named another layer than the one it had pushed.")
    size = await service.registry.size(repository, said.layer.digest)
    if not size == layer.get("size") == said.layer.size:
        raise Refused("The layer that was pushed is not as large as it should be.")
    return size


_ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/token", token),
    ("GET", "/sidecar/v1/order", next_order),
    ("POST", "/sidecar/v1/orders/{order_id}/progress", progress),
    ("POST", "/sidecar/v1/orders/{order_id}/result", result),
)


def make_app(service: ImageService) -> FastAPI:
    """The app of this process; it closes what the service holds at its end."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with kept(service), moving(service), importing(service):
            yield
        await service.registry.close()
        await service.database.close()

    app = FastAPI(
        title="PetriHub images",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=life,
    )
    app.state.service = service
    app.add_api_route("/alive", alive, methods=["GET"])
    app.add_api_route("/registry/passed", passed, methods=["GET"], response_model=None)
    for method, path, endpoint in _ROUTES:
        # asked for before a body is read or anything is looked up
        needed = [Depends(_credential)]
        app.add_api_route(
            path, endpoint, methods=[method], dependencies=needed, response_model=None
        )
    _explain_errors(app)
    return app


def _explain_errors(app: FastAPI) -> None:
    @app.exception_handler(PetriHubError)
    async def ours(request: Request, error: PetriHubError) -> JSONResponse:
        log.info("refused", path=request.url.path[:200], why=error.message[:200])
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, NotKnown) else {}
        return _words(error.status, error.message, error.hint, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return _words(422, f"{where[:100]}: {first['msg'][:200]}.", "", {})

    @app.exception_handler(HTTPException)
    async def theirs(_: Request, error: HTTPException) -> JSONResponse:
        return _words(error.status_code, str(error.detail)[:200], "", {})

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", path=request.url.path[:200], exc_info=error)
        return _words(500, "Something unexpected happened.", "", {})


def _words(status: int, detail: str, hint: str, headers: dict[str, str]) -> JSONResponse:
    errors = [{"code": "DENIED" if status in (401, 403) else "UNKNOWN", "message": detail}]
    # `errors` is how the registry's clients find out why
    return JSONResponse(
        {"detail": detail, "hint": hint, "errors": errors}, status_code=status, headers=headers
    )
