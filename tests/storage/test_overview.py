"""Figures of the web pages: newest documents, documents per hour, results of sources, fetches, failures, disk space."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from rows import NOON, SOURCE, Mill, after, bad, document_of, ended, good, links
from sqlalchemy import Engine, event

from newsmill.model import Kind, Link, Outcome, Source, State
from newsmill.storage.ledger import Ledger
from newsmill.storage.operation_statistics import OperationStatistics, ResultGroup
from newsmill.storage.statistics import STATISTICS_DAYS, Statistics


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    """Three documents (one of them of another day, one of no source), a failure, and one page in quarantine."""
    mill = Mill(ledger, now=NOON)
    for source in (SOURCE, Source("quiet", homepage="https://quiet.example/"), Source("other", homepage="https://other.example/")):
        ledger.sources.put(source, now=NOON)
    wanted = [*links(4), Link("https://paper.example/alone", found_by="manual")]
    claims = {claim.url: claim for claim in mill.fetch(*wanted)}
    first, second, third, fourth = (claims[link.url] for link in links(4))
    alone = document_of("https://paper.example/alone", content="three", first_seen_at=NOON)
    mill.store(
        good(first, document_of(first.url, first_seen_at=after(hours=-1), title="First")),
        good(second, document_of(second.url, content="two", first_seen_at=after(minutes=5), title="Second", language=None)),
        bad(third, Outcome.TIMEOUT, "no answer"),
        bad(fourth, Outcome.TOO_DEEP, "nested"),
        good(claims[alone.url], replace(alone, source=None)),
    )
    return mill


def test_the_newest_documents(engine: Engine, mill: Mill) -> None:
    overview = Statistics(engine)
    assert [head.title for head in overview.newest(2)] == ["Second", "Žluťoučký kůň 🐎"]
    assert [head.title for head in overview.newest(9, "paper")] == ["Second", "First"]
    assert overview.newest(9, "quiet") == []


def test_documents_per_hour_and_source(engine: Engine, mill: Mill) -> None:
    found = [(one.hour, one.source, one.n) for one in Statistics(engine).per_hour(after(hours=-1, minutes=-1))]
    assert found == [(after(hours=-1), "paper", 1), (NOON, None, 1), (NOON, "paper", 1)]
    assert [one.n for one in Statistics(engine).per_hour(after(minutes=1))] == [1]


def test_how_sources_fare(engine: Engine, mill: Mill) -> None:
    fares = {fare.source.name: fare for fare in Statistics(engine).list_sources(NOON.date())}
    assert list(fares) == ["other", "paper", "quiet"]
    paper = fares["paper"]
    assert paper.last is not None and paper.last.title == "Second"
    assert (paper.stored, paper.outcomes) == (
        (0,) * (STATISTICS_DAYS - 1) + (2,),
        {Outcome.STORED: 2, Outcome.TIMEOUT: 1, Outcome.TOO_DEEP: 1},
    )
    assert (fares["quiet"].last, fares["quiet"].outcomes, sum(fares["quiet"].stored)) == (None, {}, 0)
    later = Statistics(engine).list_sources(NOON.date() + timedelta(days=STATISTICS_DAYS - 1), "paper")
    assert [fare.stored[0] for fare in later] == [2]
    assert Statistics(engine).list_sources(NOON.date() + timedelta(days=STATISTICS_DAYS), "paper")[0].outcomes == {}
    assert [fare.source.name for fare in Statistics(engine).list_sources(NOON.date(), after="other", limit=1)] == ["paper"]
    assert Statistics(engine).next_tick() == NOON


def test_sums_and_queues(engine: Engine, mill: Mill) -> None:
    mill.ledger.links.add([Link("https://paper.example/later", source="paper")], now=NOON)
    assert Statistics(engine).names() == ["other", "paper", "quiet"]
    before = OperationStatistics(engine).count_by_state()
    assert before[State.QUARANTINED] == 1
    mill.lease(limit=1)
    assert OperationStatistics(engine).count_by_state() == before | {
        State.DUE: before[State.DUE] - 1,
        State.FETCHING: before.get(State.FETCHING, 0) + 1,
    }


def test_what_is_being_fetched(engine: Engine, mill: Mill) -> None:
    mill.ledger.links.add([Link(f"https://other.example/{number}", source="other") for number in range(3)], now=NOON)
    mill.lease("other.example", limit=2)
    (one,) = OperationStatistics(engine).list_fetching_hosts()
    assert (one.host, one.rows, one.source, one.since) == ("other.example", 2, "other", NOON)


def test_results_grouped_with_failures_first(engine: Engine, mill: Mill) -> None:
    mill.ledger.links.add([Link("https://other.example/rss", Kind.FEED, "other")], now=NOON)
    rows = [row for row in mill.lease("other.example") if row.kind is Kind.FEED]
    mill.ledger.url_endings.end([ended(row, Outcome.TIMEOUT, "no answer from the feed") for row in rows], now=after(minutes=1))
    timeout, too_deep, *others = OperationStatistics(engine).results(NOON.date())
    assert (timeout.outcome, timeout.n, dict(timeout.sources)) == (Outcome.TIMEOUT, 2, {"other": 1, "paper": 1})
    assert timeout.newest is not None and timeout.newest.detail == "no answer from the feed"
    assert (too_deep.outcome, too_deep.n) == (Outcome.TOO_DEEP, 1)
    assert dict(timeout.kinds) == {Kind.FEED: 1, Kind.PAGE: 1}
    assert ResultGroup(Outcome.STORED, 3, {Kind.PAGE: 3}, {}, None) in others, "only failures have sources and an example"
    assert OperationStatistics(engine).results(NOON.date() + timedelta(days=1)) == []


def test_the_last_pages_of_a_source_and_the_room(engine: Engine, mill: Mill) -> None:
    operation = OperationStatistics(engine)
    found = operation.recent("paper")
    assert {trace.url for trace in found} == {link.url for link in links(4)}
    assert operation.recent("paper", 2) == found[:2] == sorted(found, key=lambda trace: -trace.id)[:2]
    assert operation.recent("quiet") == []
    space = operation.space()
    assert (space.archive, space.segments) == (1000, 1)
    assert space.database > 10_000


def test_nothing_scans_the_large_tables(engine: Engine, mill: Mill) -> None:
    """On SQLite, whose planner says what it does; the same indexes stand on Postgres."""
    if engine.dialect.name != "sqlite":
        return
    statements: list[tuple[str, object]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(conn: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        if statement.startswith("SELECT") and not statement.startswith("SELECT page_count"):
            statements.append((statement, parameters))

    overview, operation = Statistics(engine), OperationStatistics(engine)
    overview.newest(20), overview.newest(20, "paper"), overview.per_hour(NOON), overview.list_sources(NOON.date())
    operation.list_fetching_hosts(), operation.results(NOON.date()), operation.recent("paper"), operation.count_by_state()
    event.remove(engine, "before_cursor_execute", note)
    for statement, parameters in statements:
        with engine.connect() as conn:
            plan = [row[-1] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        scans = [line for line in plan if line.startswith(("SCAN documents", "SCAN ledger")) and "USING" not in line]
        assert not scans, (statement, plan)
