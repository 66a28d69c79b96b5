"""A clock that is set back or forward: what is due comes due, what is held comes free, and a wait keeps its length."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from rows import HOST, NOON, SITE, SOURCE, Mill, after, links
from sqlalchemy import Engine

from newsmill.discovery import retry_after
from newsmill.model import LeasedUrl, State
from newsmill.polling.retries import compute_retry_delay
from newsmill.storage.clock import CLOCK_SLACK, MAX_ROW_WAIT
from newsmill.storage.ledger import HostLease, Ledger, Postponed
from newsmill.storage.ledger.sources import decide_tick
from newsmill.storage.processes import BEAT_INTERVAL, MAX_HEARTBEAT_AGE, Heartbeat, list_live_processes
from newsmill.storage.webhooks import WebhookEvent, Webhooks

JUMPS = [timedelta(hours=1), timedelta(days=2)]
SHORT = timedelta(seconds=15)


def next_at(ledger: Ledger, number: int) -> datetime:
    found = ledger.traces.get(f"{SITE}/{number}")
    assert found is not None
    return found.next_at


def postponed(row: LeasedUrl, at: datetime) -> Postponed:
    return Postponed(row.id, row.fence, at, "status 503")


def test_the_longest_waits_are_those_that_are_asked_for() -> None:
    backoffs = [wait for attempts in range(1, 20) if (wait := compute_retry_delay(attempts)) is not None]
    assert max(*backoffs, timedelta(seconds=retry_after.MAX_RETRY_AFTER_SECONDS)) < MAX_ROW_WAIT


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_clock_set_back_holds_up_nothing_and_shortens_no_wait(ledger: Ledger, engine: Engine, jump: timedelta) -> None:
    """All this was written by a clock that was `jump` ahead all along."""
    mill = Mill(ledger, now=NOON + jump)
    ledger.links.add(links(4), now=mill.now)
    rows = mill.lease(limit=3)
    ledger.url_endings.postpone([postponed(rows[0], mill.now + timedelta(minutes=30))], now=mill.now)
    ledger.url_leases.release([rows[1]], now=mill.now)
    ledger.hosts.release(HOST, mill.crawler, now=mill.now, next_fetch_at=mill.now + timedelta(seconds=1), failures=0)
    ledger.links.add(links(1, "https://busy.example"), now=mill.now)
    assert ledger.hosts.lease_one("busy.example", "crawler-2", seconds=60, now=mill.now) is not None
    Heartbeat(engine, role="crawler").beat(mill.now)

    assert ledger.clock_repair.adjust(now=NOON) == jump
    assert [next_at(ledger, number) for number in (0, 1, 3)] == [after(minutes=30), NOON, NOON]
    assert hosts(ledger.hosts.lease("crawler-3", limit=9, seconds=60, now=after(seconds=1))) == [HOST]
    assert len(ledger.url_leases.lease(HOST, "crawler-3", limit=9, seconds=60, now=after(seconds=1))) == 2
    assert ledger.url_leases.expire(now=after(seconds=30)) == 0, "who fetches a row has it for as long as he would have"
    assert ledger.url_leases.expire(now=after(seconds=60)) == 1
    assert hosts(ledger.hosts.lease("crawler-4", limit=9, seconds=60, now=after(seconds=59))) == []
    assert hosts(ledger.hosts.lease("crawler-4", limit=9, seconds=60, now=after(seconds=60))) == ["busy.example"]
    assert ledger.clock_repair.adjust(now=after(seconds=62)) == timedelta(), "once"


def test_a_clock_that_was_ahead_for_some_seconds_puts_no_host_and_no_row_to_sleep(ledger: Ledger) -> None:
    """Any process that leases finds it, even where nothing shows that the clock was wrong."""
    mill = Mill(ledger)
    ledger.links.add([*links(1), *links(1, "https://other.example")], now=NOON)
    (row,) = mill.lease()
    ledger.url_endings.postpone([postponed(row, after(days=2))], now=NOON)
    for host in (HOST, "other.example"):
        assert ledger.hosts.release(host, mill.crawler, now=after(days=2), next_fetch_at=after(days=2), failures=1)
    assert ledger.hosts.lease_one(HOST, "crawler-2", seconds=60, now=NOON) is not None
    assert ledger.hosts.release(HOST, "crawler-2", now=after(days=2), next_fetch_at=after(days=2))
    assert sorted(hosts(ledger.hosts.lease("crawler-2", limit=9, seconds=60, now=NOON))) == sorted([HOST, "other.example"])
    assert len(ledger.url_leases.lease(HOST, "crawler-2", limit=9, seconds=60, now=NOON)) == 1


@pytest.mark.parametrize("wait", [timedelta(minutes=1), timedelta(hours=1)], ids=str)
def test_a_pause_that_was_asked_for_is_kept(ledger: Ledger, wait: timedelta) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(1), now=NOON)
    mill.lease()
    ledger.hosts.release(HOST, mill.crawler, now=NOON, next_fetch_at=NOON + wait, failures=1)
    ledger.url_leases.release(mill.leased_rows, now=NOON)
    assert ledger.clock_repair.adjust(now=NOON - SHORT) == timedelta(), "a few seconds are waited for"
    assert ledger.hosts.lease("crawler-2", limit=9, seconds=60, now=NOON + wait - timedelta(seconds=1)) == []
    assert hosts(ledger.hosts.lease("crawler-2", limit=9, seconds=60, now=NOON + wait)) == [HOST]


def test_a_dead_worker_s_lease_from_the_future_ends(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(1), now=NOON)
    mill.lease()
    segment = mill.save()
    mill.now = after(days=2)
    assert len(mill.claim(segment)) == 1
    ledger.clock_repair.adjust(now=NOON)
    mill.now, mill.worker = NOON + CLOCK_SLACK, "worker-2"
    assert ledger.segments.list_pending(now=mill.now, limit=9) == [segment]
    (claim,) = mill.claim(segment)
    assert claim.fence == 3 and ledger.traces.get(claim.url).state is State.PROCESSING  # type: ignore[union-attr]


def test_a_cron_source_does_not_sleep_after_its_clock_was_days_ahead() -> None:
    def hourly(_: object, at: datetime) -> datetime:
        return at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    assert decide_tick(replace(SOURCE, every=None, cron="0 * * * *"), after(days=2, hours=1), after(days=2), after(minutes=5), hourly) == (
        False,
        after(hours=1),
    )


def test_a_process_whose_clock_is_set_back_still_shows_that_it_lives(engine: Engine) -> None:
    heartbeat = Heartbeat(engine, role="worker")
    heartbeat.beat(after(hours=1))
    heartbeat.beat(NOON)
    assert [process.beat_at for process in list_live_processes(engine, now=NOON)] == [NOON]
    heartbeat.beat(NOON + BEAT_INTERVAL - timedelta(seconds=1))
    assert [process.beat_at for process in list_live_processes(engine, now=NOON + MAX_HEARTBEAT_AGE)] == [NOON]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_delivery_does_not_wait_for_the_clock(ledger: Ledger, engine: Engine, jump: timedelta) -> None:
    hooks = Webhooks(engine)
    hook = hooks.add("https://there.example/", WebhookEvent.PING, now=NOON)
    hooks.ping(hook.id, {}, now=NOON + jump)
    Heartbeat(engine, role="crawler").beat(NOON + jump)
    ledger.clock_repair.adjust(now=NOON)
    assert len(hooks.outbox.claim_due(now=NOON, limit=9)) == 1


def hosts(leases: list[HostLease]) -> list[str]:
    return [lease.host for lease in leases]
