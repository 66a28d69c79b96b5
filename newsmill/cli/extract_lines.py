"""The input lines of `newsmill extract`: JSON with a page, its file or its URL."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from newsmill.model import Page
from newsmill.sandbox.page_messages import ExtractionRequest
from newsmill.text.finite_json import read_float
from newsmill.text.redaction import redact


@dataclass(frozen=True, slots=True)
class InputLine:
    """One line of the input: its id, and its problem if it cannot be used."""

    id: object
    number: int
    url: str | None = None
    problem: str | None = None


def parse_line(raw: bytes, number: int, now: datetime) -> tuple[InputLine, ExtractionRequest | None]:
    """A line of the input and its extraction request, which is None if the line has a problem."""
    try:
        record = json.loads(raw, parse_constant=_refuse_constant, parse_float=read_float)
        json.dumps(record.get("id") if isinstance(record, dict) else None)  # the output repeats the id, which may be nested too deeply
    except ValueError as error:
        return InputLine(None, number, None, f"not JSON: {error}"), None
    except RecursionError:
        return InputLine(None, number, None, "nested too deeply"), None
    if not isinstance(record, dict):
        return InputLine(None, number, None, "expected an object with id, url and path or html"), None
    key, url = record.get("id"), record.get("url")
    if isinstance(url, str):
        url = record["url"] = redact(url)
    try:
        return InputLine(key, number, url), make_request(record, now)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = f"{record.get('path')}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        return InputLine(key, number, url if isinstance(url, str) else None, reason), None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def make_request(record: dict[str, Any], now: datetime) -> ExtractionRequest:
    """The extraction request for one line. Raises ValueError or OSError with the reason if it names no readable page."""
    url, language, content_type = record.get("url") or "", record.get("language"), record.get("content_type") or "text/html"
    if not isinstance(url, str) or not isinstance(content_type, str) or not (language is None or isinstance(language, str)):
        raise ValueError("url, language and content_type: expected a string or null")
    if "page" in record or "item" in record:
        return ExtractionRequest(make_sent_page(record, now), language=language, brief=True)
    if ("path" in record) == ("html" in record):
        raise ValueError('expected either "path" or "html"')
    if "html" in record:
        if not isinstance(record["html"], str):
            raise ValueError("html: expected a string")
        body, content_type = record["html"].encode("utf-8", "surrogatepass"), "text/html; charset=utf-8"
    else:
        body = read_page_file(record["path"])
    page = Page(requested_url=url, url=url, fetched_at=now, status=200, headers=(("Content-Type", content_type),), body=body)
    return ExtractionRequest(page, language=language, brief=True)


def make_sent_page(record: dict[str, Any], now: datetime) -> Page:
    """The page of a line in the format of POST /api/v1/pages. Raises ValueError."""
    # pydantic and what else it loads cost 0.2 s of CPU, which other lines need not spend
    from newsmill.intake.page_requests import PagesRequest

    if ("page" in record) == ("item" in record):
        raise ValueError('expected either "page" or "item"')
    sent = {"pages": [record["page"]]} if "page" in record else {"items": [record["item"]]}
    (page,) = PagesRequest.model_validate(sent).to_pages(now)
    return replace(page, url=redact(page.url), requested_url=redact(page.requested_url))


def read_page_file(path: object) -> bytes:
    """The bytes of a file, decompressed if they are gzip, whatever its name says. Raises ValueError if it is larger than MAX_FILE_BYTES."""
    if not isinstance(path, str) or "\0" in path:
        raise ValueError("path: expected the name of a file")
    with Path(path).open("rb") as file:
        is_gzipped = file.read(len(GZIP)) == GZIP
        file.seek(0)
        with gzip.open(file) if is_gzipped else nullcontext(file) as source:
            body: bytes = source.read(MAX_FILE_BYTES + 1)
    if len(body) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
    return body


MAX_FILE_BYTES = 50_000_000  # above the limit of the decoder (10 MB decompressed), so that the decoder names the outcome
GZIP = b"\x1f\x8b"
