"""The manifest of an export: what its files hold, and where the next run resumes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from newsmill.exceptions import ConfigError
from newsmill.model import Document
from newsmill.text.urls import find_site

MANIFEST_NAME = "manifest.json"
MAX_DISTINCT_VALUES = 200  # licences or signals listed; pages may state anything, and a manifest must stay readable
MAX_LISTED_MISSING = 1000  # all are counted
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The options of an export. A run resumes an interrupted one with the same plan."""

    format: str
    query: str = ""
    names: str | None = None  # field names of zyte, news-please or trafilatura
    partition: str | None = None  # day, month or source
    since: datetime | None = None  # only what was stored then or later
    live_updates: str | None = None  # "in-text": the updates of live blogs are part of the text
    include: tuple[str, ...] = ()  # fields on request
    fold: bool = False  # copies are left out
    as_of: datetime | None = None  # the documents as they were then


@dataclass(frozen=True, slots=True)
class ExportPosition:
    """Where the next run resumes."""

    cursor: str | None = None  # everything up to it is written


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A finished file."""

    file: str  # relative to the manifest, with slashes
    documents: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class MissingPage:
    """A document that could not be exported."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TakenDownDocument:
    """A document of the time of an export that was taken down since."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExportRun:
    """One call of the command."""

    started_at: datetime
    ended_at: datetime
    documents: int
    newsmill: str  # the program's version


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Counts over all documents written. A changed document counts each time it was written."""

    sites: Mapping[str, int] = field(default_factory=dict)  # registered domains
    sources: Mapping[str, int] = field(default_factory=dict)  # of the documents that came from one
    languages: Mapping[str, int] = field(default_factory=dict)
    extractors: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)  # is_free: true, false, unknown
    licenses: Mapping[str, int] = field(default_factory=dict)
    signals: Mapping[str, int] = field(default_factory=dict)  # what pages and headers allow robots and text miners


@dataclass(frozen=True, slots=True)
class ExportedWeek:
    """What is known of the articles of one source and week that no listing showed."""

    week: date  # its Monday, UTC
    articles: int  # that a listing showed
    late: int  # found in this week, published more than two days before
    at_most: float | None = None  # the share in no listing, with 95 % confidence
    unknown: str | None = None  # why the share is unknown


@dataclass(frozen=True, slots=True)
class Manifest:
    plan: ExportPlan
    complete: bool = False
    place: ExportPosition = field(default_factory=ExportPosition)
    removed_until: str | None = None  # cursor up to which removed documents are listed, or were removed before the first run
    documents: int = 0
    parts: int = 0
    files: tuple[ExportedFile, ...] = ()
    missing_count: int = 0
    missing: tuple[MissingPage, ...] = ()
    taken_down: tuple[TakenDownDocument, ...] = ()  # of an export as of a time
    runs: tuple[ExportRun, ...] = ()
    summary: ExportSummary = field(default_factory=ExportSummary)
    completeness: Mapping[str, tuple[ExportedWeek, ...]] = field(default_factory=dict)  # by source, at the end of the last run
    manifest: Literal[1] = 1  # the version of this format


_MANIFEST = TypeAdapter(Manifest)


def dump_manifest(manifest: Manifest) -> bytes:
    """JSON for people and programs."""
    return json.dumps(_MANIFEST.dump_python(manifest, mode="json"), ensure_ascii=False, indent=1).encode() + b"\n"


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest in a file. `where`: its folder, for messages. Raises ConfigError."""
    try:
        return _MANIFEST.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field_name = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(
            f"{where}/{MANIFEST_NAME} is not the manifest of an export ({field_name}: {first['msg']}); name another folder"
        ) from None


class FieldCounts:
    """Counts for an ExportSummary."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in ExportSummary.__dataclass_fields__}

    def add(self, document: Document) -> None:
        free = "unknown" if document.is_free is None else str(document.is_free).lower()
        self._count("sites", [find_site(document.url) or "(unknown)"])
        self._count("sources", [document.source] if document.source else [])
        self._count("languages", [document.language or "(unknown)"])
        self._count("extractors", [document.extractor])
        self._count("free", [free])
        self._count("licenses", [(document.license or "(none stated)")[:200]])
        self._count("signals", [f"{name}: {value}"[:200] for name, value in document.rights.items()] or ["(none)"])

    def _count(self, name: str, keys: Iterable[str]) -> None:
        counts = self._counts[name]
        for key in keys:
            counts[key if key in counts or len(counts) < MAX_DISTINCT_VALUES else OTHER] += 1

    def add_to(self, summary: ExportSummary) -> ExportSummary:
        """The summary with these counts added."""
        return replace(summary, **{name: _merge_counts(getattr(summary, name), counts) for name, counts in self._counts.items()})


def _merge_counts(before: Mapping[str, int], more: Counter[str]) -> dict[str, int]:
    total = Counter(before) + more
    kept = dict(total.most_common(MAX_DISTINCT_VALUES))
    if rest := total.total() - sum(kept.values()):
        kept[OTHER] = kept.get(OTHER, 0) + rest
    return kept
