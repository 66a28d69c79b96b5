"""Every example of docs/reference/http-api.md runs, and its response has the documented form."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from site_of_tests import RunningApp, archive, quarantine, served, stock

from newsmill.storage import fingerprints
from newsmill.web.http_post import build_headers

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http-api.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, Any]]:
    """(command, the JSON shown below it or None)"""
    found: list[tuple[str, Any]] = []
    for kind, text in FENCED.findall(DOCS.read_text(encoding="utf-8")):
        if kind == "sh":
            found += [(line, None) for line in text.splitlines()]
        elif kind == "json":
            found[-1] = (found[-1][0], json.loads(text))
    return found


def request(command: str, names: dict[str, str]) -> httpx.Request:
    """What curl would send."""
    for name, value in names.items():
        command = command.replace(f"${name}", value)
    words = iter(shlex.split(command)[1:])
    method, headers, body, query, url = None, {}, None, {}, ""
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = next(words)
        elif word == "--json":
            body = json.loads(next(words))
        elif word == "--data-urlencode":
            name, _, value = next(words).partition("=")
            query[name] = value
        elif word == "-u":
            headers["Authorization"] = httpx.BasicAuth(*next(words).split(":"))._auth_header
        elif word not in ("-G", "-N"):
            url = word
    return httpx.Request(method or ("POST" if body is not None else "GET"), url, headers=headers, json=body, params=query or None)


def form(value: Any) -> Any:
    """The names in a JSON value, of lists those of the first item."""
    if isinstance(value, dict):
        return {name: form(item) for name, item in value.items()}
    return [form(value[0])] if isinstance(value, list) and value else None


@pytest.fixture
def stocked(web: RunningApp) -> RunningApp:
    stock(web, 2, ago=7, text=" ".join(f"Word {n} about a harbour." for n in range(20)))
    fingerprints.catch_up(web.context.engine)
    archive(web)
    quarantine(web)
    return web


def test_every_example(stocked: RunningApp) -> None:
    token = stocked.program("admin").headers["authorization"].removeprefix("Bearer ")
    run = 0
    with served(stocked) as url, httpx.Client(timeout=60) as client:
        for command, shown in examples():
            sent = request(command, {"NM": url, "TOKEN": token})
            answer = client.send(sent, stream=True)
            if "/stream" in command:
                assert any(line.startswith("event: document") for line in answer.iter_lines())
                answer.close()
                continue
            answer.read()
            assert answer.status_code in (200, 201, 202), f"{command}\n{answer.status_code} {answer.text}"
            if shown is not None:
                assert form(answer.json()) == form(shown), command
            # Unusual terms need documents of three sources, and the source of the example is not polled.
            if "items" in answer.text[:12] and not any(path in command for path in ("/unusual-terms", "/schedule")):
                assert answer.json()["items"], f"{command} shows nothing"
            run += 1
    assert run > 18


def test_the_python_that_verifies_a_message(stocked: RunningApp) -> None:
    (code,) = [text for kind, text in FENCED.findall(DOCS.read_text(encoding="utf-8")) if kind == "python"]
    names: dict[str, Any] = {}
    exec(code, names)
    secret, body = "whsec_c2VjcmV0", b'{"type":"ping"}'
    headers = build_headers("msg_1", secret, body, stocked.context.now())
    assert names["verified"](headers, body, secret)
    assert not names["verified"](headers, body + b" ", secret)
    assert not names["verified"](headers | {"webhook-timestamp": "1"}, body, secret)
