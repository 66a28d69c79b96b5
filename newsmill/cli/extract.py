"""`newsmill extract`: pages in, documents out, with the workers' code and no store. JSON lines on both sides, in the same order.

A line in:   {"id": any, "url": "https://…" or null, "path": "page.html" or "page.html.gz"}, or "html": "<html>…" instead of "path".
             Optional: "content_type" (default text/html), "language".
A line out:  every field of a document (null where there is none; "id" is the line's own), "outcome", "detail" and "seconds".
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import IO, Annotated, Any

import typer

from newsmill.cli.page_lines import Line, parse
from newsmill.cli.terminal import now, plain
from newsmill.exports.record import FIELDS
from newsmill.exports.record import to_record as fields_of
from newsmill.extraction.site_profile.profile import PageBlocks, learn_profile, make_page_blocks
from newsmill.model import ExtractionResult, Outcome, Page, Profile
from newsmill.reextract import profile_site_of
from newsmill.sandbox.parent import ExtractionRequest, SandboxCrash, read_all

BAD_INPUT = "bad_input"  # the one outcome that only a line can have: it names no page


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
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # a lone surrogate becomes its JSON escape

    def write(record: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    at = now()
    if not learn:
        run(sys.stdin.buffer, processes=processes, now=at, emit=write)
        return
    # brings the page readers along, which otherwise only the children load: 0.2 s of CPU and 30 MB
    pass

    with learn_first(sys.stdin.buffer, processes=processes, now=at) as (lines, profiles):
        run(lines, processes=processes, now=at, emit=write, profiles=profiles)


def run(
    lines: Iterable[bytes],
    *,
    processes: int,
    now: datetime,
    emit: Callable[[dict[str, Any]], None],
    profiles: Mapping[str, Profile] | None = None,
) -> None:
    """Give `emit` one record per line, in order. `now` is the time the pages count as fetched; `profiles` are the sites' by name."""
    begun: deque[Line] = deque()  # and not yet answered

    def refuse() -> None:
        while begun and begun[0].problem is not None:
            emit(refused(begun.popleft()))

    def orders() -> Iterator[tuple[Line, ExtractionRequest]]:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            line, order = parse(raw, number, now)
            begun.append(line)
            refuse()  # at once where nothing is before it: a program may wait for this answer
            if order is not None:
                yield line, replace(order, profile=profiles.get(profile_site_of(order.page))) if profiles else order

    for line, reading in read_all(orders(), processes=processes):
        emit(answered(line, reading))
        begun.popleft()
        refuse()


def refused(line: Line) -> dict[str, Any]:
    """What is written for a line that names no page."""
    return record_of(line, BAD_INPUT, f"line {line.number}: {line.problem}", 0.0)


def answered(line: Line, reading: ExtractionResult | SandboxCrash) -> dict[str, Any]:
    """What is written for a page that was read, or that killed its reader (no retry here: one death is the answer)."""
    if not isinstance(reading, ExtractionResult):
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
    return dict.fromkeys(FIELDS) | {
        "id": line.id,
        "url": line.url,
        "document_id": None,
        "outcome": str(outcome),
        "detail": detail,
        "seconds": round(seconds, 4),
    }


# `newsmill extract --learn`: every page is read once to learn what repeats on its site, before the documents are written.

IN_MEMORY = 64 << 20  # bytes of input; more of it waits for the second reading in a temporary file
PER_SITE = 200  # pages learnt from; with more, those whose hash comes first, so that the order of lines does not matter


@contextmanager
def learn_first(lines: Iterable[bytes], *, processes: int, now: datetime) -> Iterator[tuple[IO[bytes], dict[str, Profile]]]:
    """The same lines once more, and the profile of each site that their pages are of."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as kept:
        pages = read_lines(lines, kept, processes, now)
        profiles = {site: replace(learn_profile(known.values(), site), version=1) for site, known in pages.items()}
        kept.seek(0)
        yield kept, profiles


def read_lines(lines: Iterable[bytes], kept: IO[bytes], processes: int, now: datetime) -> dict[str, dict[bytes, PageBlocks]]:
    """Read each line's page and write the line to `kept`. Up to PER_SITE pages of each site; pages without an address are left out."""

    def orders() -> Iterator[tuple[Page, ExtractionRequest]]:
        for number, raw in enumerate(lines, 1):
            kept.write(raw if raw.endswith(b"\n") else raw + b"\n")
            order = parse(raw, number, now)[1] if raw.strip() else None
            if order is not None and order.page.url:
                yield order.page, replace(order, brief=False)

    pages: dict[str, dict[bytes, PageBlocks]] = defaultdict(dict)
    for page, reading in read_all(orders(), processes=processes):
        site = profile_site_of(page)
        if site and isinstance(reading, ExtractionResult) and reading.ending.outcome is Outcome.STORED:
            known = pages[site]
            known[blake2b(page.body, key=page.url.encode("utf-8", "replace")[:64], digest_size=8).digest()] = make_page_blocks(
                page.url, reading
            )
            if len(known) > PER_SITE:
                del known[max(known)]
    return pages
