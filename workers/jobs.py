"""The jobs of the queue: an archived segment's pages become documents, a site's pages become its profile, a URL becomes a ledger row.

The queue may name only the functions `extract_segment`, `learn_site` and `submit_url`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta

from newsmill import submission
from newsmill.archive.archive import Archive, SegmentReader
from newsmill.exceptions import ArchiveDamaged, ServiceError, SlowCommitError
from newsmill.model import ClaimedPage, ExtractionResult, Page, Source
from newsmill.sandbox.pages import SandboxCrash
from newsmill.storage.ledger import Result
from newsmill.urls import MAX_URL_CHARACTERS
from workers import site_learning
from workers.page_extraction import count_characters, extract_page
from workers.process import SegmentState, WorkerContext, find_source

log = logging.getLogger(__name__)

MAX_BATCH_PAGES = 16  # per commit; with 8 storing a page costs a sixth more, with a whole segment of 32 a twentieth less
# Per commit; sixteen long articles have half of it. PostgreSQL takes 0.2 to 0.7 s to write 8,000,000 characters.
MAX_BATCH_CHARACTERS = 1_000_000

RETRY_SECONDS = 5.0  # between two tries to record a submitted URL

worker_context: WorkerContext | None = None  # workers.worker sets it before it listens: a job carries an id and nothing else


def extract_segment(segment_id: str) -> None:
    """Extract the pending pages of a segment and store their documents.

    Running twice, late or in parallel is harmless. The claim takes only rows that nobody holds and raises their fence;
    a result with an old fence is not stored. A second job for the segment finds nothing to claim.
    """
    assert worker_context is not None, "workers.worker sets worker_context before it listens"
    extract_claimed_pages(worker_context, segment_id)


def learn_site(site: str) -> None:
    """Learn a site's profile from its archived pages, if it is due.

    Running twice, late or in parallel is harmless: the job checks again whether the site is due, and one of two new versions is stored.
    """
    assert worker_context is not None, "workers.worker sets worker_context before it listens"
    context = worker_context
    sources: dict[str, Source | None] = {}

    def read(page: Page) -> ExtractionResult | SandboxCrash:
        context.send_heartbeat()
        source = find_source(context, page.source, sources)
        return context.sandbox.read(page, *((source.rules, source.language) if source else ()))

    app = context.app
    site_learning.learn_site(app.profiles, app.archive, read, site, now=app.now(), stopping=context.stop.is_set)


def submit_url(url: str) -> None:
    """Add a URL to the ledger, for the crawler to fetch it once. Other programs put this job on the queue with RQ.

    A known URL stays as it is, and an invalid one gets the outcome `bad_url`, so a job may run twice. While the database is away, the job
    waits, because nothing else knows the URL.
    """
    assert worker_context is not None, "workers.worker sets worker_context before it listens"
    context = worker_context
    while True:
        try:
            # A longer text is not a URL; anyone who can write to Redis could have it stored.
            submission.add_urls(context.app.ledger, [url[: MAX_URL_CHARACTERS + 1]], now=context.app.now())
            return
        except ServiceError as error:
            log.warning("a submitted URL waits for the database: %s", error)
            if context.stop.wait(RETRY_SECONDS):
                raise


def extract_claimed_pages(context: WorkerContext, segment_id: str) -> None:
    """Claim a segment's pages, extract and store them.

    Raises ServiceError when database or archive are away; the pages are pending again when the lease ends.
    """
    app = context.app
    claims = app.ledger.claim_segment(segment_id, context.owner, seconds=context.lease_seconds, now=app.now())
    flush_interval = timedelta(seconds=context.lease_seconds / 3)
    batch: list[Result] = []
    flushed_at = app.now()
    state = SegmentState()
    try:
        for claim, page in read_archived_pages(app.archive, segment_id, claims):
            if context.stop.is_set():
                break
            context.send_heartbeat()
            batch.extend(extract_page(context, claim, page, state))
            if is_batch_full(batch) or abs(app.now() - flushed_at) > flush_interval:
                flush_batch(context, segment_id, batch)
                flushed_at, state.is_marked = app.now(), False
        flush_batch(context, segment_id, batch)
        site_learning.count_paths(app.fast_path_stats, state.paths)
        app.ledger.count_script_pages(state.script_pages)
    finally:
        if context.stop.is_set():
            app.ledger.release_segment(segment_id, context.owner, now=app.now())


def retry_deferred_page(context: WorkerContext, *, heavy: bool) -> bool:
    """Try one deferred page again; False if there is none. `heavy`: one that exceeded its short limit, now with its full CPU limit.

    It is not a job, because no segment is enqueued for a deferred page. A page that is interrupted is released and nothing is counted.
    """
    app = context.app
    claim = app.ledger.deferred.claim(context.owner, seconds=context.lease_seconds, now=app.now(), heavy=heavy)
    if claim is None:
        return False
    state = SegmentState()
    try:
        for _, page in read_archived_pages(app.archive, claim.segment, [claim]):
            flush_batch(context, claim.segment, list(extract_page(context, claim, page, state, full_limit=heavy)))
        site_learning.count_paths(app.fast_path_stats, state.paths)
        app.ledger.count_script_pages(state.script_pages)
    finally:
        app.ledger.release_segment(claim.segment, context.owner, now=app.now())
    return True


def read_archived_pages(
    archive: Archive, segment_id: str, claims: Sequence[ClaimedPage]
) -> Iterator[tuple[ClaimedPage, Page | ArchiveDamaged]]:
    """The archived page of each claim, or the error of reading it. A damaged record does not affect the others.

    Raises ServiceError when the whole archive is missing, as on a machine where its folder is not mounted.
    """
    if not claims:
        return
    try:
        with archive.open(segment_id) as segment:
            for claim in claims:
                yield claim, _read_archived_page(segment, claim.offset)
    except ArchiveDamaged as error:  # the file is missing
        archive.require_files()
        log.warning("%s; its pages end with archive_damaged: %d", error, len(claims))
        for claim in claims:
            yield claim, error


def _read_archived_page(segment: SegmentReader, offset: int) -> Page | ArchiveDamaged:
    try:
        return segment.page(offset)
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
        ledger.renew_segment(segment_id, context.owner, seconds=context.lease_seconds, now=now)


def store_results(context: WorkerContext, results: Sequence[Result]) -> None:
    """Store results in one commit, or in halves if one commit takes too long.

    A single result that is too slow counts as one crash of its page: it is tried again later, and quarantined after three.
    """
    ledger, now = context.app.ledger, context.app.now
    try:
        ledger.store(results, now=now(), owner=context.owner, seconds=context.lease_seconds)
    except SlowCommitError as error:
        first = results[0].claim
        if len(results) == 1:
            log.warning("%s is deferred: %s", first.url, error)
            ledger.report_crash(first, "store", f"deadline: {error}", now=now())
            return
        log.warning("segment %s: %s; the batch is stored in halves", first.segment, error)
        for half in (results[: len(results) // 2], results[len(results) // 2 :]):
            ledger.renew_segment(first.segment, context.owner, seconds=context.lease_seconds, now=now())
            store_results(context, half)
