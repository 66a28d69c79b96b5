"""The jobs of the queue: an archived segment's pages become documents, a site's pages become its profile, a URL becomes a ledger row.

The queue may name only the functions `extract_segment`, `learn_site` and `submit_url`. A page becomes a result in `extract_page`: it is
read in the sandbox, its crashes are counted, its document is limited in size, and at a revisit it is compared with the archived page.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain

from newsmill.archive.archive import SegmentReader
from newsmill.archive.external_files import ExternalReader
from newsmill.context import AppContext
from newsmill.exceptions import ArchiveDamaged, ConfigError, ServiceError, SlowCommitError
from newsmill.extraction.document_size import count_characters
from newsmill.health.failure_log import format_failure, format_name, is_failed
from newsmill.intake import url_submission
from newsmill.model import ClaimedPage, ExtractionResult, Page, Source
from newsmill.sandbox.pages import SandboxCrash
from newsmill.storage.ledger import Result
from newsmill.text.sentences import Sentence
from newsmill.text.urls import MAX_URL_CHARACTERS, get_host
from workers import site_learning
from workers.cpu_budgets import CpuBudgets, get_owner
from workers.page_reading import charge, estimate_size, extract_page, first_attempt_seconds
from workers.process import SegmentState, WorkerContext, find_source

log = logging.getLogger(__name__)

MAX_BATCH_PAGES = 32  # per commit; with 8 storing a page costs a fifth more, and writes twice as many bytes
# Per commit; 32 long articles have all of it. PostgreSQL takes 0.2 to 0.7 s to write 8,000,000 characters.
MAX_BATCH_CHARACTERS = 1_000_000
MAX_BATCH_TIME = timedelta(seconds=2)  # before a commit: documents of ordinary pages do not wait for expensive pages of the same segment
DEFERRED_TURN_SECONDS = 1.0  # of one source: several pages that turn out to be ordinary, or one
RETRY_SECONDS = 5.0  # between two tries to record a submitted URL

worker_context: WorkerContext | None = None  # workers.worker sets it before it listens: a job carries an id and nothing else


def extract_segment(segment_id: str) -> None:
    """Extract the pending pages of a segment and store their documents.

    Running twice, late or in parallel is harmless. The claim takes only rows that nobody holds and raises their fence;
    a result with an old fence is not stored. A second job for the segment finds nothing to claim.
    """
    extract_claimed_pages(_require_context(), segment_id)


def learn_site(site: str) -> None:
    """Learn a site's profile from its archived pages, if it is due.

    Running twice, late or in parallel is harmless: the job checks again whether the site is due, and one of two new versions is stored.
    Pages that take long, and those of a source without CPU budget, are left out of the sample: learning delays the pages that wait.
    """
    context = _require_context()
    sources: dict[str, Source | None] = {}

    def read(page: Page) -> ExtractionResult | SandboxCrash:
        context.send_heartbeat()
        if context.cpu_budgets.is_used_up(owner := page.source or get_host(page.url)):
            return SandboxCrash("read", "its source used its share of CPU time")
        source = find_source(context, page.source, sources)
        rules = (source.rules, source.language) if source else ()
        page = replace(page, parts=())
        result = context.sandbox.read(page, *rules, cpu_seconds=first_attempt_seconds(page))
        charge(context.cpu_budgets, owner, result)
        return result

    app = context.app
    site_learning.learn_site(app.profiles, app.archive, read, site, now=app.now(), stopping=context.stop.is_set)


def submit_url(url: str) -> None:
    """Add a URL to the ledger, for the crawler to fetch it once. Other programs put this job on the queue with RQ.

    A known URL stays as it is, and an invalid one gets the outcome `bad_url`, so a job may run twice. While the database is away, the job
    waits, because nothing else knows the URL.
    """
    context = _require_context()
    while True:
        try:
            # A longer text is not a URL; anyone who can write to Redis could have it stored.
            url_submission.add_urls(context.app.ledger, [url[: MAX_URL_CHARACTERS + 1]], now=context.app.now())
            return
        except ServiceError as error:
            log.warning("a submitted URL waits for the database: %s", error)
            if context.stop.wait(RETRY_SECONDS):
                raise


def _require_context() -> WorkerContext:
    """The context of this worker. Raises ConfigError in a worker that is not Newsmill's."""
    if worker_context is None:
        raise ConfigError("RQ's own worker cannot run this job; run `newsmill worker`, which takes it back from RQ's failed jobs")
    return worker_context


def extract_claimed_pages(context: WorkerContext, segment_id: str) -> None:
    """Claim a segment's pages, extract and store them. After a ServiceError the pages are pending again when the lease ends."""
    app = context.app
    claims = app.ledger.claims.claim(segment_id, context.owner, seconds=context.lease_seconds, now=app.now())
    flush_interval = min(MAX_BATCH_TIME, timedelta(seconds=context.lease_seconds / 3))
    batch: list[Result] = []
    flushed_at = app.now()
    state = SegmentState()
    deferred: list[ClaimedPage] = []
    try:
        for claim, page in read_archived_pages(app, segment_id, select_affordable(context.cpu_budgets, claims, deferred)):
            if context.stop.is_set():
                break
            context.send_heartbeat()
            if isinstance(page, Page) and context.cpu_budgets.refuse_large_page(get_owner(claim), estimate_size(page)):
                deferred.append(claim)
                continue
            batch.extend(extract_page(context, claim, page, state))
            if is_batch_full(batch) or abs(app.now() - flushed_at) > flush_interval:
                flush_batch(context, segment_id, batch)
                flushed_at, state.is_marked = app.now(), False
        flush_batch(context, segment_id, batch)
        if deferred:
            app.ledger.deferred.set_aside(deferred, now=app.now())
            context.has_deferred.set()
        site_learning.count_paths(app.fast_path_stats, state.paths)
        app.ledger.rendering.count_script_pages(state.script_pages)
        if claims:
            context.pages_outage.report_success()
    finally:
        if context.stop.is_set():
            app.ledger.claims.release(segment_id, context.owner, now=app.now())


def select_affordable(budgets: CpuBudgets, claims: Sequence[ClaimedPage], deferred: list[ClaimedPage]) -> Iterator[ClaimedPage]:
    """The claims whose source has CPU budget left when their turn comes, the largest budget first. The others are added to `deferred`."""
    balances = {owner: budgets.balance(owner) for owner in map(get_owner, claims)}
    for claim in sorted(claims, key=lambda claim: (-balances[get_owner(claim)], claim.offset)):
        if budgets.is_used_up(get_owner(claim)):
            deferred.append(claim)
        else:
            yield claim


def read_deferred(context: WorkerContext, claims: Sequence[ClaimedPage]) -> None:
    """Read deferred pages of one segment with their full limits for about DEFERRED_TURN_SECONDS, store the results, and release the rest.

    If the worker stops, the page in progress is released and nothing is counted. It is not a job, because no segment is enqueued for them.
    """
    app, state, segment_id = context.app, SegmentState(), claims[0].segment
    batch: list[Result] = []
    started = time.monotonic()
    try:
        for claim, page in read_archived_pages(app, segment_id, claims):
            batch.extend(extract_page(context, claim, page, state, is_deferred=True))
            if context.stop.is_set() or time.monotonic() - started > DEFERRED_TURN_SECONDS:
                break
        flush_batch(context, segment_id, batch)
        site_learning.count_paths(app.fast_path_stats, state.paths)
        app.ledger.rendering.count_script_pages(state.script_pages)
    finally:
        app.ledger.claims.release(segment_id, context.owner, now=app.now())


def read_archived_pages(
    app: AppContext, segment_id: str, claims: Iterable[ClaimedPage]
) -> Iterator[tuple[ClaimedPage, Page | ArchiveDamaged]]:
    """The archived page of each claim, or the error of reading it. A damaged record does not affect the others.

    Raises ServiceError when the archive is empty or another one, as on a machine where its folder is not mounted.
    """
    claims = iter(claims)
    first = next(claims, None)
    if first is None:
        return
    claims = chain([first], claims)
    try:
        with app.archive.open(segment_id) as segment:
            for claim in claims:
                yield claim, _read_archived_page(segment, claim)
    except ArchiveDamaged as error:  # the file is missing
        app.archive.require_files(app.ledger.segments.list_older(segment_id))
        log.warning("%s; its pages end with archive_damaged", error)
        for claim in claims:
            yield claim, error


def _read_archived_page(segment: SegmentReader | ExternalReader, claim: ClaimedPage) -> Page | ArchiveDamaged:
    try:
        return segment.page(claim.offset, claim.url)
    except ArchiveDamaged as error:
        return error


def is_batch_full(batch: Sequence[Result]) -> bool:
    """Whether these results are enough for one commit."""
    documents = [result.reading.document for result in batch if result.reading.document is not None]
    return len(batch) >= MAX_BATCH_PAGES or sum(map(count_characters, documents)) >= MAX_BATCH_CHARACTERS


def flush_batch(context: WorkerContext, segment_id: str, batch: list[Result]) -> None:
    """Store the batch in one commit and empty it. The lease on the rest of the segment is renewed too."""
    if batch:
        store_results(context, batch)
        batch.clear()
    else:
        ledger, now = context.app.ledger, context.app.now()
        ledger.claims.renew(segment_id, context.owner, seconds=context.lease_seconds, now=now)


def store_results(context: WorkerContext, results: Sequence[Result]) -> None:
    """Store results in one commit, or in halves if one commit takes too long.

    A single result that is too slow counts as one crash of its page: it is tried again later, and quarantined after three.
    """
    ledger, now = context.app.ledger, context.app.now
    try:
        ledger.results.store(results, now=now(), owner=context.owner, seconds=context.lease_seconds)
        log_failures(results)
    except SlowCommitError as error:
        first = results[0].claim
        if len(results) == 1:
            log.warning("%s is deferred: %s", format_name(first.source, f"page {first.url}"), error)
            ledger.claims.report_crash(first, "store", Sentence("deadline: {error}", error=error), now=now())
            return
        log.warning("segment %s: %s; the batch is stored in halves", first.segment, error)
        for half in (results[: len(results) // 2], results[len(results) // 2 :]):
            ledger.claims.renew(first.segment, context.owner, seconds=context.lease_seconds, now=now())
            store_results(context, half)


def log_failures(results: Sequence[Result]) -> None:
    """One line for each page that failed."""
    for result in results:
        if is_failed(result.reading.ending.outcome):
            log.info("%s", format_failure(result.claim.source, f"page {result.claim.url}", result.reading.ending, result.retry_at))
