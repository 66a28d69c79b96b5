"""`newsmill extract`: pages in, documents out, with the workers' code and no store. JSON lines on both sides, in the same order.

A line in:   {"id": any, "url": "https://…" or null, "path": "page.html" or "page.html.gz"}, or "html": "<html>…" instead of "path".
             Optional: "content_type" (default text/html), "language".
A line out:  every field of a document (null where there is none; "id" is the line's own), "outcome", "detail" and "seconds".
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsmill.redaction import redact

if TYPE_CHECKING:
    from newsmill.model import Profile, Reading
    from newsmill.sandbox import Death, Order

BAD_INPUT = "bad_input"  # the one outcome that only a line can have: it names no page
LARGEST_FILE = 50_000_000  # bytes read from one file; the decoder's own cap (10 MB decompressed) then names the outcome


def extract(
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, max=256, help="Pages read at the same time.")] = 1,
    learn: Annotated[
        bool, typer.Option("--learn", help="Read all pages first, and learn from each site's own what repeats there.")
    ] = False,
) -> None:
    """Read pages from JSON lines on standard input, write documents as JSON lines to standard output, in the same order.

    In: {"id": 1, "url": "https://…" or null, "path": "page.html"} (.html or .html.gz), or "html" with the page itself instead of "path".
    Out: the fields of `newsmill export`, with outcome, detail and seconds. A line that cannot be used gets the outcome bad_input.
    Each page stands alone unless you say --learn, which reads everything twice: the first document comes when the last page is there.
    """
    from newsmill.cli.learn import learn_first
    from newsmill.cli.terminal import now

    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # a lone surrogate becomes its JSON escape

    def write(record: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    at = now()
    if not learn:
        run(sys.stdin.buffer, processes=processes, now=at, emit=write)
        return
    with learn_first(sys.stdin.buffer, processes=processes, now=at) as (lines, profiles):
        run(lines, processes=processes, now=at, emit=write, profiles=profiles)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: its id, and what is wrong with it."""

    id: object
    number: int
    url: str | None = None
    problem: str | None = None


def run(
    lines: Iterable[bytes],
    *,
    processes: int,
    now: datetime,
    emit: Callable[[dict[str, Any]], None],
    profiles: Mapping[str, Profile] | None = None,
) -> None:
    """Give `emit` one record per line, in order. `now` is the time the pages count as fetched; `profiles` are the sites' by name."""
    from newsmill.again import site_of
    from newsmill.sandbox import read_all

    begun: deque[Line] = deque()  # and not yet answered

    def refuse() -> None:
        while begun and begun[0].problem is not None:
            emit(refused(begun.popleft()))

    def orders() -> Iterator[tuple[Line, Order]]:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            line, order = parse(raw, number, now)
            begun.append(line)
            refuse()  # at once where nothing is before it: a program may wait for this answer
            if order is not None:
                yield line, replace(order, profile=profiles.get(site_of(order.page))) if profiles else order

    for line, reading in read_all(orders(), processes=processes):
        emit(answered(line, reading))
        begun.popleft()
        refuse()


def parse(raw: bytes, number: int, now: datetime) -> tuple[Line, Order | None]:
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


def order_of(record: dict[str, Any], now: datetime) -> Order:
    """The page of one line. Raises ValueError or OSError with the reason why there is none."""
    from newsmill.model import Page
    from newsmill.sandbox import Order

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
    return Order(page, language=language, brief=True)


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


def refused(line: Line) -> dict[str, Any]:
    """What is written for a line that names no page."""
    return record_of(line, BAD_INPUT, f"line {line.number}: {line.problem}", 0.0)


def answered(line: Line, reading: Reading | Death) -> dict[str, Any]:
    """What is written for a page that was read, or that killed its reader (no retry here: one death is the answer)."""
    from newsmill.cli.terminal import plain
    from newsmill.export.record import record as fields_of
    from newsmill.model import Outcome, Reading

    if not isinstance(reading, Reading):
        outcome = Outcome.DEADLINE if reading.reason.startswith("deadline") else Outcome.DIED
        return record_of(line, outcome, f"{reading.stage}: {reading.reason}", 0.0)
    record = record_of(line, reading.ending.outcome, reading.ending.detail, reading.seconds)
    if reading.document is not None:
        document = plain(fields_of(reading.document))
        record |= document | {"id": document["id"] if line.id is None else line.id, "document_id": document["id"]}
        if line.url is None:
            record |= {"url": None, "requested_url": None}
    return record


def record_of(line: Line, outcome: str, detail: str | None, seconds: float) -> dict[str, Any]:
    """A record without a document: every field is there, and empty."""
    from newsmill.export.record import FIELDS

    return dict.fromkeys(FIELDS) | {
        "id": line.id,
        "url": line.url,
        "document_id": None,
        "outcome": str(outcome),
        "detail": detail,
        "seconds": round(seconds, 4),
    }
