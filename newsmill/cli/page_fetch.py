"""The fetch of one page for a command, in a process of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from newsmill.exceptions import NewsmillError
from newsmill.model import Outcome, OutcomeRecord

MAX_FETCH_SECONDS = 120.0  # for one URL; the download's own deadline is 30 s, robots.txt and the delay come on top


@dataclass(frozen=True, slots=True)
class PageResponse:
    """A page as its server sent it."""

    url: str  # final, after redirects
    content_type: str
    content_encoding: str | None
    body: bytes


def fetch_page(url: str) -> PageResponse | OutcomeRecord:
    """Fetch a page as the crawler does. Raises NewsmillError if no process can do it, ConfigError for wrong settings."""
    found = _run_fetch(url)
    if isinstance(found, OutcomeRecord):
        return found
    return PageResponse(found["url"], found["content_type"] or "text/html", found["content_encoding"], base64.b64decode(found["body"]))


def _run_fetch(url: str) -> dict[str, Any] | OutcomeRecord:
    command = [sys.executable, "-P", "-m", "crawler.inspection.page_fetch", url]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=MAX_FETCH_SECONDS, check=False, encoding="utf-8"
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return OutcomeRecord(Outcome.TIMEOUT, f"no page within {MAX_FETCH_SECONDS:.0f} seconds")
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise NewsmillError(f"{url} cannot be fetched: {lines[-1].removeprefix('scrapy: ')}") from None
    return OutcomeRecord(Outcome(found["outcome"]), found["detail"]) if "outcome" in found else found
