"""The page of the API: its routes with their parameters, from the OpenAPI schema. A route that needs no parameter is a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.pages.rendering import PageView

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a route. `values`: its type, or the values that it may have."""

    name: str
    place: str  # "query", "path" or "header"
    values: str
    description: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    tag: str
    method: str
    path: str
    description: str
    parameters: tuple[Parameter, ...]

    @property
    def is_link(self) -> bool:
        """Whether a browser can open it as it is. A stream never ends."""
        return self.method == "GET" and not any(one.is_required for one in self.parameters) and not self.path.endswith("/stream")


@router.get("/api")
def show_api(request: Request) -> Response:
    """The routes by subject."""
    routes = list_routes(request.app.openapi())
    return PageView(request).page(
        "api_reference.html", groups=[(tag, list(of_tag)) for tag, of_tag in groupby(routes, lambda one: one.tag)]
    )


def list_routes(schema: Mapping[str, Any]) -> list[Route]:
    """The routes of an OpenAPI schema, in its order; those of one tag together."""
    found = [
        Route(
            next(iter(operation.get("tags", ())), "other"),
            method.upper(),
            path,
            operation.get("description") or operation["summary"],
            tuple(_read_parameter(one) for one in operation.get("parameters", ())),
        )
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    tags = list(dict.fromkeys(one.tag for one in found))
    return sorted(found, key=lambda one: tags.index(one.tag))


def _read_parameter(parameter: Mapping[str, Any]) -> Parameter:
    kinds = parameter["schema"].get("anyOf") or [parameter["schema"]]
    values = [", ".join(map(str, kind["enum"])) if "enum" in kind else kind.get("format") or kind.get("type", "") for kind in kinds]
    return Parameter(
        parameter["name"],
        parameter["in"],
        ", ".join(value for value in values if value and value != "null"),
        parameter.get("description", ""),
        parameter.get("required", False),
    )
