"""The description of the REST API: one word for errors, the ways in, and a list for the page."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

_PROBLEM = {
    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
}
_WAYS_IN = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token, made on the page Access tokens.",
    }
}


class Problem(BaseModel):
    """An error (RFC 9457): what happened, and the next step as `hint`."""

    model_config = ConfigDict(extra="allow")

    title: str
    status: int
    detail: str
    hint: str


# what any route may answer; FastAPI would describe 422 in a shape that we do not use
RESPONSES: dict[int | str, dict[str, Any]] = {
    422: {"description": "Something is not filled in as needed.", "content": _PROBLEM},
    "default": {"description": "What went wrong, and the next step.", "content": _PROBLEM},
}


def install(app: FastAPI) -> None:
    """Let the app describe its errors and its ways in."""
    generated = app.openapi

    def described() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        schema = generated()
        if fresh:
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
            parts["securitySchemes"] = _WAYS_IN
            for path in schema["paths"].values():
                for operation in path.values():
                    if operation.get("x-petrihub-needs") != "everybody":
                        operation["security"] = [{"token": []}]
        return schema

    app.openapi = described  # type: ignore[method-assign]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route for the page."""

    method: str
    path: str
    words: str
    needs: str
    parameters: tuple[tuple[str, str, bool], ...]  # name, words, whether it must be given
    body: tuple[tuple[str, str, bool], ...]


def by_tag(schema: dict[str, Any]) -> dict[str, list[Route]]:
    """The routes of an OpenAPI description, by their part of the portal."""
    found: dict[str, list[Route]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            route = Route(
                method=method.upper(),
                path=path,
                words=str(operation.get("description") or operation.get("summary") or ""),
                needs=str(operation.get("x-petrihub-needs", "")),
                parameters=tuple(
                    (
                        each["name"],
                        str(each.get("description") or each["schema"].get("title") or ""),
                        bool(each.get("required")),
                    )
                    for each in operation.get("parameters", ())
                ),
                body=_fields(schema, operation.get("requestBody", {})),
            )
            found.setdefault(str((operation.get("tags") or ["Other"])[0]), []).append(route)
    return found


def _fields(schema: dict[str, Any], body: dict[str, Any]) -> tuple[tuple[str, str, bool], ...]:
    model = body.get("content", {}).get("application/json", {}).get("schema", {})
    name = model.get("$ref", "").rpartition("/")[2]
    if name:
        model = schema["components"]["schemas"][name]
    needed = model.get("required", ())
    return tuple(
        (field, str(each.get("description") or each.get("title") or ""), field in needed)
        for field, each in model.get("properties", {}).items()
    )
