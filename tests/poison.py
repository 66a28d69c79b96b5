"""Extraction functions for the sandbox's tests. The body of a page names what happens to the process that reads it."""

from __future__ import annotations

import ctypes
import io
import os
import sys
import time
from dataclasses import fields
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from lxml import html

from newsmill.batch.options import BatchOptions, FileCounts
from newsmill.model import Block, BlockType, Document, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Rules
from newsmill.text import urls

allocated: list[bytes] = []


def obey(
    page: Page,
    *,
    rules: Rules,
    language: str | None,
    first_seen_at: datetime | None,
    profile: Profile | None = None,
    brief: bool = False,
    again: bool = False,
) -> ExtractionResult:
    """Does what the body names, then returns a result with the arguments."""
    version = profile.version if profile else None  # without it, the scheduler would extract the page again forever
    word, _, argument = page.body.decode("utf-8", "replace").partition(" ")
    match word:
        case "segv":
            ctypes.string_at(0)
        case "loop":
            while True:
                pass
        case "lxml":  # libxml2 needs minutes, during which Python handles no signal
            html.fromstring(f"<p {' '.join(f'a{n}=1' for n in range(100_000))}>")
        case "work":
            _work(float(argument))
        case "sleep":
            time.sleep(3600)
        case "slow":
            time.sleep(float(argument))
            return _stored(page, argument, version)
        case "signed":
            time.sleep(0.05)
            return _stored(page, f"read by {os.getpid()}", version)
        case "allocate":
            allocated.append(b"x" * (2 << 30))
        case "grow":
            allocated.append(os.urandom(int(argument) << 20))
        case "exit":
            os._exit(3)
        case "blocked":
            return ExtractionResult(OutcomeRecord(Outcome.BLOCKED, argument))
        case "raise":
            raise ValueError(argument)
        case "kill-once":
            mark = Path(argument)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), 9)
        case "surrogate":
            return _reading(page, "a\ud800b\0c")
        case "article":
            return _stored(page, argument, version)
        case "profile":
            return _reading(page, f"{profile.site} {profile.version} {len(profile.lines)}" if profile else "no profile")
        case "nonsense":
            return ExtractionResult(ending=OutcomeRecord("no such outcome"))  # type: ignore[arg-type]
    return _reading(page, f"{word} {language} {','.join(rules.drop_css)} {first_seen_at} {os.getpid()}{' again' * again}")


def _work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def write_row(source: str, folder: str, options: BatchOptions, **_: object) -> FileCounts:
    """Work for newsmill.batch.processes: writes a row, and counts the modules that pyarrow looks for then."""
    from newsmill.exports.parquet import RowWriter, outcome_schema

    with RowWriter(io.BytesIO(), outcome_schema()) as rows:
        rows.add({"file": source}, 0)
        rows.finish()
    return FileCounts(source, 1, {"pandas": int("pandas" in sys.modules)})


def _reading(page: Page, text: str) -> ExtractionResult:
    return ExtractionResult(OutcomeRecord(Outcome.NO_TEXT, page.url), blocks=(Block(BlockType.PARAGRAPH, text),))


def _stored(page: Page, text: str, profile_version: int | None = None) -> ExtractionResult:
    """A document whose id is the key of the page's URL; all optional fields are empty."""
    text = text or "slow"
    empty = {field.name: None for field in fields(Document)}
    tuples = dict.fromkeys(("authors", "tags", "images", "live_updates", "warnings"), ())
    known = {
        "id": urls.make_key(page.url),
        "url": page.url,
        "requested_url": page.requested_url,
        "text": text,
        "blocks": (Block(BlockType.PARAGRAPH, text),),
        "first_seen_at": page.fetched_at,
        "fetched_at": page.fetched_at,
        "rights": {},
        "provenance": {},
        "word_count": len(text.split()),
        "extractor": "poison",
        "content_hash": blake2b(text.encode(), digest_size=16).hexdigest(),
        "revision": 1,
        "profile_version": profile_version,
    }
    document = Document(**(empty | tuples | known))  # type: ignore[arg-type]
    return ExtractionResult(OutcomeRecord(Outcome.STORED), document, document.blocks)
