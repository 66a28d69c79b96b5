"""Archived pages read again, as a worker reads them: to explain a document, and to see what other rules would do. Stores nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from newsmill import urls
from newsmill.exceptions import ArchiveDamaged, NewsmillError
from newsmill.model import Document, ExtractionResult, Outcome, Page, Rules, Source
from newsmill.sandbox.parent import Sandbox, SandboxCrash

if TYPE_CHECKING:
    from newsmill.archive.archive import Archive
    from newsmill.storage.documents import ArchivedPage
    from newsmill.storage.ledger import Ledger, Trace
    from newsmill.storage.profiles import Profiles

COMPARED_FIELDS = ("title", "description", "authors", "published_at", "modified_at", "section", "language")  # that rules can change


@dataclass(frozen=True, slots=True)
class ReextractionDiff:
    """What new rules do to one page. `diff` is unified, line by line of the text; `fields` are those that change."""

    url: str
    before: str  # outcome
    after: str
    diff: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    removed: int = 0  # words
    added: int = 0

    @property
    def is_one(self) -> bool:
        return bool(self.diff or self.fields or self.before != self.after)


def profile_site_of(page: Page) -> str:
    """The site whose profile a page is read with, as in the store."""
    return urls.get_profile_site(page.url)


def explain(ledger: Ledger, archive: Archive, profiles: Profiles, trace: Trace) -> ExtractionResult:
    """Read the archived page of an address, with the rules and the profile in use.

    Raises NewsmillError when nothing is archived or reading it ended the child, ArchiveDamaged when it cannot be read back.
    """
    if trace.segment is None or trace.offset is None:
        said = f"{trace.outcome or trace.state}{f' ({trace.detail})' if trace.detail else ''}"
        raise NewsmillError(f"no page of {trace.url} is archived: {said}")
    source = ledger.source(trace.source) if trace.source else None
    page = archive.read_page(trace.segment, trace.offset)
    with Sandbox() as sandbox:
        reading = sandbox.read(
            page,
            profile=profiles.at(profile_site_of(page), page.fetched_at),
            rules=source.rules if source else None,
            language=source.language if source else None,
            first_seen_at=trace.first_seen_at,
        )
    if isinstance(reading, SandboxCrash):
        raise NewsmillError(f"reading {trace.url} ended the process ({reading.stage}: {reading.reason})")
    return reading


def compare_rules(
    archive: Archive, profiles: Profiles, used: Rules, wanted: Source, places: Sequence[ArchivedPage]
) -> Iterator[ReextractionDiff]:
    """Read each page with the rules in use and with those of `wanted`. Pages that cannot be read back are left out."""
    with Sandbox() as sandbox:
        for place in places:
            try:
                page = archive.read_page(place.segment, place.offset)
            except ArchiveDamaged:
                continue
            profile = profiles.at(profile_site_of(page), page.fetched_at)
            before, after = (sandbox.read(page, rules=rules, language=wanted.language, profile=profile) for rules in (used, wanted.rules))
            yield diff_results(page.url, before, after)


def diff_results(url: str, before: ExtractionResult | SandboxCrash, after: ExtractionResult | SandboxCrash) -> ReextractionDiff:
    """The difference between two readings of one page. Pure."""
    old, new = get_document(before), get_document(after)
    was, now = (found.text.split("\n") if found else [] for found in (old, new))
    diff = list(difflib.unified_diff(was, now, lineterm="", n=1))
    return ReextractionDiff(
        url=url,
        before=get_outcome(before),
        after=get_outcome(after),
        diff=tuple(diff),
        fields={name: pair for name in COMPARED_FIELDS if (pair := (format_field(old, name), format_field(new, name)))[0] != pair[1]}
        if old and new
        else {},
        removed=sum(len(line.split()) for line in diff[2:] if line.startswith("-")),
        added=sum(len(line.split()) for line in diff[2:] if line.startswith("+")),
    )


def get_document(reading: ExtractionResult | SandboxCrash) -> Document | None:
    return reading.document if isinstance(reading, ExtractionResult) else None


def get_outcome(reading: ExtractionResult | SandboxCrash) -> str:
    return str(reading.ending.outcome if isinstance(reading, ExtractionResult) else Outcome.DIED)


def format_field(document: Document | None, name: str) -> str | None:
    """A field in words."""
    value = getattr(document, name, None)
    return ", ".join(author.name for author in value) if name == "authors" and value else None if value in (None, ()) else str(value)
