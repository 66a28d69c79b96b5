"""Requests pages as a browser does, and parses them."""

from __future__ import annotations

import re

from lxml import html
from starlette.testclient import TestClient

HTML = {"accept": "text/html"}
MAX_BYTES = 100_000  # bytes of a page
TIME = "//section[@aria-labelledby='time']"  # the chart of a search
FOREIGN_SCRIPTS = "//script[not(starts-with(@src, '/static/')) or text()]"  # pages have files of their own and no script in the markup


def read(client: TestClient, path: str, status: int = 200) -> html.HtmlElement:
    """The page at a path, parsed."""
    answer = client.get(path, headers=HTML)
    assert answer.status_code == status, (path, answer.text[:500])
    assert len(answer.content) <= MAX_BYTES, path
    return html.document_fromstring(answer.content.decode())


def token(client: TestClient, path: str) -> str:
    """The hidden field of a page's form."""
    return str(read(client, path).xpath("//input[@name='csrf']/@value")[0])


def text_of(page: html.HtmlElement) -> str:
    return " ".join(page.text_content().split())


def follow(client: TestClient, href: str) -> int:
    """How many matches the page of a link has."""
    (number,) = re.findall(r"(\d+) match", text_of(read(client, href).xpath("//h2[@id='results']")[0])) or ["0"]
    return int(number)
