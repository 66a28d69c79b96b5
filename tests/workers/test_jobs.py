"""The job, run in this process: what it stores, what it does with poison, and why a second run is harmless."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from rows import FULL
from sqlalchemy import Connection
from works import Works

from newsmill.model import Block, BlockType, Markup, Outcome, Page, Rules, Source, State, TextLink
from newsmill.sandbox.parent import Limits, Sandbox
from newsmill.storage.ledger import Result, ledger
from workers.jobs import (
    MAX_BATCH_CHARACTERS,
    MAX_DOCUMENT_CHARACTERS,
    SegmentState,
    WorkerContext,
    count_characters,
    extract_claimed_pages,
    extract_page,
    read_archived_pages,
    retry_deferred_page,
)


class Clock:
    """Real time, plus what the test lets pass."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def skip(self, **time: float) -> None:
        self.ahead += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(wall=1.0), "poison:obey") as box:
        box.start()
        yield box


@pytest.fixture
def context(works: Works, sandbox: Sandbox, clock: Clock) -> WorkerContext:
    return WorkerContext(works.ledger, works.archive, sandbox, "worker-1", clock=clock)


def articles(count: int) -> list[str]:
    return [f"article text {number}" for number in range(count)]


def test_every_page_is_stored_once(works: Works, context: WorkerContext) -> None:
    extract_claimed_pages(context, works.fetch(articles(20)))
    assert works.outcomes() == {"stored": 20}
    assert set(works.stored().values()) == {1}
    assert len(works.stored()) == 20


def test_a_second_run_changes_nothing(works: Works, context: WorkerContext) -> None:
    segment = works.fetch(articles(3))
    for _ in range(5):
        extract_claimed_pages(context, segment)
    assert works.outcomes() == {"stored": 3}
    assert all(document.revision == 1 for document in works.documents.iterate())


def test_a_blocked_page_is_fetched_once_more(works: Works, context: WorkerContext, clock: Clock) -> None:
    wall = {"https://news.example/wall": "blocked by a filter"}
    extract_claimed_pages(context, works.fetch_all({**wall, "https://news.example/good": "article text"}))
    assert works.outcomes() == {"stored": 1}
    trace = works.ledger.trace("https://news.example/wall")
    assert trace is not None
    assert (trace.state, trace.attempts, trace.detail) == (State.DUE, 1, "blocked: by a filter")
    assert timedelta(seconds=50) < trace.next_at - clock() <= timedelta(minutes=1)
    clock.skip(minutes=2)
    extract_claimed_pages(context, works.fetch_all(wall, now=clock()))
    assert works.outcomes() == {"stored": 1, "blocked": 1}


def test_a_blocked_page_read_again_from_the_archive_needs_no_network(works: Works, context: WorkerContext) -> None:
    segment = works.fetch(["once-blocked text"])
    (claim,) = works.ledger.claim_segment(segment, "worker-1", seconds=60, now=context.clock())
    ((_, page),) = read_archived_pages(works.archive, segment, [claim])
    assert isinstance(page, Page)
    wall = replace(page, body=b"blocked by a filter")
    (first,) = extract_page(context, claim, wall)
    (again,) = extract_page(context, replace(claim, again=True), wall)
    assert first.retry_at is not None
    assert again.retry_at is None


def test_a_run_beside_itself_changes_nothing(works: Works, context: WorkerContext, clock: Clock) -> None:
    """The first worker was away longer than its lease; another did the work; the first one's late outcomes meet a higher fence."""
    segment = works.fetch(articles(3))
    late = works.ledger.claim_segment(segment, "worker-0", seconds=1, now=clock())
    clock.skip(seconds=2)
    extract_claimed_pages(context, segment)
    assert not works.ledger.mark_in_progress(late[0], now=clock())
    assert works.outcomes() == {"stored": 3}


def test_a_job_for_an_unknown_segment_changes_nothing(works: Works, context: WorkerContext) -> None:
    segment = works.fetch(articles(2))
    before = list(works.ledger.traces())
    extract_claimed_pages(context, "20261125T131500Z-00000000")
    assert (list(works.ledger.traces()), works.outcomes(), works.stored()) == (before, {}, {})
    extract_claimed_pages(context, segment)
    assert works.outcomes() == {"stored": 2}, "and a job for the known one still works"


def test_what_is_known_of_source_and_page_reaches_the_reader(works: Works, context: WorkerContext) -> None:
    works.ledger.put_source(Source("paper", language="sw", rules=Rules(drop_css=(".ad",))), now=context.clock())
    segment = works.fetch(["hello"])
    (claim,) = works.ledger.claim_segment(segment, "worker-1", seconds=60, now=context.clock())
    ((_, page),) = read_archived_pages(works.archive, segment, [claim])
    first, second = (next(extract_page(context, replace(claim, source="paper", again=again), page)) for again in (False, True))
    assert first.reading.blocks[0].text.startswith(f"hello sw .ad {claim.first_seen_at}")
    assert second.reading.blocks[0].text == f"{first.reading.blocks[0].text} again"


POISON = {
    "segv": ("died", "signal 11 (SIGSEGV)"),
    "allocate": ("died", "memory"),
    "sleep": ("deadline", "deadline 1 s"),
    "exit": ("died", "exit 3"),
}


def test_poison_is_quarantined_after_three_deaths_and_its_neighbours_are_stored(works: Works, context: WorkerContext, clock: Clock) -> None:
    bodies = [body for poison in POISON for body in ("article before", poison, "article after")]
    segment = works.fetch(bodies)
    for deaths in (1, 2, 3):
        extract_claimed_pages(context, segment)
        while deaths > 1 and retry_deferred_page(context, heavy=False):
            pass
        assert works.outcomes()["stored"] == 2 * len(POISON), "neighbours are stored in the first pass and never again"
        traces = [works.ledger.trace(f"https://news.example/{n}-{body}") for n, body in enumerate(bodies) if body in POISON]
        assert [trace.crashes for trace in traces if trace] == [deaths] * len(POISON)
        clock.skip(minutes=5)
    assert {trace.url.rpartition("-")[2]: (trace.outcome, trace.detail) for trace in works.ledger.quarantined()} == POISON
    assert {trace.stage for trace in works.ledger.quarantined()} == {"read"}
    assert set(works.stored().values()) == {1}
    assert works.ledger.pending_segments(now=clock(), limit=10) == []
    extract_claimed_pages(context, segment)
    assert sum(works.outcomes().values()) == len(bodies)


def test_pages_that_eat_time_come_last_and_end_with_their_whole_turn(works: Works, context: WorkerContext, clock: Clock) -> None:
    segment = works.fetch(["loop", "article a", "work 0.6", "article b", "lxml", "article c"])
    with Sandbox(Limits(wall=30, cpu=1), "poison:obey") as context.sandbox:
        extract_claimed_pages(context, segment)
        assert works.outcomes() == {"stored": 3}
        assert works.ledger.deferred.count() == 3
        extract_claimed_pages(context, segment)
        assert works.ledger.deferred.count() == 3, "an announcement leaves them alone"
        while retry_deferred_page(context, heavy=True):
            clock.skip(seconds=1)
    assert works.outcomes() == {"stored": 3, "no_text": 1, "deadline": 2}
    assert {trace.detail: trace.crashes for trace in works.ledger.quarantined()} == {"deadline 1 s of CPU": 2}
    assert works.ledger.progress().pending == 0


def test_the_last_try_of_a_page_is_a_whole_one(works: Works, context: WorkerContext, clock: Clock) -> None:
    """Its child was killed twice from outside: it must not be buried for what it does in a short turn."""
    segment = works.fetch(["work 0.6"])
    for _ in range(2):
        claims = works.ledger.claim_segment(segment, "worker-0", seconds=60, now=clock())
        claim = claims[0] if claims else works.ledger.deferred.claim("worker-0", seconds=60, now=clock(), heavy=True)
        assert claim is not None
        works.ledger.report_crash(claim, "read", "signal 9 (SIGKILL)", now=clock())
        clock.skip(minutes=5)
    with Sandbox(Limits(wall=30), "poison:obey") as context.sandbox:
        assert retry_deferred_page(context, heavy=False)
    assert works.outcomes() == {"no_text": 1}


def test_a_page_whose_child_was_killed_from_outside_is_read_again(works: Works, context: WorkerContext, clock: Clock) -> None:
    segment = works.fetch([f"kill-once {works.data}/mark", "article x"])
    extract_claimed_pages(context, segment)
    assert works.outcomes() == {"stored": 1}
    clock.skip(minutes=1)
    assert retry_deferred_page(context, heavy=False)
    assert works.outcomes() == {"stored": 1, "no_text": 1}


def test_only_the_page_in_hand_of_a_killed_worker_is_suspected(works: Works, context: WorkerContext, clock: Clock) -> None:
    """Five pages were read and not yet committed when the worker was killed on the sixth: they did nothing."""
    segment = works.fetch(articles(8))
    claims = works.ledger.claim_segment(segment, "killed", seconds=60, now=clock())
    for claim in claims[:6]:
        assert works.ledger.mark_in_progress(claim, now=clock())
    clock.skip(minutes=2)
    again = works.ledger.claim_segment(segment, "worker-1", seconds=60, now=clock())
    assert [claim.crashes for claim in again] == [0, 0, 0, 0, 0, 1, 0, 0]


def test_a_page_is_marked_when_it_is_slow_and_the_mark_moves_on(
    works: Works, context: WorkerContext, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast page costs no commit for a mark; whatever follows a slow one that is not stored yet takes the mark over."""
    monkeypatch.setattr("newsmill.sandbox.parent.SLOW", 0.6)  # on a busy machine a fast page may take 0.2 s
    guilty = []
    for pages in (1, 2, 3):  # read by a worker that is killed then, before it stores any
        segment = works.fetch(["article a", "slow 1.2", "article b"], host=f"{pages}.example")
        seen = SegmentState()
        claims = works.ledger.claim_segment(segment, "killed", seconds=60, now=clock())
        with Sandbox(Limits(wall=10), "poison:obey") as context.sandbox:
            for claim, page in islice(read_archived_pages(works.archive, segment, claims), pages):
                assert len(list(extract_page(context, claim, page, seen))) == 1
        clock.skip(minutes=2)
        guilty.append([claim.crashes for claim in works.ledger.claim_segment(segment, "worker-1", seconds=60, now=clock())])
    assert guilty == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_who_comes_after_a_killed_worker_marks_each_page_before_it_is_read(works: Works, context: WorkerContext, clock: Clock) -> None:
    """What killed it so fast that no mark was made is found out by the next ones."""
    segment = works.fetch(articles(3))
    works.ledger.claim_segment(segment, "killed", seconds=60, now=clock())
    clock.skip(minutes=2)
    (first, *_) = works.ledger.claim_segment(segment, "worker-1", seconds=60, now=clock())
    ((_, page),) = read_archived_pages(works.archive, segment, [first])
    assert len(list(extract_page(context, first, page))) == 1
    clock.skip(minutes=2)
    again = works.ledger.claim_segment(segment, "worker-2", seconds=60, now=clock())
    assert [claim.crashes for claim in again] == [1, 0, 0]
    assert list(extract_page(context, first, page)) == [], "it is no longer ours"


def test_a_page_that_kills_the_worker_itself_is_quarantined_alone(works: Works, context: WorkerContext, clock: Clock) -> None:
    segment = works.fetch(articles(8))
    for _ in range(2):
        claims = works.ledger.claim_segment(segment, "killed", seconds=60, now=clock())
        for claim in claims[:6]:
            works.ledger.mark_in_progress(claim, now=clock())
        clock.skip(minutes=2)
    last = works.ledger.deferred.claim("killed", seconds=60, now=clock(), heavy=False)
    assert last is not None and last.url == claims[5].url, "the third time alone"
    works.ledger.mark_in_progress(last, now=clock())
    clock.skip(minutes=2)
    extract_claimed_pages(context, segment)
    assert not retry_deferred_page(context, heavy=True)
    assert works.outcomes() == {"stored": 7, "died": 1}


def test_pages_of_a_damaged_segment_end_so_and_the_others_are_stored(works: Works, context: WorkerContext) -> None:
    segment = works.fetch(articles(6))
    (file,) = works.segment_files()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    extract_claimed_pages(context, segment)
    outcomes = works.outcomes()
    assert sum(outcomes.values()) == 6
    assert set(outcomes) == {"stored", "archive_damaged"}
    assert len(works.stored()) == outcomes["stored"]


def test_pages_of_a_missing_segment_end_archive_damaged(works: Works, context: WorkerContext) -> None:
    segment = works.fetch(articles(2))
    (file,) = works.segment_files()
    file.unlink()
    extract_claimed_pages(context, segment)
    assert works.outcomes() == {"archive_damaged": 2}


def test_a_stop_stores_what_was_read_and_gives_the_rest_back(works: Works, context: WorkerContext, clock: Clock) -> None:
    segment = works.fetch(["slow 0.2", *articles(5)])
    context.stop = threading.Event()
    threading.Timer(0.05, context.stop.set).start()
    extract_claimed_pages(context, segment)
    assert works.outcomes() == {"stored": 1}, "the page in hand is finished"
    assert works.ledger.pending_segments(now=clock(), limit=10) == [segment], "at once, not when the lease ends"
    assert works.ledger.progress().states.get(State.PROCESSING, 0) == 0
    context.stop = threading.Event()
    extract_claimed_pages(context, segment)
    assert works.outcomes() == {"stored": 6}
    assert all(works.ledger.trace(url).crashes == 0 for url in works.stored())  # type: ignore[union-attr]


def test_slow_pages_keep_their_lease(works: Works, context: WorkerContext, clock: Clock) -> None:
    """Eight slow pages take longer than the lease; it is renewed on the way."""
    context.lease = 0.9
    segment = works.fetch(["slow 0.25"] * 8)
    extract_claimed_pages(context, segment)
    assert works.outcomes() == {"stored": 8}


# ---- documents that are slow to store


def test_a_document_over_the_cap_ends_with_its_name(works: Works, context: WorkerContext) -> None:
    extract_claimed_pages(context, works.fetch(["article text", f"article {'x' * MAX_DOCUMENT_CHARACTERS}x", "article more"]))
    assert works.outcomes() == {"stored": 2, "too_large": 1}
    (trace,) = works.ledger.traces(outcome=Outcome.TOO_LARGE)
    assert trace.detail is not None and trace.detail.endswith("; the cap is 2,000,000")


def test_the_links_of_a_document_count() -> None:
    links = tuple(TextLink(at, at + 1, f"https://paper.example/{'x' * 1000}") for at in range(5))
    linked = replace(FULL, blocks=(Block(BlockType.PARAGRAPH, "hello", markup=Markup(links=links)),))
    assert count_characters(linked) > count_characters(replace(FULL, blocks=())) + 5_000


def test_large_documents_share_no_commit_with_many_others(works: Works, context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    monkeypatch.setattr(works.ledger, "store", lambda results, **rest: commits.append(len(results)))
    extract_claimed_pages(context, works.fetch([*articles(3), f"article {'x y ' * (MAX_BATCH_CHARACTERS // 4)}", *articles(3)]))
    assert commits == [4, 3]


def test_a_slow_commit_is_halved_until_only_what_is_slow_by_itself_is_put_off(
    works: Works, context: WorkerContext, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commits are real, and taken back; only the seconds they take are not."""
    passed, really_store = 0.0, ledger.ledger_results.store

    def store(conn: Connection, results: Sequence[Result], *rest: Any) -> dict[Outcome, int]:
        nonlocal passed
        if any(result.claim.url.endswith("/5-article") for result in results):
            passed += 100.0
        return really_store(conn, results, *rest)

    monkeypatch.setattr(ledger.ledger_results, "store", store)
    monkeypatch.setattr(ledger, "time", SimpleNamespace(monotonic=lambda: passed))
    extract_claimed_pages(context, works.fetch(articles(14)))
    assert works.outcomes() == {"stored": 13}
    for _ in range(2):
        clock.skip(minutes=5)
        assert retry_deferred_page(context, heavy=True)
    assert works.outcomes() == {"stored": 13, "deadline": 1}
    (trace,) = works.ledger.quarantined()
    assert (trace.url, trace.stage) == ("https://news.example/5-article", "store")
    assert trace.detail == "deadline: the database took 100 s to store 1 results; the limit is 30 s"
