"""One host by name: where a redirect leads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from newsmill.model import Link
from newsmill.storage.ledger import Ledger

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=61)


def test_a_host_nobody_knew_is_leased_once(ledger: Ledger) -> None:
    lease = ledger.hosts.lease_one("b.example", "me", seconds=60, now=NOW)
    assert lease is not None
    assert lease.host == "b.example"
    assert ledger.hosts.lease_one("b.example", "you", seconds=60, now=NOW) is None
    assert ledger.hosts.renew("me", ["b.example"], seconds=60, now=NOW) == {"b.example"}
    assert ledger.hosts.lease_one("b.example", "you", seconds=60, now=LATER) is not None
    assert ledger.hosts.renew("me", ["b.example"], seconds=60, now=LATER) == set()


def test_a_pause_holds_for_it_too(ledger: Ledger) -> None:
    ledger.hosts.lease_one("b.example", "me", seconds=60, now=NOW)
    ledger.hosts.release("b.example", "me", now=NOW, next_fetch_at=LATER)
    assert ledger.hosts.lease_one("b.example", "you", seconds=60, now=NOW) is None
    assert ledger.hosts.lease_one("b.example", "you", seconds=60, now=LATER) is not None


def test_both_ways_of_leasing_see_each_other(ledger: Ledger) -> None:
    ledger.links.add([Link("http://b.example/a")], now=NOW)
    assert ledger.hosts.lease_one("b.example", "me", seconds=60, now=NOW) is not None
    assert ledger.hosts.lease("you", limit=9, seconds=60, now=NOW) == []
    ledger.hosts.release("b.example", "me", now=NOW)
    assert [lease.host for lease in ledger.hosts.lease("you", limit=9, seconds=60, now=NOW)] == ["b.example"]
    assert ledger.hosts.lease_one("b.example", "me", seconds=60, now=NOW) is None


def test_hosts_and_urls_of_one_source(ledger: Ledger) -> None:
    ledger.links.add(
        [Link("http://a.example/1", source="paper"), Link("http://a.example/2"), Link("http://b.example/1", source="other")], now=NOW
    )
    assert [lease.host for lease in ledger.hosts.lease("me", limit=9, seconds=60, now=NOW, source="paper")] == ["a.example"]
    assert [row.url for row in ledger.url_leases.lease("a.example", "me", limit=9, seconds=60, now=NOW, source="paper")] == [
        "http://a.example/1"
    ]
    assert ledger.url_leases.lease("a.example", "me", limit=9, seconds=60, now=NOW, source="paper") == []
    assert [row.url for row in ledger.url_leases.lease("a.example", "me", limit=9, seconds=60, now=NOW)] == ["http://a.example/2"]
    assert ledger.progress.is_fetch_due("paper", until=NOW) and ledger.progress.is_fetch_due("other", until=NOW)
    assert not ledger.progress.is_fetch_due("nobody", until=NOW)
    assert not ledger.progress.is_fetch_due("other", until=NOW - timedelta(seconds=1))
