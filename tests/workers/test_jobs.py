"""The job of a segment, run in this process: what it stores, what it does with poison, and why a second run is harmless."""

from __future__ import annotations

import shutil
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
from workers_world import WorkersWorld

from newsmill.exceptions import ServiceError
from newsmill.extraction.document_size import MAX_DOCUMENT_CHARACTERS, count_characters
from newsmill.model import Block, BlockType, ClaimedPage, Markup, Outcome, Page, Rules, Source, State, TextLink
from newsmill.sandbox.child import Limits
from newsmill.sandbox.pages import Sandbox
from newsmill.storage.ledger import Result, results
from workers.jobs import MAX_BATCH_CHARACTERS, extract_claimed_pages, read_archived_pages, read_deferred
from workers.page_reading import extract_page
from workers.process import SegmentState, WorkerContext


def claim_waiting(world: WorkersWorld, owner: str, now: datetime) -> list[ClaimedPage]:
    """Claim deferred pages as the thread of the worker does."""
    for waiting in world.ledger.deferred.list_waiting(now=now):
        if claims := world.ledger.deferred.claim(waiting, owner, limit=16, seconds=60, now=now):
            return claims
    return []


def read_waiting(context: WorkerContext) -> bool:
    """Read deferred pages as the thread of the worker does; whether there were any."""
    deferred = context.app.ledger.deferred
    for waiting in deferred.list_waiting(now=context.app.now()):
        if claims := deferred.claim(waiting, context.owner, limit=16, seconds=60, now=context.app.now()):
            read_deferred(context, claims)
            return True
    return False


class Clock:
    """Real time, plus what the test lets pass."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def skip(self, **time: float) -> None:
        self.ahead += timedelta(**time)


@pytest.fixture(autouse=True)
def large_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of these tests are of one host; test_cpu_budgets.py has tests with budgets that end."""
    monkeypatch.setattr("workers.cpu_budgets.MAX_SECONDS", 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(wall=1.0), "poison:obey") as box:
        box.start()
        yield box


@pytest.fixture
def context(world: WorkersWorld, sandbox: Sandbox, clock: Clock) -> WorkerContext:
    return WorkerContext(replace(world.app, now=clock), sandbox, "worker-1")


def articles(count: int) -> list[str]:
    return [f"article text {number}" for number in range(count)]


def test_every_page_is_stored_once(world: WorkersWorld, context: WorkerContext) -> None:
    extract_claimed_pages(context, world.fetch(articles(20)))
    assert world.outcomes() == {"stored": 20}
    assert set(world.stored().values()) == {1}
    assert len(world.stored()) == 20


def test_a_second_run_changes_nothing(world: WorkersWorld, context: WorkerContext) -> None:
    segment = world.fetch(articles(3))
    for _ in range(5):
        extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 3}
    assert all(document.revision == 1 for document in world.documents.iterate())


def test_a_blocked_page_is_fetched_once_more(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    wall = {"https://news.example/wall": "blocked by a filter"}
    extract_claimed_pages(context, world.fetch_all({**wall, "https://news.example/good": "article text"}))
    assert world.outcomes() == {"stored": 1}
    trace = world.ledger.traces.get("https://news.example/wall")
    assert trace is not None
    assert (trace.state, trace.attempts, trace.detail) == (State.DUE, 1, "blocked: by a filter")
    assert timedelta(seconds=50) < trace.next_at - clock() <= timedelta(minutes=1)
    clock.skip(minutes=2)
    extract_claimed_pages(context, world.fetch_all(wall, now=clock()))
    assert world.outcomes() == {"stored": 1, "blocked": 1}


def test_a_blocked_page_extracted_again_from_the_archive_is_not_fetched(world: WorkersWorld, context: WorkerContext) -> None:
    segment = world.fetch(["once-blocked text"])
    (claim,) = world.ledger.claims.claim(segment, "worker-1", seconds=60, now=context.app.now())
    ((_, page),) = read_archived_pages(world.app, segment, [claim])
    assert isinstance(page, Page)
    wall = replace(page, body=b"blocked by a filter")
    (first,) = extract_page(context, claim, wall)
    (again,) = extract_page(context, replace(claim, again=True), wall)
    assert first.retry_at is not None
    assert again.retry_at is None


def test_two_parallel_runs_store_once(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """The first worker outlived its lease and another did the work, so the first one's late results have an old fence."""
    segment = world.fetch(articles(3))
    late = world.ledger.claims.claim(segment, "worker-0", seconds=1, now=clock())
    clock.skip(seconds=2)
    extract_claimed_pages(context, segment)
    assert not world.ledger.claims.mark_in_progress(late[0], now=clock())
    assert world.outcomes() == {"stored": 3}


def test_a_job_for_an_unknown_segment_changes_nothing(world: WorkersWorld, context: WorkerContext) -> None:
    segment = world.fetch(articles(2))
    before = list(world.ledger.traces.list_all())
    extract_claimed_pages(context, "20261125T131500Z-00000000")
    assert (list(world.ledger.traces.list_all()), world.outcomes(), world.stored()) == (before, {}, {})
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 2}, "and a job for the known one still works"


def test_the_reader_gets_the_rules_of_the_source(world: WorkersWorld, context: WorkerContext) -> None:
    world.ledger.sources.put(Source("paper", language="sw", rules=Rules(drop_css=(".ad",))), now=context.app.now())
    segment = world.fetch(["hello"])
    (claim,) = world.ledger.claims.claim(segment, "worker-1", seconds=60, now=context.app.now())
    ((_, page),) = read_archived_pages(world.app, segment, [claim])
    first, second = (next(extract_page(context, replace(claim, source="paper", again=again), page)) for again in (False, True))
    assert first.reading.blocks[0].text.startswith(f"hello sw .ad {claim.first_seen_at}")
    assert second.reading.blocks[0].text == f"{first.reading.blocks[0].text} again"
    world.ledger.sources.put(Source("paper", language="sw", rules=Rules(drop_css=(".new",))), now=context.app.now())
    changed = next(extract_page(context, replace(claim, source="paper", again=True), page))
    assert changed.reading.blocks[0].text.startswith("hello sw .new "), "a rule holds from the next segment on"


POISON = {
    "segv": ("died", "signal 11 (SIGSEGV)"),
    "allocate": ("died", "memory"),
    "sleep": ("deadline", "deadline 1 s"),
    "exit": ("died", "exit 3"),
}


def test_poison_is_quarantined_after_three_crashes_and_its_neighbours_are_stored(
    world: WorkersWorld, context: WorkerContext, clock: Clock
) -> None:
    bodies = [body for poison in POISON for body in ("article before", poison, "article after")]
    segment = world.fetch(bodies)
    for crashes in (1, 2, 3):
        extract_claimed_pages(context, segment)
        while crashes > 1 and read_waiting(context):
            pass
        assert world.outcomes()["stored"] == 2 * len(POISON), "neighbours are stored in the first pass and never again"
        traces = [world.ledger.traces.get(f"https://news.example/{n}-{body}") for n, body in enumerate(bodies) if body in POISON]
        assert [trace.crashes for trace in traces if trace] == [crashes] * len(POISON)
        clock.skip(minutes=5)
    assert {trace.url.rpartition("-")[2]: (trace.outcome, trace.detail) for trace in world.ledger.traces.list_quarantined()} == POISON
    assert {trace.stage for trace in world.ledger.traces.list_quarantined()} == {"read"}
    assert set(world.stored().values()) == {1}
    assert world.ledger.segments.list_pending(now=clock(), limit=10) == []
    extract_claimed_pages(context, segment)
    assert sum(world.outcomes().values()) == len(bodies)


def test_pages_that_exceed_their_short_limit_come_last_and_get_the_full_limit(
    world: WorkersWorld, context: WorkerContext, clock: Clock
) -> None:
    segment = world.fetch(["loop", "article a", "work 0.6", "article b", "lxml", "article c"])
    with Sandbox(Limits(wall=30, cpu=1), "poison:obey") as context.sandbox:
        extract_claimed_pages(context, segment)
        assert world.outcomes() == {"stored": 3}
        assert world.ledger.deferred.count() == 3
        extract_claimed_pages(context, segment)
        assert world.ledger.deferred.count() == 3, "a second job for the segment leaves them alone"
        while read_waiting(context):
            clock.skip(seconds=1)
    assert world.outcomes() == {"stored": 3, "no_text": 1, "deadline": 2}
    assert {trace.detail: trace.crashes for trace in world.ledger.traces.list_quarantined()} == {"deadline 1 s of CPU": 2}
    assert world.ledger.progress.count().pending == 0


def test_the_last_attempt_at_a_page_has_the_full_limit(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """Its child was killed twice from outside: exceeding a short limit must not put the page in quarantine."""
    segment = world.fetch(["work 0.6"])
    for _ in range(2):
        claims = world.ledger.claims.claim(segment, "worker-0", seconds=60, now=clock())
        claim = claims[0] if claims else claim_waiting(world, "worker-0", clock())[0]
        world.ledger.claims.report_crash(claim, "read", "signal 9 (SIGKILL)", now=clock())
        clock.skip(minutes=5)
    with Sandbox(Limits(wall=30), "poison:obey") as context.sandbox:
        assert read_waiting(context)
    assert world.outcomes() == {"no_text": 1}


def test_a_page_whose_child_was_killed_from_outside_is_read_again(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    segment = world.fetch([f"kill-once {world.data}/mark", "article x"])
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 1}
    clock.skip(minutes=1)
    assert read_waiting(context)
    assert world.outcomes() == {"stored": 1, "no_text": 1}


def test_only_the_page_in_progress_of_a_killed_worker_is_suspected(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """Five pages were read and not yet committed when the worker was killed on the sixth: they did nothing."""
    segment = world.fetch(articles(8))
    claims = world.ledger.claims.claim(segment, "killed", seconds=60, now=clock())
    for claim in claims[:6]:
        assert world.ledger.claims.mark_in_progress(claim, now=clock())
    clock.skip(minutes=2)
    again = world.ledger.claims.claim(segment, "worker-1", seconds=60, now=clock())
    assert [claim.crashes for claim in again] == [0, 0, 0, 0, 0, 1, 0, 0]


def test_a_page_is_marked_when_it_is_slow_and_the_mark_moves_on(
    world: WorkersWorld, context: WorkerContext, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast page costs no commit for a mark; whatever follows a slow one that is not stored yet takes the mark over."""
    monkeypatch.setattr("newsmill.sandbox.pages.SLOW_SECONDS", 0.6)  # on a busy machine a fast page may take 0.2 s
    guilty = []
    for pages in (1, 2, 3):  # read by a worker that is killed then, before it stores any
        segment = world.fetch(["article a", "slow 1.2", "article b"], host=f"{pages}.example")
        state = SegmentState()
        claims = world.ledger.claims.claim(segment, "killed", seconds=60, now=clock())
        with Sandbox(Limits(wall=10), "poison:obey") as context.sandbox:
            for claim, page in islice(read_archived_pages(world.app, segment, claims), pages):
                assert len(list(extract_page(context, claim, page, state))) == 1
        clock.skip(minutes=2)
        guilty.append([claim.crashes for claim in world.ledger.claims.claim(segment, "worker-1", seconds=60, now=clock())])
    assert guilty == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_the_worker_after_a_killed_one_marks_each_page_before_it_is_read(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """So a page that killed the first one before it was marked is found."""
    segment = world.fetch(articles(3))
    world.ledger.claims.claim(segment, "killed", seconds=60, now=clock())
    clock.skip(minutes=2)
    (first, *_) = world.ledger.claims.claim(segment, "worker-1", seconds=60, now=clock())
    ((_, page),) = read_archived_pages(world.app, segment, [first])
    assert len(list(extract_page(context, first, page))) == 1
    clock.skip(minutes=2)
    again = world.ledger.claims.claim(segment, "worker-2", seconds=60, now=clock())
    assert [claim.crashes for claim in again] == [1, 0, 0]
    assert list(extract_page(context, first, page)) == [], "this worker no longer holds it"


def test_a_page_that_kills_the_worker_itself_is_quarantined_alone(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    segment = world.fetch(articles(8))
    for _ in range(2):
        claims = world.ledger.claims.claim(segment, "killed", seconds=60, now=clock())
        for claim in claims[:6]:
            world.ledger.claims.mark_in_progress(claim, now=clock())
        clock.skip(minutes=2)
    (last,) = claim_waiting(world, "killed", clock())
    assert last.url == claims[5].url, "the third time alone"
    world.ledger.claims.mark_in_progress(last, now=clock())
    clock.skip(minutes=2)
    extract_claimed_pages(context, segment)
    assert not read_waiting(context)
    assert world.outcomes() == {"stored": 7, "died": 1}


def test_damaged_pages_of_a_segment_end_archive_damaged_and_the_others_are_stored(world: WorkersWorld, context: WorkerContext) -> None:
    segment = world.fetch(articles(6))
    (file,) = world.segment_files()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    extract_claimed_pages(context, segment)
    outcomes = world.outcomes()
    assert sum(outcomes.values()) == 6
    assert set(outcomes) == {"stored", "archive_damaged"}
    assert len(world.stored()) == outcomes["stored"]


def test_pages_of_a_missing_segment_end_archive_damaged(world: WorkersWorld, context: WorkerContext) -> None:
    segment = world.fetch(articles(2))
    (file,) = world.segment_files()
    file.unlink()
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"archive_damaged": 2}


def test_pages_wait_while_the_archive_is_not_mounted(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """The worker of one machine has an empty folder where the others have the archive."""
    segment = world.fetch(articles(2))
    archive, mounted = world.data / "archive", world.data / "mounted"
    archive.rename(mounted)
    for make_mount_point in (lambda: None, archive.mkdir):
        make_mount_point()
        with pytest.raises(
            ServiceError, match=r"archive .* is empty, but .*; check that ARCHIVE_URL is right and that the folder is mounted"
        ):
            extract_claimed_pages(context, segment)
        clock.skip(minutes=2)
    assert world.outcomes() == {}
    archive.rmdir()
    mounted.rename(archive)
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 2}


def test_pages_wait_while_another_archive_is_in_its_place(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """A crawler has written into the folder below the mount point, and newer segments are there. One lost segment is damage as before."""
    old, segment, lost = (
        world.fetch(articles(number), host=f"{number}.example", now=clock() + timedelta(seconds=number)) for number in (1, 2, 3)
    )
    archive, mounted = world.data / "archive", world.data / "mounted"
    archive.rename(mounted)
    clock.skip(seconds=9)
    newer = world.fetch(articles(4), now=clock())
    with pytest.raises(ServiceError, match=r"archive .* has none of the older segments, but .* is mounted"):
        extract_claimed_pages(context, segment)
    clock.skip(minutes=2)
    assert world.outcomes() == {}
    (file,) = world.segment_files()
    file.rename(mounted / file.relative_to(archive))
    shutil.rmtree(archive)
    mounted.rename(archive)
    next(archive.rglob(f"{lost}*")).unlink()
    for one in (old, segment, lost, newer):
        extract_claimed_pages(context, one)
    assert world.outcomes() == {"stored": 7, "archive_damaged": 3}


def test_a_stop_stores_what_was_read_and_releases_the_rest(
    world: WorkersWorld, context: WorkerContext, clock: Clock, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = world.fetch(articles(6))
    context.stop = threading.Event()
    read = sandbox.read

    def stop_and_read(*arguments: Any, **options: Any) -> Any:
        context.stop.set()
        return read(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "read", stop_and_read)
        extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 1}, "the page in progress is finished"
    assert world.ledger.segments.list_pending(now=clock(), limit=10) == [segment], "at once, not when the lease ends"
    assert world.ledger.progress.count().states.get(State.PROCESSING, 0) == 0
    context.stop = threading.Event()
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 6}
    assert all(world.ledger.traces.get(url).crashes == 0 for url in world.stored())  # type: ignore[union-attr]


def test_slow_pages_keep_their_lease(world: WorkersWorld, context: WorkerContext, clock: Clock) -> None:
    """Eight slow pages take longer than the lease; it is renewed meanwhile."""
    context.lease_seconds = 0.9
    segment = world.fetch(["slow 0.25"] * 8)
    extract_claimed_pages(context, segment)
    assert world.outcomes() == {"stored": 8}


# ---- documents that are slow to store


def test_a_document_over_the_limit_ends_too_large(world: WorkersWorld, context: WorkerContext) -> None:
    extract_claimed_pages(context, world.fetch(["article text", f"article {'x' * MAX_DOCUMENT_CHARACTERS}x", "article more"]))
    assert world.outcomes() == {"stored": 2, "too_large": 1}
    (trace,) = world.ledger.traces.list_all(outcome=Outcome.TOO_LARGE)
    assert trace.detail is not None and trace.detail.endswith("; the cap is 2,000,000")


def test_the_links_of_a_document_count() -> None:
    links = tuple(TextLink(at, at + 1, f"https://paper.example/{'x' * 1000}") for at in range(5))
    linked = replace(FULL, blocks=(Block(BlockType.PARAGRAPH, "hello", markup=Markup(links=links)),))
    assert count_characters(linked) > count_characters(replace(FULL, blocks=())) + 5_000


def test_large_documents_share_no_commit_with_many_others(
    world: WorkersWorld, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    monkeypatch.setattr(world.ledger.results, "store", lambda results, **rest: commits.append(len(results)))
    extract_claimed_pages(context, world.fetch([*articles(3), f"article {'x y ' * (MAX_BATCH_CHARACTERS // 4 - 500)}", *articles(3)]))
    assert commits == [4, 3]


def test_a_slow_commit_is_halved_until_only_the_slow_document_is_deferred(
    world: WorkersWorld, context: WorkerContext, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commits are real and rolled back; only their durations are not real."""
    passed, really_store = 0.0, results.store

    def store(conn: Connection, results: Sequence[Result], *rest: Any) -> dict[Outcome, int]:
        nonlocal passed
        if any(result.claim.url.endswith("/5-article") for result in results):
            passed += 100.0
        return really_store(conn, results, *rest)

    monkeypatch.setattr(results, "store", store)
    monkeypatch.setattr("newsmill.storage.ledger.result_commits.time", SimpleNamespace(monotonic=lambda: passed))
    extract_claimed_pages(context, world.fetch(articles(14)))
    assert world.outcomes() == {"stored": 13}
    for _ in range(2):
        clock.skip(minutes=5)
        assert read_waiting(context)
    assert world.outcomes() == {"stored": 13, "deadline": 1}
    (trace,) = world.ledger.traces.list_quarantined()
    assert (trace.url, trace.stage) == ("https://news.example/5-article", "store")
    assert trace.detail == "deadline: the database took 100 s to store 1 results; the limit is 30 s"
