"""Requests generated from the OpenAPI schema, many of them invalid: none may cause a server error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from site_of_tests import RunningApp, archive, open_door, quarantine, served, stock

from newsmill.site_inspection.findings import SiteInspection
from newsmill.web.config import WebConfig
from newsmill.web.inspections import Inspections

# Of each operation and mode. A nightly run of CI makes more; 150 of each found nothing more.
EXAMPLES = int(os.environ.get("NEWSMILL_SCHEMA_EXAMPLES") or 2)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[RunningApp]:
    folder = tmp_path_factory.mktemp("schema")
    shutil.copy(template, folder / "newsmill.sqlite")
    made = open_door(folder, WebConfig(rate=1_000_000))
    stock(made, 3)
    archive(made)
    quarantine(made)
    with pytest.MonkeyPatch.context() as patch:  # no requests to generated hosts
        patch.setattr("newsmill.web.server.Inspections", lambda: Inspections(lambda url, on_start, on_finding: SiteInspection(url)))
        yield made
    made.close()


@pytest.fixture(scope="module")
def headers(web: RunningApp) -> dict[str, str]:
    return {"authorization": web.program("admin").headers["authorization"]}


@pytest.fixture(scope="module")
def url(web: RunningApp) -> Iterator[str]:
    with served(web) as url:
        yield url


@pytest.fixture(scope="module")
def connection() -> Iterator[requests.Session]:
    """One connection for all requests: a new one for each takes a tenth of their CPU."""
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def document(web: RunningApp) -> dict[str, Any]:
    """The schema, which takes a second of CPU to make."""
    made: dict[str, Any] = web.reader.get("/api/v1/openapi.json").json()
    return made


@pytest.mark.timeout(900)
def test_no_request_causes_a_server_error(
    document: dict[str, Any], url: str, headers: dict[str, str], connection: requests.Session, subtests: pytest.Subtests
) -> None:
    """Without the pytest plugin of schemathesis, which would cost each process that collects tests a second of CPU."""
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error

    schemathesis.serializer.alias("application/warc", "application/octet-stream")

    def check(case: Any) -> None:
        response = case.call(base_url=url, headers=headers, session=connection)
        case.validate_response(response, checks=[not_a_server_error])
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/problem+json"], response.text

    options = settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    operations = [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]
    for operation in operations:
        if operation.path == "/api/v1/stream":  # it does not end; test_stream.py reads it
            continue
        for mode in GenerationMode:
            with subtests.test(operation.label, mode=mode):
                options(given(case=operation.as_strategy(mode))(check))()
    assert len(operations) > 30


def test_every_list_has_items_and_next(document: dict[str, Any]) -> None:
    lists = []
    for path, operations in document["paths"].items():
        answer = (
            operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        assert answer.get("type") != "array", f"{path} answers with a bare array"
        shape = document["components"]["schemas"].get(answer.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        if "items" in shape:
            lists.append(path)
            assert "next" in shape, path
    assert len(lists) >= 10


def test_generated_clients_have_usable_names_and_read_feeds(document: dict[str, Any]) -> None:
    operations = {path: operation for path, methods in document["paths"].items() for operation in methods.values()}
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names) and {"list_documents", "get_source", "add_webhook"} <= {*names}
    assert all(operation["security"] for operation in operations.values())
    kinds = {"json": "application/feed+json", "atom": "application/atom+xml", "rss": "application/rss+xml"}
    for name, kind in kinds.items():
        assert list(operations[f"/feeds/{name}"]["responses"]["200"]["content"]) == [kind]


def test_the_schema_is_openapi_3_1_and_describes_errors(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert "HTTPBearer" in document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], f"{method} {path} does not say what it is for"
            refused = operation["responses"]["422"]["content"]
            assert list(refused) == ["application/problem+json"], f"{method} {path}"
