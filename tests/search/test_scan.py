"""What bounds the time of a search at a million documents: synthetic terms, chunks, and results that say how far they go."""

from __future__ import annotations

import time
from math import inf
from typing import Any

import pytest
import services
from articles import article, numbers, store
from hypothesis import given
from hypothesis import strategies as st
from rows import after
from sqlalchemy import Engine, event, text

from newsmill.search import search as search_module
from newsmill.search.backend import StatementTimeoutError
from newsmill.search.common_bigrams import COMMON_WORD_CHARACTERS, common_bigrams
from newsmill.search.connections import read_connection
from newsmill.search.facets import count_facets
from newsmill.search.positions import MAX_POSITION, MIN_POSITION, IndexPosition, Span
from newsmill.search.postgres_backend import PostgresBackend, statement_timeout
from newsmill.search.scanning import ScannedIndex, scan_matches
from newsmill.search.search import Search
from newsmill.search.sqlite_backend import SqliteBackend
from newsmill.search.time_buckets import BUCKET_MOMENTS, MAX_BUCKETS, bucket_terms, covering_terms
from newsmill.search.timelines import Period, count_timeline
from newsmill.storage import database, schema_version
from newsmill.storage.database import reading

TIMES = st.integers(0, 2**42)


@pytest.fixture
def search(engine: Engine) -> Search:
    return Search(engine)


# ---- the pure parts ----------------------------------------------------------------------------------------------------------


@given(TIMES, TIMES, TIMES)
def test_time_buckets_cover_a_span(one: int, other: int, moment: int) -> None:
    lower, upper = min(one, other), max(one, other) + 1
    words = covering_terms(lower, upper)
    assert len(words) <= MAX_BUCKETS
    if lower <= moment < upper:
        assert not words or set(bucket_terms(moment)) & set(words)
    if not words:
        assert upper - lower > (MAX_BUCKETS - 2) * BUCKET_MOMENTS[-1]


def test_bigrams_are_of_adjacent_common_words() -> None:
    assert common_bigrams(["to", "be", "or", "not", "to", "be"]) == common_bigrams(["not", "to", "be", "or", "not"])
    assert common_bigrams(["the", "harbour", "of"]) == set() == common_bigrams(["the"])
    assert len(set(COMMON_WORD_CHARACTERS.values())) == len(COMMON_WORD_CHARACTERS) and max(COMMON_WORD_CHARACTERS.values()) < "\uf8ff"


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 70), st.integers(1, 20), st.integers(1, 9), st.booleans(), st.booleans())
def test_a_scan_finds_the_newest_matches_and_says_how_far_it_came(
    matches: list[bool], limit: int, enough: int, first: int, in_hurry: bool, jump: bool
) -> None:
    positions = [(number, "x") for number in range(len(matches), 0, -1)]
    matching = {position for position, match in zip(positions, matches, strict=True) if match}

    def within(span: Span) -> list[IndexPosition]:
        return [position for position in positions if span.lower <= position < span.upper]

    def nth_position(span: Span, n: int) -> IndexPosition | None:
        return dict(enumerate(within(span), 1)).get(n)

    def end_positions(span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        return (within(span)[0], within(span)[-1]) if within(span) else None

    def newest(span: Span, limit: int, _seconds: float | None) -> list[IndexPosition]:
        return [position for position in within(span) if position in matching][:limit]

    until = time.monotonic() - 1 if in_hurry else inf
    index = ScannedIndex(nth_position, end_positions, first, time.monotonic)
    scanned = scan_matches(index, newest, Span(), limit, enough, jump=jump, until=until)
    assert scanned.positions == newest(Span(scanned.lower, MAX_POSITION), limit, None)
    assert scanned.is_cut == (scanned.lower != MIN_POSITION and len(scanned.positions) < limit)
    assert in_hurry or not scanned.is_cut


# ---- in both databases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["relevance", "newest"])
def test_a_page_for_which_there_is_no_time_says_so_and_goes_on(
    engine: Engine, search: Search, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for backend in (SqliteBackend, PostgresBackend):
        monkeypatch.setattr(backend, "first_chunk_documents", 4)
    monkeypatch.setattr(search_module, "PAGE_SECONDS", 60.0)
    store(engine, *(article(n, "rare" if n in (0, 9, 10) else "word") for n in range(20)))
    whole = search.search("rare -other", order=order)  # type: ignore[arg-type]
    assert (whole.reached, whole.total, whole.cursor) == (None, 3, None)
    monkeypatch.setattr(search_module, "PAGE_SECONDS", -1)
    seen: list[str] = []
    cursor, reached = None, []
    while True:
        page = search.search("rare -other", order=order, cursor=cursor)  # type: ignore[arg-type]
        seen += [hit.url.rpartition("/")[2] for hit in page.hits]
        if (cursor := page.cursor) is None:
            break
        assert page.total is None
        reached.append(page.reached)
    assert seen == ["10", "9", "0"] and page.reached is None
    assert None not in reached and reached == sorted(reached, reverse=True) and len(reached) > 2  # type: ignore[type-var]
    assert search.search("rare -other", order=order, wait=True) == whole  # type: ignore[arg-type]
    assert numbers(search, "word", limit=3, order="newest") == ["19", "18", "17"]


def test_one_word_is_found_and_counted_whatever_the_time(engine: Engine, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite reads the matches of one word only, so their limit is enough. Postgres stops."""
    for backend in (SqliteBackend, PostgresBackend):
        monkeypatch.setattr(backend, "first_chunk_documents", 4)
    monkeypatch.setattr(search_module, "PAGE_SECONDS", -1)
    store(engine, *(article(n, "rare" if n in (0, 9, 10) else "word") for n in range(20)))
    for query, total in (("rare", 3), ("word OR rare", 20)):
        page = search.search(query)
        is_whole = engine.dialect.name == "sqlite"
        assert (page.reached is None, page.total) == (is_whole, total if is_whole else None)


def test_postgres_is_told_when_to_stop(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    with reading(engine) as _, engine.connect() as conn, conn.begin():
        with pytest.raises(StatementTimeoutError), statement_timeout(conn, 0.02):
            conn.execute(text("SELECT pg_sleep(5)"))
        with statement_timeout(conn, 1.0):
            assert conn.execute(text("SELECT 1")).scalar_one() == 1
        assert conn.execute(text("SHOW statement_timeout")).scalar_one() == "0"
        # on a busy server the limit also ends the statement that undoes it
        delayed = iter((True, False))

        @event.listens_for(conn, "before_cursor_execute", retval=True)
        def delay(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
            return (f"SELECT pg_sleep(5); {statement}" if "ROLLBACK TO" in statement and next(delayed) else statement), parameters

        with statement_timeout(conn, 0.02):
            assert conn.execute(text("SELECT 2")).scalar_one() == 2
        assert conn.execute(text("SHOW statement_timeout")).scalar_one() == "0" and not next(delayed, False)


# ---- counted for a page ------------------------------------------------------------------------------------------------------


class Ticking:
    """A clock on which every reading takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_what_a_page_counts_is_what_programs_count(engine: Engine, search: Search) -> None:
    sources = ("paper", None, "blatt")
    store(engine, *(article(n * 7, "rare word" if n % 3 else "word", source=sources[n % 3]) for n in range(20)))
    period = Period(after(hours=-12), after(days=8, hours=-12), "day")
    for query in ("", "word", "rare", "source:paper", "nosuchword", "!!!", "word before:2026-11-27"):
        timeline = count_timeline(engine, query, period, seconds=60)
        days = search.count_over_time(query, "day", since=period.since, until=period.until)
        assert tuple((bar.start, bar.n) for bar in timeline.bars if bar.n) == days, query
        assert timeline.is_complete and timeline.total == sum(n for _, n in days)
        facets = count_facets(engine, query)
        named = dict(search.count_by_source(query))
        named.pop("", None)
        assert {one.value: one.n for one in facets.values["source"]} == named
        assert facets.counted == search.count(query) and facets.is_complete


@pytest.mark.parametrize("query", ["", "word", "word -other", '"word one"'])
def test_a_page_that_has_no_time_to_count_shows_whole_days_only(engine: Engine, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a number that is too small: a day of which a part was counted has none."""
    for backend in (SqliteBackend, PostgresBackend):
        monkeypatch.setattr(backend, "first_chunk_documents", 4)
        monkeypatch.setattr(backend, "clock", Ticking())
    store(engine, *(article(n * 5, "word one", source=f"paper-{n % 3}") for n in range(40)))
    period = Period(after(hours=-12), after(days=9, hours=-12), "day")
    whole = count_timeline(engine, query, period)
    assert len(whole.bars) == 9 and whole.total == 40
    reached = []
    for seconds in range(-1, 30):
        part = count_timeline(engine, query, period, seconds=seconds)
        known = [bar for bar in part.bars if bar.n is not None]
        assert known == list(whole.bars[len(whole.bars) - len(known) :])
        reached.append(len(known))
    assert reached == sorted(reached) and reached[0] == 0 and reached[-1] == 9 and len(set(reached)) > 3


def test_facets_are_of_the_newest_matches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in (SqliteBackend, PostgresBackend):
        monkeypatch.setattr(backend, "first_chunk_documents", 2)
    store(engine, *(article(n, "word" if n else "rare", source=f"paper-{n}") for n in range(20)))
    for query in ("", "word"):
        facets = count_facets(engine, query, matches=6, limit=20)
        assert (facets.counted, facets.is_complete) == (6, False)
        assert {one.value for one in facets.values["source"]} == {f"paper-{n}" for n in range(14, 20)}
    hasty = count_facets(engine, "rare -word", seconds=-1)
    assert (hasty.counted, hasty.is_complete) == (0, False)


def test_a_page_whose_matches_are_counted_beside_it_tells_only_what_it_has_found(engine: Engine, search: Search) -> None:
    store(engine, *(article(n, "word" if n else "rare") for n in range(9)))
    assert search.search("rare", limit=5, count=False, wait=True).total == 1
    assert search.search("word", limit=5, order="newest", count=False, wait=True).total is None
    assert search.search("word", limit=5, order="newest", wait=True).total == 8


def test_counts_of_a_period_store_no_matches(postgres_url: str) -> None:
    """Nor do they read the documents of the period in the order of time. A plan of Postgres."""
    engine = database.connect(services.make_database(postgres_url, "newsmill_counts"))
    schema_version.upgrade(engine)
    store(engine, *(article(number, "ferry", published_at=after(hours=-number)) for number in range(40)))
    plans: list[str] = []
    with read_connection(engine) as conn:

        def explain(_: object, cursor: Any, statement: str, parameters: Any, *rest: object) -> None:
            if statement.startswith(("SELECT", "WITH")):
                plans.extend(row[0] for row in cursor.connection.execute(f"EXPLAIN {statement}", parameters))

        event.listen(conn, "before_cursor_execute", explain)
        PostgresBackend().count_per_bucket(conn, "'ferry'", Span((1, ""), (1 << 50, "")), 1 << 30)
    engine.dispose()
    assert any("ix_search_entries_vector" in line for line in plans), plans
    assert not any("CTE" in line or "search_entries_pkey" in line for line in plans), plans
