"""A pass that extracts stored documents again from the archive, and replaces each text that does not become worse."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence

from newsmill.context import AppContext
from newsmill.exceptions import ArchiveDamaged, ServiceError
from newsmill.extraction.document_size import limit_size
from newsmill.intake.reextract import profile_site_of
from newsmill.model import Document, Judgement, ReextractionPass, Source, Verdict
from newsmill.sandbox.pages import Sandbox, SandboxCrash
from newsmill.similarity.revision_comparison import count_changed_words
from newsmill.storage.reextractions import Reextraction, Reextractions, StoredDocument
from newsmill.text.sentences import Sentence

DOCUMENTS_PER_COMMIT = 20  # about a second of work, which a kill loses
MAX_QUEUE = 20  # segments that wait for the workers; with more, new pages go first
WAIT_SECONDS = 3.0
MAX_DIFF_LINES, MAX_LINE_CHARACTERS = 40, 300  # of an example


def run_pass(app: AppContext, current: ReextractionPass, wait: Callable[[float], bool]) -> Iterator[ReextractionPass]:
    """Yield the pass after each commit, until it has read all documents or `wait(seconds)` says that it is to stop.

    While many pages wait for the workers, the pass waits too.
    """
    reextractions, sources = Reextractions(app.engine), {source.name: source for source in app.ledger.sources.list_all()}
    with Sandbox() as sandbox:
        for found in reextractions.iterate(current, DOCUMENTS_PER_COMMIT):
            while _is_busy(app):
                if wait(WAIT_SECONDS):
                    return
            results = []
            for stored in found:
                if wait(0):
                    break
                results.append(reextract(app, sandbox, stored, sources))
            if results:
                current = reextractions.record(current, results, now=app.now())
                yield current
            if len(results) < len(found):
                return
    yield reextractions.end(current, now=app.now())


def _is_busy(app: AppContext) -> bool:
    try:
        return (app.queue_depth() or 0) > MAX_QUEUE
    except ServiceError:
        return False


def reextract(app: AppContext, sandbox: Sandbox, stored: StoredDocument, sources: dict[str, Source]) -> Reextraction:
    """Extract the archived page of a document with the current rules and the current profile, and compare the texts."""
    before = stored.document
    segment, _, offset = (before.archive_ref or "").partition("@")
    try:
        page = app.archive.read_page(segment, int(offset), before.requested_url)
    except ArchiveDamaged:
        return Reextraction(before)
    source = sources.get(before.source or "")
    result = sandbox.read(
        page,
        source.rules if source else None,
        source.language if source else None,
        before.first_seen_at,
        app.profiles.at(profile_site_of(page), page.fetched_at),
        brief=True,
        is_reextraction=True,
        text_before=before.text,
    )
    if isinstance(result, SandboxCrash):
        return Reextraction(before)
    result = limit_size(result)
    after = result.document
    if after is None or result.verdict is None:
        reason = Sentence("the page gives no document any more: {outcome}", outcome=result.ending.outcome.value)
        return Reextraction(before, verdict=Verdict(Judgement.WORSE, -1.0, (reason,)))
    added, removed = count_changed_words(before.text, after.text)
    return Reextraction(before, after, result.verdict, removed, added, make_diff(before, after))


def make_diff(before: Document, after: Document) -> tuple[str, ...]:
    """The first lines of title and text that differ, with their neighbours: " ", "-" or "+" and the line."""
    old, new = ([document.title or "", *document.text.split("\n")] for document in (before, after))
    return _cut([line for line in [*difflib.unified_diff(old, new, lineterm="", n=1)][2:] if not line.startswith("@@")])


def _cut(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line if len(line) <= MAX_LINE_CHARACTERS else f"{line[:MAX_LINE_CHARACTERS]}…" for line in lines[:MAX_DIFF_LINES])
