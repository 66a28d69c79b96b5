"""The extraction of one claimed page, in the sandbox."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged
from newsmill.extraction.document_identity import has_same_content, shows_same_article
from newsmill.extraction.document_size import limit_size
from newsmill.health.failure_log import format_name
from newsmill.model import ClaimedPage, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Render, Source
from newsmill.polling.retries import compute_retry_delay
from newsmill.sandbox.pages import SandboxCrash
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Result
from newsmill.text.sentences import Sentence, join_sentences
from workers.cpu_budgets import CpuBudgets, get_owner
from workers.process import SegmentState, WorkerContext, find_profile, find_source

log = logging.getLogger(__name__)

SCRIPT_OUTCOMES = frozenset({Outcome.NEEDS_SCRIPT, Outcome.NO_TEXT})  # of a page whose text a script may load
# CPU of the first attempt at a page. Of 880 pages of other collections, one takes longer; the median is 0.02 s, and a child's first page
# takes at most 0.07 s. Beside 8 busy processes on two cores, a page takes up to 2.2 times as much, and is ended up to 0.04 s early.
FIRST_ATTEMPT_SECONDS = 0.25
FIRST_ATTEMPT_SECONDS_PER_MB = 2.0  # of HTML
MAX_FIRST_ATTEMPT_SECONDS = 0.5  # the wait of other pages counts more than the work that is done twice; 1 of 100 pages takes longer
CRASH_SECONDS = 0.5  # charged for a crash: a new child loads again what it needs
COMPRESSION_RATIO = 8  # assumed for a compressed page; text shrinks to a fourth or a seventh
ReadPage = Callable[[Page], ExtractionResult | SandboxCrash]  # with the removed blocks


def extract_page(
    context: WorkerContext,
    claim: ClaimedPage,
    page: Page | ArchiveDamaged,
    state: SegmentState | None = None,
    *,
    is_deferred: bool = False,
) -> Iterator[Result]:
    """At most one result: none if another worker has the claim, or if the page crashed the sandbox, which counts as an attempt.

    The CPU limit is short, except for a page that was deferred.
    The page is marked as in progress when it becomes slow, and beforehand if an earlier attempt failed.
    """
    if isinstance(page, ArchiveDamaged):
        yield Result(claim, ExtractionResult(OutcomeRecord(Outcome.ARCHIVE_DAMAGED, str(page))))
        return
    state = state or SegmentState()

    def mark() -> None:
        state.is_marked = context.app.ledger.claims.mark_in_progress(claim, now=context.app.now())

    if claim.is_suspect or state.is_marked:
        mark()
        if not state.is_marked:
            return
    source = find_source(context, claim.source, state.sources)
    profile = find_profile(context, page, state.profile_versions)

    def renew() -> None:
        context.app.ledger.claims.renew(claim.segment, context.owner, seconds=context.lease_seconds, now=context.app.now())

    def read(page: Page, profile: Profile | None, *, brief: bool, is_reextraction: bool) -> ExtractionResult | SandboxCrash:
        result = context.sandbox.read(
            page,
            source.rules if source else None,
            source.language if source else None,
            claim.first_seen_at,
            profile,
            brief=brief,
            is_reextraction=is_reextraction,
            cpu_seconds=None if is_deferred else first_attempt_seconds(page),
            on_slow=mark,
            on_wait=renew if is_deferred else None,
        )
        charge(context.cpu_budgets, get_owner(claim), result)
        return result

    result = read(page, profile, brief=True, is_reextraction=claim.again)
    if isinstance(result, SandboxCrash):
        _report_crash(context, claim, result, is_deferred=is_deferred)
        return
    _count_page(state, source, profile, page, result)
    now = context.app.now()
    if wants_rendering(claim, source, result.ending.outcome):
        yield Result(claim, result, now, wants_rendering=True)
        return
    if wants_parts(claim, page, result):
        if claim.is_revisit:  # the document stays until the next revisit, which fetches all pages
            yield Result(claim, replace(result, ending=OutcomeRecord(Outcome.UNCHANGED), document=None), wants_parts=True)
        else:
            yield Result(claim, replace(result, document=None), now, wants_parts=True)
        return
    result = _describe_rendering_failure(limit_size(_set_profile_version(result, profile)), page)
    if claim.is_revisit and result.document is not None:
        crashes: list[SandboxCrash] = []

        def read_again(page: Page) -> ExtractionResult | SandboxCrash:
            profile = find_profile(context, page, {})  # the archived page may have the layout of an older profile
            result = read(page, profile, brief=False, is_reextraction=True)
            if isinstance(result, SandboxCrash):
                crashes.append(result)
            return result

        if is_only_judged_differently(context.app.documents, context.app.archive, claim, page, result, read_again):
            result = ExtractionResult(OutcomeRecord(Outcome.UNCHANGED))
        if crashes and not is_deferred:
            _report_crash(context, claim, crashes[0], is_deferred=False)
            return
    yield Result(claim, result, _find_retry_time(claim, result, now))


def _count_page(state: SegmentState, source: Source | None, profile: Profile | None, page: Page, result: ExtractionResult) -> None:
    """Count how the page was read, for the statistics of its profile and its source."""
    if profile is not None and result.extraction_path is not None:
        state.paths[profile.site, profile.version][result.extraction_path] += 1
    if source is not None and source.render is Render.AUTO and result.document is not None:
        state.script_pages[source.name].append(page.rendered is not None and result.rendering_failure is None)


def wants_rendering(claim: ClaimedPage, source: Source | None, outcome: Outcome) -> bool:
    """Whether to fetch and render a page that has no text. Once: a page that was to be rendered has a `rendering`, whatever came of it."""
    return source is not None and source.render is Render.AUTO and claim.rendering is None and outcome in SCRIPT_OUTCOMES


def wants_parts(claim: ClaimedPage, page: Page, result: ExtractionResult) -> bool:
    """Whether to fetch the article again with its further pages. Once, and only of a page that the crawler has fetched just now: neither of
    one that a program submitted, which counts as an attempt, nor of one that is extracted again."""
    return result.next_page is not None and not (page.parts or claim.has_parts or claim.again or claim.attempts)


def _describe_rendering_failure(result: ExtractionResult, page: Page) -> ExtractionResult:
    """The result; without a document, its detail says why the page was not rendered."""
    if page.rendering_failure is None or result.document is not None:
        return result
    detail = Sentence("not rendered: {reason}", reason=page.rendering_failure)
    return replace(result, ending=replace(result.ending, detail=join_sentences(filter(None, (result.ending.detail, detail)))))


def first_attempt_seconds(page: Page) -> float:
    """The CPU limit of the first attempt at a page in seconds, by its size.

    A page that loops uses 20 s of CPU in each of three attempts; an ordinary page uses 0.05 s.
    """
    return min(MAX_FIRST_ATTEMPT_SECONDS, round(FIRST_ATTEMPT_SECONDS + FIRST_ATTEMPT_SECONDS_PER_MB * estimate_size(page) / 2**20, 2))


def estimate_size(page: Page) -> int:
    """The bytes of a page's HTML after decompression."""
    page = page.as_rendered()
    own = len(page.body) * (COMPRESSION_RATIO if page.header("Content-Encoding") else 1)
    return own + sum(map(estimate_size, page.parts))


def charge(budgets: CpuBudgets, owner: str, result: ExtractionResult | SandboxCrash) -> None:
    """Charge the owner for reading a page."""
    if not isinstance(result, SandboxCrash):
        budgets.charge(owner, result.seconds)
    else:
        budgets.charge_unfinished(owner, result.cpu_seconds or CRASH_SECONDS)


def _report_crash(context: WorkerContext, claim: ClaimedPage, crash: SandboxCrash, *, is_deferred: bool) -> None:
    """Defer a page that exceeded a short limit. One that used the whole CPU limit would do so again and gets no third attempt.

    If the thread of deferred pages is ending, it killed the child itself, and nothing is counted.
    """
    if is_deferred and context.stop.is_set():
        return
    name = format_name(claim.source, f"page {claim.url}")
    ledger, now = context.app.ledger, context.app.now()
    if crash.cpu_seconds is not None and crash.cpu_seconds < context.sandbox.limits.cpu:
        log.info("%s is deferred: its first attempt reached %s", name, crash.reason)
        ledger.deferred.put(claim, crash.reason, now=now)
    else:
        log.warning("%s crashed its reader: %s, %s (crash %d)", name, crash.stage, crash.reason, claim.crashes + 1)
        ledger.claims.report_crash(claim, crash.stage, crash.reason, now=now, final=crash.cpu_seconds is not None)
    context.has_deferred.set()


def _find_retry_time(claim: ClaimedPage, result: ExtractionResult, now: datetime) -> datetime | None:
    """When a page blocked by a bot filter is fetched a second time; None if it is not. An archived page that is read again is not."""
    wait = compute_retry_delay(1) if result.ending.outcome is Outcome.BLOCKED and claim.attempts == 0 and not claim.again else None
    return None if wait is None else now + wait


def _set_profile_version(result: ExtractionResult, profile: Profile | None) -> ExtractionResult:
    """The result whose document names the profile version used, or the document would be read again for ever."""
    if result.document is None or profile is None:
        return result
    return replace(result, document=replace(result.document, profile_version=profile.version))


def is_only_judged_differently(
    documents: Documents, archive: Archive, claim: ClaimedPage, page: Page, result: ExtractionResult, read: ReadPage
) -> bool:
    """Whether the page of a revisit gives another document although it shows the text of the archived one.

    Both pages are extracted with today's rules and profile. False where that cannot be decided. It costs two extractions, and only where
    the document would get a revision.
    """
    stored = documents.find_of_page(claim.id)
    if result.document is None or stored is None or stored.archive_ref is None or has_same_content(stored, result.document):
        return False
    segment, _, offset = stored.archive_ref.partition("@")
    try:
        archived = archive.read_page(segment, int(offset), stored.requested_url)
    except ArchiveDamaged:
        return False
    earlier, later = read(archived), read(page)
    if isinstance(earlier, SandboxCrash) or isinstance(later, SandboxCrash):
        return False
    return shows_same_article(earlier, later)
