"""A small language for the store's tests: a site with pages, moved through the states by real calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, insert

from newsmill.extraction.document_identity import hash_text
from newsmill.model import (
    Author,
    AuthorType,
    Block,
    BlockType,
    ClaimedPage,
    Document,
    ExtractionResult,
    Image,
    LeasedUrl,
    Link,
    LiveUpdate,
    Outcome,
    OutcomeRecord,
    Page,
    Segment,
    Source,
)
from newsmill.storage.database import writing
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ended, Fetched, Ledger, Result
from newsmill.storage.schema import documents, ledger
from newsmill.text import urls

NewDatabase = Callable[..., str]  # () or (empty=True) → the URL of a fresh database
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOST = "paper.example"
SITE = f"https://{HOST}"
SOURCE = Source(name="paper", homepage=f"{SITE}/", feeds=(f"{SITE}/rss",), every=timedelta(minutes=15))
SEGMENT = "20261125T120000Z-00000001"


def after(**spans: float) -> datetime:
    return NOON + timedelta(**spans)


def links(count: int, site: str = SITE, source: str | None = "paper") -> list[Link]:
    return [Link(f"{site}/{number}", source=source, found_by="feed") for number in range(count)]


@dataclass
class Mill:
    """A ledger with one crawler and one worker on it. Each step takes everything there is to take."""

    ledger: Ledger
    now: datetime = NOON
    crawler: str = "crawler-1"
    worker: str = "worker-1"
    segments: int = 0
    leased_rows: list[LeasedUrl] = field(default_factory=list)

    def lease(self, host: str = HOST, limit: int = 100) -> list[LeasedUrl]:
        self.ledger.hosts.lease(self.crawler, limit=10, seconds=60, now=self.now)
        self.leased_rows = self.ledger.url_leases.lease(host, self.crawler, limit=limit, seconds=60, now=self.now)
        return self.leased_rows

    def save(self, rows: list[LeasedUrl] | None = None) -> str:
        """The rows, or all leased ones, as fetched pages of a new segment."""
        rows = self.leased_rows if rows is None else rows
        self.segments += 1
        segment = Segment(f"20261125T120000Z-{self.segments:08x}", len(rows), 1000, self.now)
        self.ledger.url_leases.save_segment(segment, [saved(row, number) for number, row in enumerate(rows)], now=self.now)
        return segment.id

    def claim(self, segment: str) -> list[ClaimedPage]:
        return self.ledger.claims.claim(segment, self.worker, seconds=60, now=self.now)

    def take_aside(self) -> ClaimedPage:
        """The next deferred page; there must be one."""
        claim = self.claim_deferred()
        assert claim is not None
        return claim

    def claim_deferred(self, worker: str | None = None) -> ClaimedPage | None:
        """The deferred page that was found first."""
        for owner in self.ledger.deferred.list_waiting(now=self.now):
            for claim in self.ledger.deferred.claim(owner, worker or self.worker, limit=1, seconds=60, now=self.now):
                return claim
        return None

    def fetch(self, *pages: Link) -> list[ClaimedPage]:
        """New links all the way into a worker's hands."""
        self.ledger.links.add(pages, now=self.now)
        self.lease()
        return self.claim(self.save())

    def store(self, *results: Result) -> dict[Outcome, int]:
        return self.ledger.results.store(results, now=self.now, owner=self.worker, seconds=60)


def saved(row: LeasedUrl, offset: int) -> Fetched:
    return Fetched(row.id, row.fence, offset, row.url, 200, etag=f'"{row.id}"')


def ended(row: LeasedUrl, outcome: Outcome, detail: str | None = None) -> Ended:
    return Ended(row.id, row.fence, OutcomeRecord(outcome, detail))


def good(claim: ClaimedPage, document: Document | None = None) -> Result:
    return Result(claim, ExtractionResult(OutcomeRecord(Outcome.STORED), document or document_of(claim.url)))


def bad(claim: ClaimedPage, outcome: Outcome, detail: str | None = None) -> Result:
    return Result(claim, ExtractionResult(OutcomeRecord(outcome, detail)))


def document_of(url: str, canonical: str | None = None, content: str | None = None, **fields: object) -> Document:
    """A document whose content hash is `content`, or that of its title and text."""
    made = replace(FULL, id=urls.make_key(canonical or url), url=url, requested_url=url, canonical_url=canonical, **fields)
    written = f"{made.title}\n\n{made.text}".encode(errors="replace").decode()  # a test may have surrogates
    return replace(made, content_hash=content or hash_text(written))


FULL = Document(
    id="0" * 32,
    url=f"{SITE}/full",
    requested_url=f"{SITE}/full?utm_source=x",
    canonical_url=f"{SITE}/full",
    source="paper",
    site_name="The Paper",
    title="Žluťoučký kůň 🐎",
    description="a \\ b 'c' \"d\" %s :name",
    text="First.\n\nSecond — “quoted”.\u200f",
    blocks=(Block(BlockType.HEADING, "First."), Block(BlockType.PARAGRAPH, "Second", path="body/p")),
    authors=(Author("Ann"), Author("Agency", AuthorType.ORGANISATION)),
    published_at=datetime(2026, 11, 24, 23, 59, 59, 123456, UTC),
    modified_at=None,
    first_seen_at=NOON,
    fetched_at=NOON + timedelta(seconds=1),
    published_source="json-ld",
    published_precision="second",
    language="cs",
    section="Sport",
    tags=("one", "two"),
    image=f"{SITE}/i.jpg",
    images=(Image(f"{SITE}/i.jpg", caption="c", credit=None),),
    article_type="NewsArticle",
    live_updates=(LiveUpdate("text", title=None, at=NOON), LiveUpdate("more")),
    is_free=False,
    is_free_reason="isAccessibleForFree",
    license=None,
    rights={"robots": "noarchive", "tdm": "1"},
    word_count=2,
    extractor="trafilatura 2.3.1",
    profile_version=None,
    confidence=0.1,
    warnings=("odd",),
    content_hash="hash",
    provenance={"title": "json-ld"},
    archive_ref=f"{SEGMENT}@0",
)


def insert_documents(engine: Engine, *found: Document) -> None:
    """Documents written without the program that indexes them, as a person in a database shell does."""
    with writing(engine) as conn:
        page = {"url_key": "k", "url": "u", "host": "h", "kind": "page", "found_by": "feed", "state": "done"}
        number = conn.execute(insert(ledger).values(**page, first_seen_at=NOON, next_at=NOON)).inserted_primary_key[0]
        conn.execute(insert(documents), [{**to_row(document), "ledger_id": number, "stored_at": NOON} for document in found])


def insert_pages(engine: Engine, *found: Document) -> None:
    """The same, each document with a page of its own."""
    page = {"host": "h", "kind": "page", "found_by": "feed", "state": "done", "first_seen_at": NOON, "next_at": NOON}
    with writing(engine) as conn:
        for document in found:
            values = {**page, "url_key": document.id, "url": document.url}
            number = conn.execute(insert(ledger).values(**values)).inserted_primary_key[0]
            conn.execute(insert(documents).values({**to_row(document), "ledger_id": number, "stored_at": document.fetched_at}))


def page_of(url: str, body: bytes = b"<html>", **fields: object) -> Page:
    page = Page(url, url, NOON, 200, (("Content-Type", "text/html"),), body)
    return replace(page, **fields)
