"""One pass of the scheduler, in this process, with the time as an argument."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from workers_world import WorkersWorld

from newsmill.exceptions import ServiceError
from newsmill.model import Kind, Link, Outcome, OutcomeRecord, Page, Source, State
from newsmill.storage.ledger import FROM_BACKFILL, Ended
from newsmill.storage.processes import Heartbeat
from newsmill.storage.webhooks import WebhookEvent, Webhooks
from workers.scheduler import SchedulerContext, run_pass, try_pass

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = timedelta(minutes=16)
HOME = "https://news.example/"


@pytest.fixture
def context(world: WorkersWorld) -> Iterator[SchedulerContext]:
    queue = world.queue
    yield SchedulerContext(world.app, queue, world.redis.ensure, NOW)
    queue.close()


def test_pending_segments_are_enqueued_once(world: WorkersWorld, context: SchedulerContext) -> None:
    segments = {world.fetch(["article a"], host=f"site-{n}.example", now=NOW) for n in range(3)}
    for _ in range(3):
        run_pass(context, NOW)
    assert context.queue.waiting() == segments
    assert context.queue.depth() == 3, "a pass does not enqueue again what is waiting"


def test_after_flushall_all_pending_segments_are_back(world: WorkersWorld, context: SchedulerContext) -> None:
    segments = {world.fetch(["article a"], host=f"site-{n}.example", now=NOW) for n in range(3)}
    run_pass(context, NOW)
    context.queue.connection.flushall()
    run_pass(context, NOW)
    assert context.queue.waiting() == segments


def test_a_claimed_segment_is_left_alone_until_its_lease_ends(world: WorkersWorld, context: SchedulerContext) -> None:
    segment = world.fetch(["article a"], now=NOW)
    world.ledger.claims.claim(segment, "worker", seconds=60, now=NOW)
    run_pass(context, NOW)
    assert context.queue.depth() == 0
    run_pass(context, NOW + timedelta(seconds=61))
    assert context.queue.waiting() == {segment}


def test_a_source_comes_due_once_however_many_ticks_were_missed(world: WorkersWorld, context: SchedulerContext) -> None:
    world.ledger.sources.put(Source("paper", feeds=("https://paper.example/feed",), discover=False), now=NOW)
    run_pass(context, NOW)
    _end_listing(world)
    run_pass(context, NOW + timedelta(minutes=1))
    assert world.ledger.progress.count().listings.get(State.DUE, 0) == 0
    run_pass(context, NOW + 10 * LATER)
    assert world.ledger.progress.count().listings[State.DUE] == 1
    _end_listing(world, NOW + 10 * LATER)
    run_pass(context, NOW + 10 * LATER + timedelta(seconds=1))
    assert world.ledger.progress.count().listings.get(State.DUE, 0) == 0, "ten missed ticks are made up by one"


def _end_listing(world: WorkersWorld, now: datetime = NOW) -> None:
    from newsmill.model import Outcome, OutcomeRecord
    from newsmill.storage.ledger import Ended

    world.ledger.hosts.lease("crawler", limit=9, seconds=60, now=now)
    leased = world.ledger.url_leases.lease("paper.example", "crawler", limit=9, seconds=60, now=now)
    world.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED)) for row in leased], now=now)
    world.ledger.hosts.release("paper.example", "crawler", now=now)


def test_the_end_of_a_backfill_is_recorded_without_a_watching_command(world: WorkersWorld, context: SchedulerContext) -> None:
    backfills, days = world.ledger.backfills, (NOW.date(), NOW.date())
    world.ledger.sources.put(Source("paper", homepage=HOME), now=NOW)
    backfill = backfills.start("paper", *days, archives=[Link(f"{HOME}2026/11/", Kind.SECTION, "paper", FROM_BACKFILL)], now=NOW)
    run_pass(context, NOW)
    assert backfills.get("paper") == replace(backfill, listings=1)
    world.ledger.hosts.lease("crawler", limit=9, seconds=60, now=NOW)
    rows = world.ledger.url_leases.lease("news.example", "crawler", limit=9, seconds=60, now=NOW)
    run_pass(context, NOW)
    assert backfills.get("paper") == replace(backfill, listings=1)
    world.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED)) for row in rows], now=NOW)
    run_pass(context, NOW)
    assert backfills.get("paper") == replace(backfill, listings=1, ended_at=NOW)


def test_rows_of_a_dead_crawler_are_due_again(world: WorkersWorld, context: SchedulerContext) -> None:
    from newsmill.model import Link

    world.ledger.links.add([Link("https://news.example/a")], now=NOW)
    world.ledger.hosts.lease("crawler", limit=9, seconds=60, now=NOW)
    assert world.ledger.url_leases.lease("news.example", "crawler", limit=9, seconds=60, now=NOW)
    run_pass(context, NOW + timedelta(seconds=61))
    assert world.ledger.progress.count().states[State.DUE] == 1


def test_redis_away_is_one_line_and_sources_still_come_due(
    world: WorkersWorld, context: SchedulerContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ledger.sources.put(Source("paper", feeds=("https://paper.example/feed",), discover=False, every=timedelta(minutes=15)), now=NOW)
    _end_listing(world)

    def away() -> None:
        raise ServiceError("Redis at unix:///x does not answer")

    context.ensure_redis = away
    for minute in range(3):
        try_pass(context, NOW + LATER + timedelta(minutes=minute))
    assert caplog.text.count("does not answer") == 1
    assert world.ledger.progress.count().listings[State.DUE] == 1
    context.ensure_redis = world.redis.ensure
    try_pass(context, NOW + 2 * LATER)
    assert caplog.text.count("all services answer again") == 1


def test_orphan_files_of_the_archive_are_swept_hourly(world: WorkersWorld, context: SchedulerContext) -> None:
    known = world.fetch(["article a"], now=NOW)
    (claim,) = world.ledger.claims.claim(known, "worker", seconds=1, now=NOW)
    orphan = world.archive.write([world.archive.read_page(known, claim.offset)], now=NOW).id
    for file in world.segment_files():
        os.utime(file, (NOW.timestamp(), NOW.timestamp()))
    run_pass(context, NOW + timedelta(minutes=30))
    assert {file.name.partition(".")[0] for file in world.segment_files()} == {known, orphan}
    run_pass(context, NOW + timedelta(hours=3))
    assert {file.name.partition(".")[0] for file in world.segment_files()} == {known, orphan}, "a clock may have been set forward"
    run_pass(context, NOW + timedelta(hours=4))
    moved, kept = sorted((file.parts[-5], file.name.partition(".")[0]) for file in world.segment_files())[::-1]
    assert (kept, moved) == (("segments", known), ("unknown", orphan)), "the database may be older than the archive"


def test_a_sweep_deletes_messages_that_ended_long_ago(world: WorkersWorld, context: SchedulerContext) -> None:
    hooks = Webhooks(world.app.engine)
    hook = hooks.add("https://there.example/", WebhookEvent.DOCUMENTS, now=NOW).id
    for _ in range(2):
        hooks.ping(hook, {}, now=NOW)
    (ended, _) = hooks.outbox.claim_due(now=NOW, limit=9)
    hooks.outbox.mark_sent(ended, now=NOW)
    run_pass(context, NOW + timedelta(days=31))
    assert [message.state for message in hooks.list_deliveries(hook, limit=9)] == ["due"]


@pytest.mark.parametrize("jump", [timedelta(seconds=15), timedelta(hours=1), timedelta(days=2)], ids=str)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "back"])
def test_a_clock_that_jumps_delays_nothing_and_loses_no_segment(
    world: WorkersWorld, context: SchedulerContext, jump: timedelta, back: bool
) -> None:
    """The crawler and the scheduler of one machine; the clock jumps while a page is being archived, and back again."""
    first, second = (NOW + jump, NOW) if back else (NOW, NOW + jump)
    context.heartbeat, context.swept_at = Heartbeat(world.app.engine, role="scheduler"), first
    world.ledger.sources.put(Source("paper", feeds=("https://paper.example/rss",)), now=first)
    world.fetch(["article a"], now=first)
    unsaved = world.archive.write([Page(HOME, HOME, first, 200, (), b"<p>")], now=first)
    for file in world.segment_files():
        os.utime(file, (first.timestamp(), first.timestamp()))
    run_pass(context, first)
    run_pass(context, second)
    soon = second + timedelta(seconds=75)  # a lease of 60 s, and 15 s by which a clock may be set back unnoticed
    assert world.ledger.progress.count_waiting(until=soon).later == 0, "whatever was due is due"
    assert {lease.host for lease in world.ledger.hosts.lease("crawler-2", limit=9, seconds=60, now=soon)} == {"paper.example"}
    assert unsaved.id in {file.name.partition(".")[0] for file in world.segment_files()}
    run_pass(context, first)
    assert unsaved.id in {file.name.partition(".")[0] for file in world.segment_files()}
    assert len(world.ledger.segments.list_pending(now=first, limit=9)) == 1


def test_documents_an_older_version_stored_are_indexed_and_get_their_fingerprints(
    context: SchedulerContext, caplog: pytest.LogCaptureFixture
) -> None:
    left, bare, ungrouped = [1200, 0], [300, 0], [300, 0]
    context.index, context.fingerprint, context.group = lambda: left.pop(0), lambda: bare.pop(0), lambda: ungrouped.pop(0)
    with caplog.at_level("INFO"):
        run_pass(context, NOW)
        run_pass(context, NOW)
    assert [record.getMessage() for record in caplog.records if "an older version" in record.getMessage()] == [
        "indexed 1200 documents that an older version stored or indexed",
        "made the fingerprints of 300 documents that an older version stored",
    ]
    assert not ungrouped
