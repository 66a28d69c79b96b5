"""One JSON line of the input of `newsmill extract` as the order to read its page (the form of a line: extract.py)."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from newsmill.model import Page
from newsmill.redaction import redact
from newsmill.sandbox.parent import ExtractionRequest

LARGEST_FILE = 50_000_000  # bytes read from one file; the decoder's own cap (10 MB decompressed) then names the outcome


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: its id, and what is wrong with it."""

    id: object
    number: int
    url: str | None = None
    problem: str | None = None


def parse(raw: bytes, number: int, now: datetime) -> tuple[Line, ExtractionRequest | None]:
    """A line of the input as the order to read its page; None, and the line's problem, when that cannot be."""
    try:
        record = json.loads(raw, parse_constant=_refuse_constant)
        json.dumps(record.get("id") if isinstance(record, dict) else None)  # it is written back, and may be nested too deeply for that
    except ValueError as error:
        return Line(None, number, None, f"not JSON: {error}"), None
    except RecursionError:
        return Line(None, number, None, "nested too deeply"), None
    if not isinstance(record, dict):
        return Line(None, number, None, "expected an object with id, url and path or html"), None
    key, url = record.get("id"), record.get("url")
    if isinstance(url, str):
        url = record["url"] = redact(url)
    try:
        return Line(key, number, url), order_of(record, now)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = f"{record.get('path')}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        return Line(key, number, url if isinstance(url, str) else None, reason), None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def order_of(record: dict[str, Any], now: datetime) -> ExtractionRequest:
    """The page of one line. Raises ValueError or OSError with the reason why there is none."""
    url, language, content_type = record.get("url") or "", record.get("language"), record.get("content_type") or "text/html"
    if not isinstance(url, str) or not isinstance(content_type, str) or not (language is None or isinstance(language, str)):
        raise ValueError("url, language and content_type: expected a string or null")
    if ("path" in record) == ("html" in record):
        raise ValueError('expected either "path" or "html"')
    if "html" in record:
        if not isinstance(record["html"], str):
            raise ValueError("html: expected a string")
        body, content_type = record["html"].encode("utf-8", "surrogatepass"), "text/html; charset=utf-8"
    else:
        body = read_file(record["path"])
    page = Page(requested_url=url, url=url, fetched_at=now, status=200, headers=(("Content-Type", content_type),), body=body)
    return ExtractionRequest(page, language=language, brief=True)


def read_file(path: object) -> bytes:
    """The bytes of an .html file, of a .gz one unpacked."""
    if not isinstance(path, str) or "\0" in path:
        raise ValueError("path: expected the name of a file")
    opened: Any = gzip.open if path.endswith(".gz") else open
    with opened(Path(path), "rb") as file:
        body: bytes = file.read(LARGEST_FILE + 1)
    if len(body) > LARGEST_FILE:
        raise ValueError(f"{path}: larger than {LARGEST_FILE:,} bytes")
    return body
