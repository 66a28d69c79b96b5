"""Pages and items from outside the crawler: stored once, whatever the row's state is, and whenever the submitting process is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from workers_world import WorkersWorld

from newsmill.archive.archive import MAX_SEGMENT_PAGES, Archive
from newsmill.context import build_context
from newsmill.intake.page_submission import make_enqueue, make_item_page, store_pages
from newsmill.intake.reextract import explain
from newsmill.model import ArticleItem, Kind, Link, Outcome, OutcomeRecord, Page, PageReceipt, PageStatus, Segment, Source, State
from newsmill.settings import load
from newsmill.storage import database
from newsmill.storage.ledger import Ended, Fetched, Ledger, Result
from newsmill.storage.ledger.submitted_pages import SubmittedPages
from workers.jobs import extract_claimed_pages, read_archived_pages
from workers.page_reading import extract_page
from workers.process import WorkerContext

URL = "https://paper.example/2026/council"
KILLED_AT = ("archive", "ledger", "queue")


def article(topic: str = "council") -> bytes:
    sentence = f"The {topic} decided on Tuesday after a long debate that the bridge over the river is built again next year."
    paragraphs = "".join(f"<p>{number}. {sentence} It costs {number} million.</p>" for number in range(1, 9))
    return f"<html><head><title>The {topic} decides</title></head><body><article><h1>The {topic} decides</h1>{paragraphs}".encode()


def page(url: str = URL, body: bytes | None = None, **fields: Any) -> Page:
    headers = (("Content-Type", "text/html; charset=utf-8"), ("ETag", '"1"'))
    return replace(Page(url, url, datetime.now(UTC), 200, headers, article() if body is None else body), **fields)


def submit(world: WorkersWorld, *pages: Page) -> list[PageStatus]:
    return [receipt.status for receipt in store(world, *pages)]


def store(world: WorkersWorld, *pages: Page) -> tuple[PageReceipt, ...]:
    return store_pages(world.app, make_enqueue(world.app.settings), pages, "spider")


def extract_pending(context: WorkerContext) -> None:
    for segment in context.app.ledger.segments.list_pending(now=context.app.now(), limit=100):
        extract_claimed_pages(context, segment)


def found(world: WorkersWorld) -> int:
    """How many rows were inserted, from the counters."""
    return world.ledger.progress.count().pages


def test_a_page_becomes_a_document(world: WorkersWorld, context: WorkerContext) -> None:
    assert store(world, page(source="paper")) == (PageReceipt(URL, PageStatus.QUEUED),)
    assert world.queue.depth() == 1
    extract_pending(context)
    (document,) = world.documents.iterate()
    trace = world.ledger.traces.get(URL)
    assert trace is not None
    assert (document.title, document.source, document.revision) == ("The council decides", "paper", 1)
    assert (trace.outcome, trace.found_by, trace.source, trace.document_id) == (Outcome.STORED, "spider", "paper", document.id)
    assert found(world) == 1


def test_the_same_page_again_changes_nothing(world: WorkersWorld, context: WorkerContext) -> None:
    assert submit(world, page()) == [PageStatus.QUEUED]
    assert submit(world, page()) == [PageStatus.KNOWN]
    extract_pending(context)
    assert submit(world, page(f"{URL}/?utm_source=x")) == [PageStatus.KNOWN]
    assert len(world.segment_files()) == 1
    assert world.outcomes() == {"stored": 1}
    assert world.queue.depth() == 1


def test_another_body_is_another_fetch(world: WorkersWorld, context: WorkerContext) -> None:
    for body, outcome, revision in ((article(), "stored", 1), (article() + b"<!-- 2 -->", "unchanged", 1), (article("mayor"), "stored", 2)):
        assert submit(world, page(body=body)) == [PageStatus.QUEUED]
        extract_pending(context)
        assert world.outcomes() == {outcome: 1}
        assert [document.revision for document in world.documents.iterate()] == [revision]
    assert found(world) == 1


def test_many_pages_are_split_into_segments(world: WorkersWorld, context: WorkerContext) -> None:
    pages = [page(f"{URL}/{number}", article(f"council of {number}")) for number in range(MAX_SEGMENT_PAGES + 8)]
    assert set(submit(world, *pages, *pages)) == {PageStatus.QUEUED}
    assert len(world.segment_files()) == 2
    extract_pending(context)
    assert world.outcomes() == {"stored": len(pages)}
    assert found(world) == len(pages)


def test_of_two_pages_of_one_url_the_last_is_stored(world: WorkersWorld, context: WorkerContext) -> None:
    assert submit(world, page(), page(body=article("mayor"))) == [PageStatus.QUEUED, PageStatus.QUEUED]
    extract_pending(context)
    assert [document.title for document in world.documents.iterate()] == ["The mayor decides"]


def test_the_same_pages_from_several_programs_at_once_are_stored_once(world: WorkersWorld, context: WorkerContext) -> None:
    pages = [page(f"{URL}/{number}", article(f"council of {number}")) for number in range(40)]
    links = [Link(one.url, found_by="feed") for one in pages]
    barrier = threading.Barrier(4)

    def submit_all(number: int) -> set[PageStatus]:
        barrier.wait()
        world.ledger.links.add(random.Random(number).sample(links, 20), now=context.app.now())
        return set(submit(world, *random.Random(number).sample(pages, len(pages))))

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(submit_all, range(4)))
    assert set().union(*statuses) <= {PageStatus.QUEUED, PageStatus.KNOWN}
    extract_pending(context)
    assert world.outcomes() == {"stored": 40}
    assert world.stored() == {one.url: 1 for one in pages}
    assert found(world) == 40


# ---- rows that exist


def lease(ledger: Ledger, now: datetime) -> Any:
    ledger.hosts.lease_one("paper.example", "crawler", seconds=60, now=now)
    (row,) = ledger.url_leases.lease("paper.example", "crawler", limit=1, seconds=60, now=now)
    return row


def test_a_due_row_is_taken_over(world: WorkersWorld, context: WorkerContext) -> None:
    world.ledger.links.add([Link(URL, source="paper", found_by="feed")], now=context.app.now())
    assert submit(world, page()) == [PageStatus.QUEUED]
    extract_pending(context)
    trace = world.ledger.traces.get(URL)
    assert trace is not None
    assert (trace.outcome, trace.found_by, trace.source) == (Outcome.STORED, "feed", "paper")
    assert found(world) == 1


def test_a_crawler_that_fetches_the_row_loses_it(world: WorkersWorld, context: WorkerContext) -> None:
    now = context.app.now()
    world.ledger.links.add([Link(URL)], now=now)
    row = lease(world.ledger, now)
    assert submit(world, page()) == [PageStatus.QUEUED]
    late = world.archive.write([page(body=article("mayor"))], now=now)
    assert world.ledger.url_leases.save_segment(late, [Fetched(row.id, row.fence, late.offsets[0], URL, 200)], now=now) == 0
    assert world.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.GONE))], now=now) == 0
    extract_pending(context)
    assert [document.title for document in world.documents.iterate()] == ["The council decides"]
    assert world.outcomes() == {"stored": 1}


def test_a_worker_that_extracts_an_older_page_loses_it(world: WorkersWorld, context: WorkerContext) -> None:
    submit(world, page(body=article("mayor")))
    now = context.app.now()
    (segment,) = world.ledger.segments.list_pending(now=now, limit=1)
    (claim,) = world.ledger.claims.claim(segment, "worker-0", seconds=60, now=now)
    ((_, old),) = read_archived_pages(world.app, segment, [claim])
    (late,) = extract_page(context, claim, old)
    assert isinstance(late, Result)
    assert submit(world, page()) == [PageStatus.QUEUED]
    assert world.ledger.results.store([late], now=now, owner="worker-0", seconds=60) == {}
    extract_pending(context)
    assert [document.title for document in world.documents.iterate()] == ["The council decides"]
    assert world.outcomes() == {"stored": 1}


def test_an_ended_row_is_taken_over_and_its_outcome_no_longer_counts(world: WorkersWorld, context: WorkerContext) -> None:
    now = context.app.now()
    world.ledger.links.add([Link(URL)], now=now)
    row = lease(world.ledger, now)
    world.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.ROBOTS_DISALLOWED))], now=now)
    assert world.outcomes() == {"robots_disallowed": 1}
    assert submit(world, page()) == [PageStatus.QUEUED]
    assert world.outcomes() == {}
    extract_pending(context)
    assert world.outcomes() == {"stored": 1}


def test_a_row_that_is_to_be_fetched_again_takes_the_same_page(world: WorkersWorld, context: WorkerContext) -> None:
    submit(world, page())
    extract_pending(context)
    assert world.ledger.retries.retry(now=context.app.now(), urls=[URL], refetch=True) == 1
    assert submit(world, page()) == [PageStatus.QUEUED]
    extract_pending(context)
    assert world.outcomes() == {"unchanged": 1}


def test_a_blocked_page_is_not_fetched_by_newsmill(world: WorkersWorld, context: WorkerContext) -> None:
    wall = b"<html><head><title>Just a moment...</title></head><body><script src='/cdn-cgi/challenge-platform/x'></script>"
    submit(world, page(body=wall))
    extract_pending(context)
    trace = world.ledger.traces.get(URL)
    assert trace is not None
    assert trace.state is not State.DUE


def test_a_listing_is_rejected(world: WorkersWorld, context: WorkerContext) -> None:
    world.ledger.sources.put(Source(name="paper", feeds=(URL,)), now=context.app.now())
    (receipt,) = store(world, page())
    assert (receipt.status, receipt.reason) == (PageStatus.REJECTED, "the URL is known as a feed; Newsmill reads it itself")
    assert world.segment_files() == []
    assert world.outcomes() == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"requested_url": "ftp://paper.example/"}, "bad_url"),
        ({"url": "not a URL"}, "bad_url"),
        ({"body": b"x" * (10 * 2**20 + 1)}, "the body has 10,485,761 bytes"),
        ({"headers": (("X", "1"),) * 501}, "the headers have over 500 lines"),
        ({"headers": (("X", "1" * 64_000),)}, "64,000 characters"),
    ],
)
def test_pages_that_no_server_of_news_sends_are_rejected(world: WorkersWorld, fields: Mapping[str, Any], reason: str) -> None:
    rejected, queued = store(world, replace(page(f"{URL}/bad"), **fields), page())
    assert (rejected.status, queued.status) == (PageStatus.REJECTED, PageStatus.QUEUED)
    assert reason in (rejected.reason or "")


# ---- items


ITEM = ArticleItem(
    URL,
    "  The council\ndecides ",
    "The council decided on Tuesday.\n\nThe bridge is built again\x00 next year.",
    authors=("Ann Author", "Reuters"),
    published_at=datetime(2026, 11, 25, 0, 30, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin")),
    tags=("bridge", "bridge"),
    canonical_url="https://other.example/",
    image="/i.jpg",
    language="en-gb",
)


def test_an_item_becomes_a_document_with_its_fields(world: WorkersWorld, context: WorkerContext) -> None:
    item_page = make_item_page(ITEM, fetched_at=context.app.now(), source="paper")
    assert submit(world, item_page) == [PageStatus.QUEUED]
    assert submit(world, item_page) == [PageStatus.KNOWN]
    extract_pending(context)
    (document,) = world.documents.iterate()
    assert (document.title, document.text) == (
        "The council decides",
        "The council decided on Tuesday.\n\nThe bridge is built again next year.",
    )
    assert [(author.name, str(author.type)) for author in document.authors] == [("Ann Author", "person"), ("Reuters", "organisation")]
    assert (document.published_at, document.published_day) == (ITEM.published_at, "2026-11-25")
    assert (document.language, document.tags, document.image, document.canonical_url) == (
        "en-GB",
        ("bridge",),
        "https://paper.example/i.jpg",
        None,
    )
    assert document.provenance == dict.fromkeys(("title", "authors", "published_at", "language", "tags", "image"), "spider")
    assert (document.extractor, document.word_count, [block.text for block in document.blocks]) == (
        "spider",
        12,
        document.text.split("\n\n"),
    )
    assert world.app.profiles.count("paper.example", None) == 0


def test_an_item_is_extracted_again_from_the_archive(world: WorkersWorld, context: WorkerContext) -> None:
    submit(world, make_item_page(ITEM, fetched_at=context.app.now()))
    extract_pending(context)
    assert world.ledger.retries.retry(now=context.app.now(), outcome=Outcome.STORED) == 1
    extract_pending(context)
    assert world.outcomes() == {"stored": 1}
    trace = world.ledger.traces.get(URL)
    assert trace is not None
    result = explain(world.ledger, world.archive, world.app.profiles, trace)
    (document,) = world.documents.iterate()
    assert result.document is not None
    assert result.document.text == document.text


def test_an_item_without_text_has_an_outcome(world: WorkersWorld, context: WorkerContext) -> None:
    submit(world, make_item_page(replace(ITEM, text=" \u200b"), fetched_at=context.app.now()))
    extract_pending(context)
    assert world.outcomes() == {"no_text": 1}


def test_a_server_cannot_send_an_item(world: WorkersWorld, context: WorkerContext) -> None:
    """The body of an item, sent by a server as JSON, is not HTML."""
    body = make_item_page(ITEM, fetched_at=context.app.now()).body
    submit(world, page(body=body, headers=(("Content-Type", "application/json"),)))
    extract_pending(context)
    assert world.outcomes() == {"not_html": 1}


# ---- kills


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KilledArchive(Archive):
    """An archive whose process is killed when a segment is on disk."""

    def write(self, pages: Sequence[Page], *, now: datetime) -> Segment:
        super().write(pages, now=now)
        kill_this_process()
        raise AssertionError


class KilledPages(SubmittedPages):
    """Submitted pages whose process is killed after the commit."""

    def save(self, *args: Any, **values: Any) -> set[str]:
        super().save(*args, **values)
        kill_this_process()
        raise AssertionError


def submit_and_die(environ: Mapping[str, str], killed_at: str, pages: Sequence[Page]) -> None:
    """Submit pages in a process that is killed after one step."""
    engine = database.connect(environ["DATABASE_URL"])
    app = build_context(engine, environ["ARCHIVE_URL"], settings=load(environ))
    if killed_at == "archive":
        app = replace(app, archive=KilledArchive(environ["ARCHIVE_URL"]))
    if killed_at == "ledger":
        app.ledger.submitted_pages = KilledPages(engine)
    enqueue: Callable[[str], bool] = (lambda _: bool(kill_this_process())) if killed_at == "queue" else make_enqueue(app.settings)
    store_pages(app, enqueue, pages, "spider")


@pytest.mark.parametrize("killed_at", KILLED_AT)
def test_a_kill_at_any_step_loses_and_doubles_nothing(world: WorkersWorld, context: WorkerContext, killed_at: str) -> None:
    now = context.app.now()
    world.ledger.links.add([Link(f"{URL}/1", found_by="feed")], now=now)
    pages = [page(f"{URL}/{number}", article(f"council of {number}")) for number in range(3)]
    pages.append(make_item_page(replace(ITEM, url=f"{URL}/item"), fetched_at=now))
    process = multiprocessing.get_context("spawn").Process(target=submit_and_die, args=(world.environ, killed_at, pages))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    expected = PageStatus.QUEUED if killed_at == "archive" else PageStatus.KNOWN
    assert set(submit(world, *pages)) == {expected}
    extract_pending(context)
    assert set(submit(world, *pages)) == {PageStatus.KNOWN}
    assert world.outcomes() == {"stored": 4}
    assert world.stored() == {page.url: 1 for page in pages}
    assert [document.revision for document in world.documents.iterate()] == [1] * 4
    assert found(world) == 4
    orphans = world.archive.find_orphans(world.ledger.segments.filter_known, older_than=datetime.now(UTC) + timedelta(minutes=1))
    assert len(orphans) == (killed_at == "archive")
    assert [row for row in world.ledger.traces.list_all() if row.kind is not Kind.PAGE] == []
