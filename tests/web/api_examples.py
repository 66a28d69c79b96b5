"""The examples of docs/reference/http-api.md, as requests and documented responses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx2 as httpx

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http-api.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, Any]]:
    """(command, the JSON shown below it or None)"""
    found: list[tuple[str, Any]] = []
    for kind, text in BLOCK.findall(DOCS.read_text(encoding="utf-8")):
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


def read_blocks(kind: str) -> list[str]:
    return [text for one, text in BLOCK.findall(DOCS.read_text(encoding="utf-8")) if one == kind]


def form(value: Any) -> Any:
    """The names in a JSON value, of lists those of the first item."""
    if isinstance(value, dict):
        return {name: form(item) for name, item in value.items()}
    return [form(value[0])] if isinstance(value, list) and value else None


def has_content(response: Any) -> bool:
    """Whether the JSON response to a GET has items, and a number above zero where it counts pages or documents."""
    items = response.get("items", [response])
    return any(item.get("n", item.get("pages", item.get("documents", 1))) for item in items)
