"""A source that fails is shown as failing, with what and since when, until it works again."""

from __future__ import annotations

from dataclasses import replace

from rows import NOON, SITE, SOURCE, Mill, after, bad, ended, good, links
from sqlalchemy import Engine

from newsmill.failures import describe_failure
from newsmill.model import LeasedUrl, Outcome, OutcomeRecord, State
from newsmill.storage.ledger import Ledger, Postponed
from newsmill.storage.source_health import HealthState, SourceHealth, SourceHealthReader

FORBIDDEN = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403")
TWO_FEEDS = replace(SOURCE, homepage=None, feeds=(f"{SITE}/rss", f"{SITE}/atom"))


def read_health(engine: Engine, name: str = "paper") -> SourceHealth:
    source = Ledger(engine).source(name)
    assert source is not None
    return SourceHealthReader(engine).read(source)


def postpone(mill: Mill, rows: list[LeasedUrl], failure: OutcomeRecord = FORBIDDEN) -> None:
    waiting = [Postponed(row.id, row.fence, after(hours=3), f"{failure.outcome}: {failure.detail}", failure=failure) for row in rows]
    assert mill.ledger.postpone(waiting, now=mill.now) == len(rows)


def test_a_new_source_is_unread_and_a_paused_one_paused(engine: Engine, ledger: Ledger) -> None:
    ledger.put_source(SOURCE, now=NOON)
    assert read_health(engine) == SourceHealth(HealthState.UNREAD)
    ledger.set_enabled("paper", False, now=NOON)
    assert read_health(engine) == SourceHealth(HealthState.PAUSED)


def test_the_first_refused_try_shows_and_a_success_ends_it(engine: Engine, ledger: Ledger) -> None:
    ledger.put_source(replace(SOURCE, homepage=None), now=NOON)
    mill = Mill(ledger)
    postpone(mill, mill.lease())
    health = read_health(engine)
    assert (health.state, health.failure, health.since, health.url) == (HealthState.FAILING, FORBIDDEN, NOON, f"{SITE}/rss")
    mill.now = after(hours=3, minutes=1)
    (row,) = mill.lease()
    ledger.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=mill.now)
    assert read_health(engine).since == NOON  # the last of several tries does not begin a new failure
    ledger.read_listings("paper", now=mill.now)
    assert (read_health(engine).failure, read_health(engine).since) == (FORBIDDEN, NOON)
    (row,) = mill.lease()
    ledger.end([ended(row, Outcome.LISTED)], now=mill.now)
    assert read_health(engine) == SourceHealth(HealthState.HEALTHY)


def test_one_of_two_feeds_degrades_a_source(engine: Engine, ledger: Ledger) -> None:
    ledger.put_source(TWO_FEEDS, now=NOON)
    mill = Mill(ledger)
    first, second = mill.lease()
    ledger.end([ended(first, Outcome.LISTED), ended(second, Outcome.GONE, "HTTP 404")], now=NOON)
    health = read_health(engine)
    assert (health.state, health.failing, health.of, health.url) == (HealthState.DEGRADED, 1, 2, second.url)


def test_pages_that_are_all_refused_make_a_source_fail(engine: Engine, ledger: Ledger) -> None:
    ledger.put_source(replace(SOURCE, homepage=None), now=NOON)
    mill = Mill(ledger)
    (feed,) = mill.lease()
    ledger.end([ended(feed, Outcome.LISTED)], now=NOON)
    (claim,) = mill.fetch(links(1)[0])
    mill.store(good(claim))
    assert read_health(engine).state is HealthState.HEALTHY
    mill.now = after(hours=1)
    ledger.add(links(4), now=mill.now)
    postpone(mill, mill.lease())
    health = read_health(engine)
    assert (health.state, health.failure, health.since, health.failing) == (HealthState.FAILING, FORBIDDEN, after(hours=1), 3)
    assert SourceHealthReader(engine).list_failing_names() == ["paper"]
    mill.now = after(hours=3, minutes=1)
    mill.lease()
    mill.store(*(good(claim) for claim in mill.claim(mill.save())))
    assert read_health(engine).state is HealthState.HEALTHY
    assert SourceHealthReader(engine).list_failing_names() == []


def test_a_source_without_a_document_says_what_its_pages_are(engine: Engine, ledger: Ledger) -> None:
    ledger.put_source(replace(SOURCE, homepage=None), now=NOON)
    mill = Mill(ledger)
    (feed,) = mill.lease()
    ledger.end([ended(feed, Outcome.LISTED)], now=NOON)
    mill.store(*(bad(claim, Outcome.NEEDS_SCRIPT) for claim in mill.fetch(*links(6))))
    health = read_health(engine)
    assert health.state is HealthState.DEGRADED
    assert (health.failure, health.failing) == (OutcomeRecord(Outcome.NEEDS_SCRIPT), 6)


def test_a_retry_keeps_the_failure_for_the_trace(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.add(links(1), now=NOON)
    (row,) = mill.lease()
    ledger.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=NOON)
    assert ledger.retry(urls=[row.url], now=after(minutes=5)) == 1
    trace = ledger.trace(row.url)
    assert trace is not None
    assert (trace.state, trace.outcome) == (State.DUE, None)
    assert (trace.failure, trace.failure_detail, trace.failed_at, trace.failing_since) == (Outcome.HTTP_ERROR, "HTTP 403", NOON, NOON)


def test_failures_in_words() -> None:
    words = {
        OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 429"): "blocked: HTTP 429",
        OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 500"): "HTTP 500",
        OutcomeRecord(Outcome.REFUSED, "x"): "connection refused",
        OutcomeRecord(Outcome.DNS, "x"): "host not found",
        OutcomeRecord(Outcome.GONE, "HTTP 404"): "not found: HTTP 404",
        OutcomeRecord(Outcome.BAD_ENCODING): "The compression of the body is broken or unknown",
    }
    assert {failure: describe_failure(failure) for failure in words} == words
