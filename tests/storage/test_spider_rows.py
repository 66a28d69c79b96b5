"""The runs of a source's spider in the ledger: a row and a host of their own, due with the source's listings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from newsmill.exceptions import UrlError
from newsmill.model import Kind, LeasedUrl, Link, Outcome, OutcomeRecord, Source, State
from newsmill.storage.ledger import Ended, Ledger
from newsmill.text.urls import make_spider_host, make_spider_url

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PAPER = Source("paper", feeds=("https://paper.example/feed",), spider="paper:PaperSpider")


def lease_run(ledger: Ledger, owner: str = "one", now: datetime = NOW) -> LeasedUrl | None:
    leases = ledger.hosts.lease(owner, limit=9, seconds=60, now=now, spiders=True)
    if not leases:
        return None
    (row,) = ledger.url_leases.lease(leases[0].host, owner, limit=9, seconds=60, now=now)
    return row


def test_a_run_is_leased_apart_from_hosts_and_by_one_crawler(ledger: Ledger) -> None:
    ledger.sources.put(PAPER, now=NOW)
    ledger.links.add([Link("https://spider/paper"), Link("http://spider:8080/")], now=NOW)
    hosts = {lease.host for lease in ledger.hosts.lease("one", limit=9, seconds=60, now=NOW)}
    assert hosts == {"paper.example", "spider", "spider:8080"}
    row = lease_run(ledger)
    assert row is not None
    assert (row.url, row.kind, row.host, row.source) == ("spider:paper", Kind.SPIDER, make_spider_host("paper"), "paper")
    assert lease_run(ledger, "two") is None


def test_a_run_ends_is_counted_and_becomes_due_with_the_source(ledger: Ledger) -> None:
    ledger.sources.put(replace(PAPER, feeds=()), now=NOW)
    row = lease_run(ledger)
    assert row is not None
    ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.LISTED, "3 pages"))], now=NOW)
    ledger.hosts.release(row.host, "one", now=NOW)
    trace = ledger.traces.get("spider:paper")
    assert trace is not None and (trace.outcome, trace.detail) == (Outcome.LISTED, "3 pages")
    assert [(count.kind, count.outcome, count.n) for count in ledger.counters.list_outcomes(source="paper")] == [
        (Kind.SPIDER, Outcome.LISTED, 1)
    ]
    assert ledger.progress.count("paper").pages == 0
    ledger.sources.make_listings_due("paper", now=NOW + timedelta(minutes=1))
    again = lease_run(ledger, now=NOW + timedelta(minutes=1))
    assert again is not None and again.fence > row.fence


def test_a_spider_that_leaves_the_plan_is_retired_and_comes_back(ledger: Ledger) -> None:
    ledger.sources.put(PAPER, now=NOW)
    ledger.sources.put(replace(PAPER, spider=None), now=NOW)
    trace = ledger.traces.get(make_spider_url("paper"))
    assert trace is not None and trace.outcome is Outcome.DENIED
    assert lease_run(ledger) is None
    ledger.sources.put(PAPER, now=NOW)
    assert lease_run(ledger) is not None


def test_a_submitted_url_is_never_a_run(ledger: Ledger) -> None:
    ledger.links.add([Link("spider:paper", source="paper")], now=NOW)
    assert lease_run(ledger) is None
    ledger.sources.put(PAPER, now=NOW)
    assert lease_run(ledger) is not None


def test_a_run_can_be_retried_by_its_url(ledger: Ledger) -> None:
    assert ledger.traces.get("spider:nobody") is None
    with pytest.raises(UrlError):
        ledger.traces.get("spinner:nobody")
    ledger.sources.put(PAPER, now=NOW)
    row = lease_run(ledger)
    assert row is not None
    ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.SPIDER_FAILED, "crash"))], now=NOW)
    ledger.hosts.release(row.host, "one", now=NOW)
    assert ledger.retries.retry(now=NOW, urls=["spider:paper"]) == 1
    trace = ledger.traces.get("spider:paper")
    assert trace is not None and trace.state is State.DUE
