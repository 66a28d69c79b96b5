"""How long a page may take while others wait: a short first turn of CPU time, and a whole one when there is time for it.

A page that eats time costs twenty seconds, an ordinary one 0.05. CPU time counts, not the time of day: a busy machine makes no page longer.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from newsmill.archive.archive import Archive, SegmentReader
from newsmill.discovery.schedule import compute_retry_delay
from newsmill.exceptions import ArchiveDamaged, SlowCommitError
from newsmill.model import ClaimedPage, Document, ExtractionPath, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Source
from newsmill.sandbox.parent import Sandbox, SandboxCrash
from newsmill.storage.fast_path_stats import FastPathStats
from newsmill.storage.ledger import MAX_CRASHES, Ledger, Result
from newsmill.storage.processes import Heartbeat
from newsmill.storage.profiles import Profiles, ProfileVersion
from newsmill.urls import get_profile_site
from workers import site_learning

# Of 900 pages of other people's collections one takes longer, by half (measured 2026-11-25); on average they take a tenth of it.
FIRST_TURN_SECONDS = 0.1  # seconds of CPU
FIRST_TURN_SECONDS_PER_MB = 2.0  # more, for each MB of HTML
COMPRESSION_RATIO = 8  # a compressed page is taken for so many times its size: text shrinks to a fourth or a seventh
MAX_HTML_BYTES = 5 << 20  # bytes; what is larger is refused unread (read.reader.MAX_HTML)

CPU_BUDGET_SHARE = 0.05  # of a worker's time, for pages that eat it while others wait
MAX_CPU_BUDGET_SECONDS = 40.0  # seconds of it that can be saved up


def first_turn_seconds(page: Page) -> float:
    """Seconds of CPU for the first try of a page, by its size."""
    size = len(page.body) * (COMPRESSION_RATIO if page.header("Content-Encoding") else 1)
    return round(FIRST_TURN_SECONDS + FIRST_TURN_SECONDS_PER_MB * min(size, MAX_HTML_BYTES) / 2**20, 2)


@dataclass
class CpuBudget:
    """What a worker has saved up for pages that eat time, so that they have their turn even where it never gets quiet. In seconds."""

    saved: float = 0.0

    def earn(self, seconds: float) -> None:
        """So much time went by."""
        self.saved = min(MAX_CPU_BUDGET_SECONDS, self.saved + CPU_BUDGET_SHARE * seconds)

    def suffices(self, turn: float) -> bool:
        """Whether a turn of that length is earned."""
        return self.saved >= turn

    def pay(self, took: float) -> None:
        """A turn took so long; what it took too much is owed."""
        self.saved -= took


# The jobs: an archived segment's pages become documents, a site's pages become its profile. The only functions the queue may name.

log = logging.getLogger(__name__)

MAX_BATCH_PAGES = 16  # pages per commit; with 8 storing one costs a sixth more, with a whole segment of 32 a twentieth less
# Characters of documents per commit; sixteen long articles have half of it. Postgres takes 0.2 to 0.7 s to write 8,000,000 characters.
MAX_BATCH_CHARACTERS = 1_000_000
MAX_DOCUMENT_CHARACTERS = 2_000_000  # of its text and its blocks, which say the text again; a thick novel has as many
MAX_SOURCE_AGE_SECONDS = 60  # how old a source's rules may be
MAX_CACHED_PROFILES = 64  # kept in memory, about 150 KB each at most


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class WorkerContext:
    """What one worker process works with. `stop` is set when it should finish the page in hand and give the rest back."""

    ledger: Ledger
    archive: Archive
    sandbox: Sandbox
    owner: str
    lease: float = 60.0  # seconds; longer than one page may take (30 s) and one flush interval (a third of it) together
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], datetime] = utc_now
    heartbeat: Heartbeat | None = None
    sources: dict[str, tuple[datetime, Source | None]] = field(default_factory=dict)
    profiles: Profiles | None = None
    known: dict[tuple[str, ProfileVersion], Profile] = field(default_factory=dict)
    ways: FastPathStats | None = None
    credit: CpuBudget = field(default_factory=CpuBudget)


@dataclass
class SegmentState:
    """What one segment's pages have in common: which version of each site's profile is valid, and in which way its pages were read.

    `marked`: one of those not stored yet is marked as the page in hand, so the mark has to move on with us.
    """

    valid: dict[str, ProfileVersion | None] = field(default_factory=dict)  # asked once per segment, so that a new version is used soon
    ways: dict[tuple[str, int], Counter[ExtractionPath]] = field(default_factory=lambda: defaultdict(Counter))
    marked: bool = False


worker_context: WorkerContext | None = None  # set by workers.worker before it listens: a job carries an id and nothing else


def clean_segment(segment_id: str) -> None:
    """Read what is owed of a segment and store it.

    Running twice, late, or beside itself is harmless: the claim takes only rows that nobody holds and raises their fence; a row whose fence
    has moved on takes no outcome, and no document is written for it. A second announcement finds nothing to claim.
    """
    assert worker_context is not None, "workers.worker sets the bench before it listens"
    extract_claimed_pages(worker_context, segment_id)


def learn_site(site: str) -> None:
    """Learn a site's profile from its archived pages, if it is due.

    Running twice, late, or beside itself is harmless: whether it is due is asked here again, and of two new versions one is stored.
    """
    assert worker_context is not None and worker_context.profiles is not None, "workers.worker sets the bench before it listens"
    tools = worker_context

    def read(page: Page) -> ExtractionResult | SandboxCrash:
        send_heartbeat(tools)
        source = find_source(tools, page.source)
        return tools.sandbox.read(page, *((source.rules, source.language) if source else ()))

    site_learning.learn_site(
        worker_context.profiles, worker_context.archive, read, site, now=worker_context.clock(), stopping=worker_context.stop.is_set
    )


def extract_claimed_pages(context: WorkerContext, segment_id: str) -> None:
    """The job with its tools given. Raises ServiceError when database or archive are away: the rows are owed again when the lease ends."""
    claims = context.ledger.claim_segment(segment_id, context.owner, seconds=context.lease, now=context.clock())
    batch: list[Result] = []
    flushed = context.clock()
    seen = SegmentState()
    try:
        for claim, page in read_archived_pages(context.archive, segment_id, claims):
            if context.stop.is_set():
                break
            send_heartbeat(context)
            batch.extend(extract_page(context, claim, page, seen))
            if is_batch_full(batch) or abs(context.clock() - flushed) > timedelta(seconds=context.lease / 3):
                flush_batch(context, segment_id, batch)
                flushed, seen.marked = context.clock(), False
        flush_batch(context, segment_id, batch)
        site_learning.count_paths(context.ways, seen.ways)
    finally:
        if context.stop.is_set():
            context.ledger.release_segment(segment_id, context.owner, now=context.clock())


def retry_deferred_page(context: WorkerContext, *, heavy: bool) -> bool:
    """Try a page that was put aside again, if `heavy` for its whole turn; False when there is none.

    No job, because no segment is announced for it. Stopped in the middle, the page is given back and nothing is counted.
    """
    claim = context.ledger.deferred.claim(context.owner, seconds=context.lease, now=context.clock(), heavy=heavy)
    if claim is None:
        return False
    seen = SegmentState()
    try:
        for _, page in read_archived_pages(context.archive, claim.segment, [claim]):
            flush_batch(context, claim.segment, list(extract_page(context, claim, page, seen, whole=heavy)))
        site_learning.count_paths(context.ways, seen.ways)
    finally:
        context.ledger.release_segment(claim.segment, context.owner, now=context.clock())
    return True


def send_heartbeat(context: WorkerContext) -> None:
    """Say that this worker is at work, every few seconds."""
    if context.heartbeat is not None:
        context.heartbeat.beat(context.clock())


def read_archived_pages(
    archive: Archive, segment_id: str, claims: Sequence[ClaimedPage]
) -> Iterator[tuple[ClaimedPage, Page | ArchiveDamaged]]:
    """The archived page of each claim, or why it cannot be had. One damaged record takes no other with it."""
    if not claims:
        return
    try:
        with archive.open(segment_id) as segment:
            for claim in claims:
                yield claim, read_archived_page(segment, claim.offset)
    except ArchiveDamaged as error:  # the file is missing
        for claim in claims:
            yield claim, error


def read_archived_page(segment: SegmentReader, offset: int) -> Page | ArchiveDamaged:
    try:
        return segment.page(offset)
    except ArchiveDamaged as error:
        return error


def extract_page(
    context: WorkerContext, claim: ClaimedPage, page: Page | ArchiveDamaged, seen: SegmentState | None = None, *, whole: bool = False
) -> Iterator[Result]:
    """At most one result: none when the claim is no longer ours, or the page killed its reader (a death is another try, no outcome).

    A page has a short turn, unless it is to have its `whole` one or this is its last try. It is marked as the one in hand as soon as it is
    slow; beforehand if somebody failed on it already.
    """
    if isinstance(page, ArchiveDamaged):
        yield Result(claim, ExtractionResult(OutcomeRecord(Outcome.ARCHIVE_DAMAGED, str(page))))
        return
    seen = seen or SegmentState()

    def mark() -> None:
        seen.marked = context.ledger.mark_in_progress(claim, now=context.clock())

    if claim.is_suspect or seen.marked:
        mark()
        if not seen.marked:
            return
    source = find_source(context, claim.source)
    rules, language = (source.rules, source.language) if source else (None, None)
    profile = find_profile(context, page, seen.valid)
    turn = None if whole or claim.crashes + 1 >= MAX_CRASHES else first_turn_seconds(page)
    known = (rules, language, claim.first_seen_at, profile)
    reading = context.sandbox.read(page, *known, brief=True, again=claim.again, turn=turn, when_slow=mark)
    if isinstance(reading, SandboxCrash):
        log.warning("%s killed its reader: %s, %s (death %d)", claim.url, reading.stage, reading.reason, claim.crashes + 1)
        _report(context, claim, reading)
    else:
        if profile is not None and reading.extraction_path is not None:
            seen.ways[profile.site, profile.version][reading.extraction_path] += 1
        yield Result(claim, _within_cap(_noted(reading, profile)), _retry_at(claim, reading, context.clock()))


def _report(context: WorkerContext, claim: ClaimedPage, death: SandboxCrash) -> None:
    """Who outlasted a first turn is put aside; who used up the whole limit of CPU time would do so again, and needs no third try."""
    if death.cpu is not None and death.cpu < context.sandbox.limits.cpu:
        context.ledger.deferred.put(claim, death.reason, now=context.clock())
    else:
        context.ledger.report_crash(claim, death.stage, death.reason, now=context.clock(), final=death.cpu is not None)


def _retry_at(claim: ClaimedPage, reading: ExtractionResult, now: datetime) -> datetime | None:
    """A bot filter's mood may change once, as under status 403 (`crawler.fetch_task.SECOND_TRY`); a page read from the archive again waits."""
    wait = compute_retry_delay(1) if reading.ending.outcome is Outcome.BLOCKED and claim.attempts == 0 and not claim.again else None
    return None if wait is None else now + wait


def _noted(reading: ExtractionResult, profile: Profile | None) -> ExtractionResult:
    """The document says which version it was read with, whatever the reader made of it: else it would be cleaned again for ever."""
    if reading.document is None or profile is None:
        return reading
    return replace(reading, document=replace(reading.document, profile_version=profile.version))


def _within_cap(reading: ExtractionResult) -> ExtractionResult:
    """The reading; `too_large` without a document where the document is longer than MAX_DOCUMENT_CHARACTERS."""
    characters = 0 if reading.document is None else count_characters(reading.document)
    if characters <= MAX_DOCUMENT_CHARACTERS:
        return reading
    cap = f"a document of {characters:,} characters; the cap is {MAX_DOCUMENT_CHARACTERS:,}"
    return replace(reading, ending=OutcomeRecord(Outcome.TOO_LARGE, cap), document=None)


def count_characters(document: Document) -> int:
    """Characters in the fields of a document that may be long."""
    texts = [document.title, document.description, document.text, *(block.text for block in document.blocks)]
    texts += [link.url for block in document.blocks if block.markup is not None for link in block.markup.links]
    texts += [update.text for update in document.live_updates]
    texts += [text for image in document.images for text in (image.url, image.caption, image.credit)]
    return sum(len(text) for text in texts if text is not None)


def is_batch_full(batch: Sequence[Result]) -> bool:
    """Whether these results are enough for one commit."""
    documents = [result.reading.document for result in batch if result.reading.document is not None]
    return len(batch) >= MAX_BATCH_PAGES or sum(map(count_characters, documents)) >= MAX_BATCH_CHARACTERS


def find_source(context: WorkerContext, name: str | None) -> Source | None:
    """The source's rules and language, asked for once a minute."""
    if name is None:
        return None
    now = context.clock()
    asked_at, source = context.sources.get(name, (None, None))
    if asked_at is None or abs(now - asked_at) > timedelta(seconds=MAX_SOURCE_AGE_SECONDS):
        source = context.ledger.source(name)
        context.sources[name] = now, source
    return source


def find_profile(context: WorkerContext, page: Page, seen: dict[str, ProfileVersion | None]) -> Profile | None:
    """What is known of the page's site, as it was laid out when the page was fetched."""
    site = get_profile_site(page.url)
    if context.profiles is None or not site:
        return None
    if site not in seen:
        seen[site] = context.profiles.valid_at(site, page.fetched_at)
    valid = seen[site]
    if valid is None:
        return None
    if (site, valid) not in context.known:
        if len(context.known) >= MAX_CACHED_PROFILES:
            context.known.clear()
        profile = context.profiles.get(site, valid.version)
        if profile is None:
            return None
        context.known[site, valid] = profile
    return context.known[site, valid]


def flush_batch(context: WorkerContext, segment_id: str, batch: list[Result]) -> None:
    """One commit for the pages read so far; the lease on the rest is renewed with it."""
    if batch:
        store_results(context, batch)
        batch.clear()
    else:
        context.ledger.renew_segment(segment_id, context.owner, seconds=context.lease, now=context.clock())


def store_results(context: WorkerContext, results: Sequence[Result]) -> None:
    """Store results in one commit, or in halves where one commit takes too long.

    A result that is slow by itself counts as one death of its page: it is tried again later, and quarantined after three.
    """
    try:
        context.ledger.store(results, now=context.clock(), owner=context.owner, seconds=context.lease)
    except SlowCommitError as error:
        first = results[0].claim
        if len(results) == 1:
            log.warning("%s is put off: %s", first.url, error)
            context.ledger.report_crash(first, "store", f"deadline: {error}", now=context.clock())
            return
        log.warning("segment %s: %s; they are stored in halves", first.segment, error)
        for half in (results[: len(results) // 2], results[len(results) // 2 :]):
            context.ledger.renew_segment(first.segment, context.owner, seconds=context.lease, now=context.clock())
            store_results(context, half)
