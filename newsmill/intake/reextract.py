"""Extraction of archived pages as in a worker, to explain a document and to preview other rules. This module stores nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from newsmill.exceptions import ArchiveDamaged, NewsmillError
from newsmill.model import Document, ExtractionResult, Outcome, Page, Rules, Source
from newsmill.sandbox.pages import Sandbox, SandboxCrash
from newsmill.text import urls
from newsmill.text.sentences import Sentence

if TYPE_CHECKING:
    from newsmill.archive.archive import Archive
    from newsmill.storage.documents import ArchivedPage
    from newsmill.storage.ledger import Ledger, Trace
    from newsmill.storage.profiles import Profiles

COMPARED_FIELDS = ("title", "description", "authors", "published_at", "modified_at", "section", "language")  # fields that rules can change


@dataclass(frozen=True, slots=True)
class ReextractionDiff:
    """The changes of new rules on one page. `diff` is a unified diff of the text; `fields` has the old and new values of changed fields."""

    url: str
    before: str  # outcome
    after: str
    diff: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    removed: int = 0  # words
    added: int = 0

    @property
    def has_changes(self) -> bool:
        return bool(self.diff or self.fields or self.before != self.after)


def profile_site_of(page: Page) -> str:
    """Return the site that determines the profile of a page."""
    return urls.get_profile_site(page.url)


def explain(ledger: Ledger, archive: Archive, profiles: Profiles, trace: Trace) -> ExtractionResult:
    """Extract the archived page of a URL with the current rules and the current profile.

    Raise NewsmillError if no page is archived or the child process crashes, and ArchiveDamaged if the page cannot be read back.
    """
    if trace.segment is None or trace.offset is None:
        why: str = trace.outcome or trace.state
        if trace.detail:
            why = Sentence("{why} ({detail})", why=why, detail=trace.detail)
        raise NewsmillError(Sentence("no page of {url} is archived: {why}", url=trace.url, why=why))
    source = ledger.sources.get(trace.source) if trace.source else None
    page = archive.read_page(trace.segment, trace.offset, trace.url)
    with Sandbox() as sandbox:
        result = sandbox.read(
            page,
            profile=profiles.at(profile_site_of(page), page.fetched_at),
            rules=source.rules if source else None,
            language=source.language if source else None,
            first_seen_at=trace.first_seen_at,
        )
    if isinstance(result, SandboxCrash):
        raise NewsmillError(
            Sentence("the extraction of {url} crashed ({stage}: {reason})", url=trace.url, stage=result.stage, reason=result.reason)
        )
    return result


def compare_rules(
    archive: Archive, profiles: Profiles, current: Rules, proposed: Source, pages: Sequence[ArchivedPage]
) -> Iterator[ReextractionDiff]:
    """Extract each page with the rules `current` and with those of `proposed`, and yield the differences.

    Pages that cannot be read back are omitted.
    """
    with Sandbox() as sandbox:
        for archived in pages:
            try:
                page = archive.read_page(archived.segment, archived.offset, archived.url)
            except ArchiveDamaged:
                continue
            profile = profiles.at(profile_site_of(page), page.fetched_at)
            before, after = (
                sandbox.read(page, rules=rules, language=proposed.language, profile=profile) for rules in (current, proposed.rules)
            )
            yield diff_results(page.url, before, after)


def diff_results(url: str, before: ExtractionResult | SandboxCrash, after: ExtractionResult | SandboxCrash) -> ReextractionDiff:
    """Return the difference between two results of one page. Pure."""
    old, new = _get_document(before), _get_document(after)
    old_lines, new_lines = (document.text.split("\n") if document else [] for document in (old, new))
    diff = tuple(difflib.unified_diff(old_lines, new_lines, lineterm="", n=1))
    values = {name: (_format_field(old, name), _format_field(new, name)) for name in COMPARED_FIELDS} if old and new else {}
    return ReextractionDiff(
        url=url,
        before=_get_outcome(before),
        after=_get_outcome(after),
        diff=diff,
        fields={name: pair for name, pair in values.items() if pair[0] != pair[1]},
        removed=sum(len(line.split()) for line in diff[2:] if line.startswith("-")),
        added=sum(len(line.split()) for line in diff[2:] if line.startswith("+")),
    )


def _get_document(result: ExtractionResult | SandboxCrash) -> Document | None:
    return result.document if isinstance(result, ExtractionResult) else None


def _get_outcome(result: ExtractionResult | SandboxCrash) -> str:
    return str(result.ending.outcome if isinstance(result, ExtractionResult) else Outcome.DIED)


def _format_field(document: Document | None, name: str) -> str | None:
    """Return the value of a field as text, or None for an empty field."""
    value = getattr(document, name, None)
    if value in (None, ()):
        return None
    return ", ".join(author.name for author in value) if name == "authors" and value else str(value)
