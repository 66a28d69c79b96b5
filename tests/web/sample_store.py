"""A filled store: the newspaper and extreme pages, processed by archive, ledger, sandbox and worker; and documents for the charts.

The clock stops at NOON, so that screenshots differ only where the pages differ.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from newspaper_site.article import read_articles
from rows import document_of
from sample_pages import ENGLISH, NOON, PAYLOADS, earlier_version, extremes, page_at
from sqlalchemy import delete, select, update

from newsmill import demo
from newsmill.context import AppContext, build_context
from newsmill.extraction.verdict import make_reason
from newsmill.intake.reextraction_pass import make_diff
from newsmill.model import (
    Block,
    BlockType,
    ExtractionResult,
    Judgement,
    Kind,
    LeasedUrl,
    Link,
    Outcome,
    OutcomeRecord,
    Page,
    PassOptions,
    Rules,
    Segment,
    Source,
    Verdict,
)
from newsmill.notifications.alerts import AlertSender
from newsmill.sandbox.pages import Sandbox
from newsmill.storage import copy_groups, database, schema_version, story_decisions
from newsmill.storage.alert_schedule import make_schedule
from newsmill.storage.alerts import Alerts, Channel
from newsmill.storage.changes import Changes
from newsmill.storage.database import writing
from newsmill.storage.ledger import Ended, Fetched, Result
from newsmill.storage.processes import Heartbeat
from newsmill.storage.reextractions import Reextraction, Reextractions
from newsmill.storage.saved_searches import ANYONE, SavedSearch, SavedSearches
from newsmill.storage.schema import copies_due, documents, saved_searches
from newsmill.text import urls
from newsmill.text.sentences import Sentence
from newsmill.web.alert_messages import AlertMessages
from workers import jobs, site_learning
from workers.process import WorkerContext

PAPER = "aunebote.example"
SEARCH_ID = "5a7ed5ea4c400001"
SOURCES = (
    Source("aunebote", homepage=f"http://{PAPER}/", language="de", expect={"documents_per_day": 5}),
    Source("extremes", homepage="https://extremes.example/"),
    Source("hafenkurier", homepage="https://hafenkurier.example/", language="de", every=timedelta(hours=1)),
    Source("valley-gazette", homepage="https://gazette.example/", rules=Rules(drop_css=("aside.related",), drop_lines=("Read more.*",))),
    Source("le-canal", homepage="https://canal.example/", language="fr"),
    Source("nordlicht", homepage="https://nordlicht.example/", every=None, cron="*/20 6-22 * * *"),
    Source("el-puente", homepage="https://puente.example/", language="es"),
    Source("sunrise-weekly-with-a-name-that-somebody-made-far-too-long-for-any-table", homepage="https://sunrise.example/", enabled=False),
)
HEADLINES = {
    "en": (
        "Ferry to run through the winter after all",
        "School kitchen reopens with its own bakery",
        "Rowers take the league for the third time",
        "Library to open on Sundays from January",
        "Flood wall: work starts in February",
        "Night buses reach the western villages",
    ),
    "de": ("Fähre fährt auch im Winter", "Schulküche backt wieder selbst", "Bibliothek öffnet am Sonntag", "Nachtbusse bis in die Dörfer"),
    "fr": ("Le bac circulera tout l'hiver", "La cantine rouvre avec sa boulangerie", "La bibliothèque ouvrira le dimanche"),
    "es": ("El transbordador funcionará todo el invierno", "La biblioteca abrirá los domingos", "Autobuses nocturnos a los pueblos"),
}


@dataclass
class SampleStore:
    """The filled store. `now` moves while it is filled, and stops at NOON."""

    folder: Path
    context: AppContext
    now: datetime = NOON - timedelta(days=14)

    def id_of(self, title: str) -> str:
        """The ID of the document whose title starts with `title`."""
        return next(document.id for document in self.context.documents.iterate() if (document.title or "").startswith(title))


@contextmanager
def open_sample_store(folder: Path) -> Iterator[SampleStore]:
    """Open the store in `folder`; fill it if it is new."""
    is_new = not (folder / "newsmill.sqlite").exists()
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    world = SampleStore(folder, build_context(engine, str(folder / "archive"), queue_depth=lambda: 3))
    world.context = replace(world.context, now=lambda: world.now)
    try:
        if is_new:
            schema_version.upgrade(engine)
            fill(world)
        world.now = NOON
        yield world
    finally:
        engine.dispose()


def fill(world: SampleStore) -> None:
    for source in SOURCES:
        world.context.ledger.sources.put(source, now=world.now)
    search = save_search(world)
    fill_numbers(world)
    with Sandbox() as sandbox:
        process_pages(world, sandbox, "aunebote", newspaper())
        process_pages(world, sandbox, "extremes", [earlier_version()])
        process_pages(world, sandbox, "extremes", extremes())
    fill_failures(world)
    fill_story(world)
    world.context.ledger.sources.tick(
        now=NOON - timedelta(minutes=5), next_tick=lambda source, at: at + (source.every or timedelta(minutes=20))
    )
    world.now = NOON
    fill_alerts(world, search)
    fill_reextraction(world)
    for role in ("crawler", "worker", "worker", "scheduler"):
        Heartbeat(world.context.engine, role=role).beat(NOON - timedelta(seconds=4))


# ---- a saved search ------------------------------------------------------------------------------------------------------------


def save_search(world: SampleStore) -> SavedSearch:
    """A saved search whose page has a URL that does not change."""
    engine = world.context.engine
    search = SavedSearches(engine).add(ANYONE, "Ferries and the council of a town with a long name", "ferry council", now=world.now)
    with writing(engine) as conn:
        conn.execute(update(saved_searches).values(id=SEARCH_ID))
    return replace(search, id=SEARCH_ID)


def fill_alerts(world: SampleStore, search: SavedSearch) -> None:
    """The matches of the search, and an alert of each kind and state."""
    context, alerts = world.context, Alerts(world.context.engine)
    schedules = (make_schedule("at_once"), make_schedule("weekly", 8, 0, "Europe/Berlin"), make_schedule("daily", 18))
    targets = (
        (Channel.WEBHOOK, "https://reader.example/hook"),
        (Channel.EMAIL, "ann@example.org"),
        (Channel.APPRISE, "tgram://1:secret/2"),
    )
    _, _, paused = (
        alerts.add(search, channel, target, schedule, now=NOON) for (channel, target), schedule in zip(targets, schedules, strict=True)
    )
    end = Changes(context.engine).end()
    AlertSender(context, AlertMessages(context)).match(end, NOON)
    alerts.begin_due(end, now=NOON)
    for message in alerts.outbox.claim_due(now=NOON, limit=9):
        alerts.outbox.mark_failed(message, f"the receiver answered 500 {PAYLOADS[0]}", now=NOON)
    alerts.pause(paused.id)


def fill_reextraction(world: SampleStore) -> None:
    """A dry run with a better and a worse text."""
    reextractions = Reextractions(world.context.engine)
    current = reextractions.begin(PassOptions(where=("extractor<9.9",), is_dry_run=True), now=NOON)
    results = []
    for judgement, found in zip((Judgement.BETTER, Judgement.WORSE), next(reextractions.iterate(current, 2)), strict=True):
        before, verdict = found.document, Verdict(judgement, 0.1, (make_reason("text added", 1234),))
        after = replace(before, text=f"{before.text} {PAYLOADS[0]}", content_hash="0" * 32)
        results.append(Reextraction(before, after, verdict, 1, 1234, make_diff(before, after)))
    reextractions.record(current, results, now=NOON)


# ---- numbers -------------------------------------------------------------------------------------------------------------------


def fill_numbers(world: SampleStore) -> None:
    """Documents without an archived page: some each day for two weeks, some each hour for two days."""
    for number, source in enumerate(SOURCES[2:], 1):
        for back in range(13, 1, -1):
            store(world, source, NOON - timedelta(days=back), 2 + (back * number) % 9 if source.enabled else 1)
    for back in range(46, -1, -1):
        at = NOON - timedelta(hours=back)
        if 5 <= at.hour <= 21:
            for number, source in enumerate(SOURCES[2:], 1):
                busy = 5 if 7 <= at.hour <= 18 else 3
                store(world, source, at, (back * number + at.hour) % busy if source.enabled else back % 9 // 8)


def store(world: SampleStore, source: Source, at: datetime, count: int) -> None:
    """Documents of a source, found and stored at that time; every seventh URL has another outcome."""
    home = str(source.homepage)
    claims = claim_new(world, [Link(f"{home}{at:%m%d%H}/{number}", source=source.name, found_by="feed") for number in range(count)], at)
    results = []
    for claim in claims:
        language = source.language or "en"
        title = HEADLINES[language][claim.id % len(HEADLINES[language])]
        blocks = (Block(BlockType.PARAGRAPH, ENGLISH), Block(BlockType.PARAGRAPH, f"The vote was {claim.id} to 11."))
        document = replace(
            document_of(claim.url, content=claim.url, title=title, description=ENGLISH[:125], language=language, section="Town"),
            source=source.name,
            text="\n\n".join(block.text for block in blocks),
            blocks=blocks,
            word_count=52,
            confidence=0.0 if claim.id % 17 == 0 else 1.0,
            first_seen_at=at,
            fetched_at=at,
            published_at=at,
            archive_ref=None,
        )
        odd = [Outcome.DUPLICATE, Outcome.NOT_ARTICLE, Outcome.PAYWALL, Outcome.TIMEOUT][claim.id % 4]
        results.append(
            Result(
                claim,
                ExtractionResult(OutcomeRecord(odd, "made for the test"))
                if claim.id % 7 == 0
                else ExtractionResult(OutcomeRecord(Outcome.STORED), document),
            )
        )
    if results:
        world.context.ledger.results.store(results, now=at, owner="worker", seconds=60)


def claim_new(world: SampleStore, links: Sequence[Link], at: datetime) -> list:  # type: ignore[type-arg]  # of Claim
    """Add links without an archived page, and claim them as a worker."""
    leased = lease_new(world, links, at)
    if not leased:
        return []
    segment = Segment(f"{at:%Y%m%dT%H%M%SZ}-{leased[0].id:08x}", len(leased), 20_000 * len(leased), at)
    rows = [Fetched(row.id, row.fence, number, row.url, 200) for number, row in enumerate(leased)]
    world.context.ledger.url_leases.save_segment(segment, rows, now=at)
    return world.context.ledger.claims.claim(segment.id, "worker", seconds=60, now=at)


def lease_new(world: SampleStore, links: Sequence[Link], at: datetime, *, again: bool = False) -> list[LeasedUrl]:
    """Add links, and lease them as the crawler. `again`: also those that were fetched."""
    if not links:
        return []
    ledger, host = world.context.ledger, urls.get_host(links[0].url)
    ledger.links.add(links, now=at, again=again)
    ledger.hosts.lease_one(host, "crawler", seconds=60, now=at)
    wanted = {urls.normalize(link.url) for link in links}
    leased = ledger.url_leases.lease(host, "crawler", limit=1000, seconds=60, now=at)
    ledger.url_leases.release([row for row in leased if row.url not in wanted], now=at)
    ledger.hosts.release(host, "crawler", now=at)
    return [row for row in leased if row.url in wanted]


# ---- pages ---------------------------------------------------------------------------------------------------------------------


def newspaper() -> list[Page]:
    """Every article of the newspaper, fetched over HTTP under another host name."""
    with demo.serve() as paper:
        return [fetch(paper.url, article.url) for article in read_articles()]


def fetch(server: str, path: str) -> Page:
    request = urllib.request.Request(server + path, headers={"Host": PAPER})
    with urllib.request.urlopen(request) as answer:
        return page_at(f"http://{PAPER}{path}", answer.read(), tuple(answer.headers.items()))


def process_pages(
    world: SampleStore, sandbox: Sandbox, source: str, pages: Sequence[Page], at: datetime = NOON - timedelta(minutes=70)
) -> None:
    """Process archived pages at a time (ledger, archive, worker), then learn the site."""
    world.now = at
    links = [Link(page.url, source=source, found_by="section") for page in pages]
    leased = {row.url: row for row in lease_new(world, links, at, again=True)}
    found = [replace(page, source=source, fetched_at=at) for page in pages if urls.normalize(page.url) in leased]
    assert len(found) == len(pages), "every page has a URL of its own"
    segment = world.context.archive.write(found, now=at)
    rows = [(leased[urls.normalize(page.url)], offset) for page, offset in zip(found, segment.offsets, strict=True)]
    world.context.ledger.url_leases.save_segment(
        segment, [Fetched(row.id, row.fence, offset, row.url, 200) for row, offset in rows], now=at
    )
    context = WorkerContext(replace(world.context, now=lambda: at), sandbox, "worker")
    jobs.extract_claimed_pages(context, segment.id)
    while waiting := context.app.ledger.deferred.list_waiting(now=at):  # a long page, on a busy machine
        jobs.read_deferred(context, context.app.ledger.deferred.claim(waiting[0], "worker", limit=16, seconds=60, now=at))
    site = urlsplit(pages[0].url).netloc
    never: Callable[[], bool] = lambda: False  # noqa: E731
    site_learning.learn_site(world.context.profiles, world.context.archive, sandbox.read, site, now=at, stopping=never)


def fill_story(world: SampleStore) -> None:
    """A story of extreme pages. The copies of the other documents are not decided, so that searches show each of them."""
    engine = world.context.engine
    with writing(engine) as conn:
        extreme = select(documents.c.ledger_id).where(documents.c.source == "extremes")
        conn.execute(delete(copies_due).where(copies_due.c.ledger_id.not_in(extreme)))
    copy_groups.catch_up(engine)
    story_decisions.catch_up(engine, now=world.now)


# ---- failures ------------------------------------------------------------------------------------------------------------------


def fill_failures(world: SampleStore) -> None:
    """Failed URLs, quarantined pages, and URLs being fetched."""
    ledger, at = world.context.ledger, NOON - timedelta(minutes=30)
    failures = {
        Outcome.TIMEOUT: Sentence("no answer within {n:.0f} s", n=30),
        Outcome.HTTP_ERROR: Sentence("HTTP {status}", status=503),
        Outcome.TLS: Sentence("the certificate has expired"),
        Outcome.GONE: Sentence("HTTP {status}", status=404),
    }
    links = [Link(f"https://gazette.example/wrong/{number}", source="valley-gazette", found_by="section") for number in range(8)]
    rows = lease_new(world, links, at)
    ledger.url_endings.end(
        [Ended(row.id, row.fence, OutcomeRecord(*list(failures.items())[number % 4])) for number, row in enumerate(rows)], now=at
    )
    bad_feed = lease_new(world, [Link("https://canal.example/rss", Kind.FEED, "le-canal", "homepage")], at)
    ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.BAD_LISTING, PAYLOADS[0])) for row in bad_feed], now=at)
    for attempt in range(3):
        moment = at + timedelta(minutes=5 * attempt)
        if attempt == 0:
            poison_links = [Link(f"https://nordlicht.example/poison/{number}?{PAYLOADS[1]}", source="nordlicht") for number in range(3)]
            claims = claim_new(world, poison_links, moment)
        else:
            (waiting,) = ledger.deferred.list_waiting(now=moment)
            claims = ledger.deferred.claim(waiting, "worker", limit=len(poison_links), seconds=60, now=moment)
        for claim in claims:
            ledger.claims.mark_in_progress(claim, now=moment)
            ledger.claims.report_crash(claim, "read", Sentence("signal {n} ({name})", n=11, name="SIGSEGV"), now=moment)
    fetching = [Link(f"https://puente.example/now/{number}", source="el-puente", found_by="feed") for number in range(4)]
    ledger.links.add(fetching, now=NOON)
    ledger.hosts.lease("crawler", limit=20, seconds=600, now=NOON)
    for name in ("puente.example", "canal.example"):
        ledger.url_leases.lease(name, "crawler", limit=4, seconds=600, now=NOON)
