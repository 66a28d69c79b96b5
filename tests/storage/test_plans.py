"""No statement of the daily round may read the whole ledger: it would be the slower the more news there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rows import HOST, NOON, SITE, SOURCE, Mill, after, bad, document_of, ended, good, links
from sqlalchemy import Engine, event, text

from newsmill.context import build_context
from newsmill.model import ExtractionPath, Kind, Link, Outcome, Profile
from newsmill.storage import database
from newsmill.storage.alarms import prepare_messages
from newsmill.storage.database import reading
from newsmill.storage.fast_path_stats import FastPathStats
from newsmill.storage.ledger import FROM_BACKFILL, Ledger, Postponed
from newsmill.storage.listing_plans import plan_listings
from newsmill.storage.outbox import MessageKind, Outbox
from newsmill.storage.profiles import Profiles
from newsmill.storage.source_health import SourceHealthReader
from workers.health_checks import check_sources

LARGE = ("SCAN ledger", "SCAN documents", "SCAN segments")  # the others hold dozens of rows, or as many as there are hosts
# Their indexes must be searched too: an index of 80,000 plans that is read in its order took 13 ms in each pass.
SEARCHED = ("SCAN listing_schedules", "SCAN sightings")


@pytest.fixture
def engine(sqlite_template: Any, tmp_path: Any) -> Any:
    path = tmp_path / "plans.db"
    path.write_bytes(sqlite_template.read_bytes())
    engine = database.connect(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def a_day(ledger: Ledger, engine: Engine) -> None:
    """Every call that crawler, worker and scheduler make."""
    mill = Mill(ledger)
    ledger.sources.put(SOURCE, now=NOON)
    ledger.sources.tick(now=NOON, next_tick=lambda source, at: after(days=1))
    ledger.sources.tick(now=NOON, next_tick=lambda source, at: after(days=1), only_due=True)
    ledger.sources.make_listings_due("paper", now=NOON)
    ledger.links.add(links(9), now=NOON, again=True)
    backfill = ledger.backfills.start("paper", NOON.date(), NOON.date(), now=NOON)
    ledger.backfills.add(backfill, [Link(f"{SITE}/part.xml", Kind.SITEMAP, "paper", FROM_BACKFILL)], now=after(hours=1))
    ledger.backfills.get("paper")
    ledger.backfills.count_pending(["paper"])
    ledger.backfills.list_all()
    ledger.backfills.end_finished(now=NOON)
    ledger.backfills.stop("paper", now=NOON)
    rows = mill.lease()
    ledger.hosts.renew(mill.crawler, [HOST], seconds=60, now=NOON)
    ledger.hosts.save_robots(HOST, mill.crawler, status=None, body=None, crawl_delay=None, now=NOON)
    ledger.url_endings.end([ended(row, Outcome.GONE) for row in rows[:2]], now=NOON)
    ledger.url_endings.postpone([Postponed(rows[2].id, rows[2].fence, NOON)], now=NOON)
    ledger.url_leases.release(rows[3:4], now=NOON)
    segment = mill.save(rows[4:])
    ledger.url_leases.expire(now=NOON)
    ledger.segments.list_pending(now=NOON, limit=10)
    claims = mill.claim(segment)
    ledger.claims.mark_in_progress(claims[0], now=NOON)
    ledger.claims.report_crash(claims[0], "read", "died", now=NOON)
    ledger.deferred.put(claims[4], "deadline", now=NOON)
    ledger.deferred.set_aside(claims[5:6], now=NOON)
    for owner in ledger.deferred.list_waiting(now=NOON):
        ledger.deferred.claim(owner, mill.worker, limit=16, seconds=60, now=NOON)
    ledger.deferred.count()
    ledger.claims.renew(segment, mill.worker, seconds=60, now=NOON)
    mill.store(good(claims[1]), bad(claims[2], Outcome.NO_TEXT), good(claims[3], document_of(claims[3].url, canonical=claims[1].url)))
    ledger.claims.release(segment, mill.worker, now=NOON)
    ledger.segments.get(segment)
    ledger.segments.filter_known([segment])
    ledger.progress.count()
    ledger.progress.count("paper")
    ledger.progress.count_waiting("paper", until=NOON)
    ledger.counters.list_outcomes()
    ledger.traces.get(f"{SITE}/1")
    ledger.traces.list_quarantined()
    ledger.traces.list_all(outcome=Outcome.GONE)
    ledger.retries.retry(now=NOON, outcome=Outcome.GONE)
    ledger.retries.retry(now=NOON, urls=[f"{SITE}/1"])
    ledger.retries.discard([f"{SITE}/1"], now=NOON)
    ledger.due_revisits.make_due(now=after(days=1))
    mill.now = after(days=1)
    ledger.url_endings.end([ended(row, Outcome.GONE) for row in mill.lease() if row.is_revisit], now=mill.now)
    ledger.due_revisits.make_due(now=after(days=2))
    mill.now = after(days=2)
    mill.store(*(good(claim) for claim in mill.claim(mill.save([row for row in mill.lease() if row.is_revisit]))))
    profiles = Profiles(engine)
    profiles.put(Profile(HOST, 5, 1), documents=5, now=NOON)
    profiles.changed_sites(after(hours=-1))
    profiles.is_under_way(HOST, lambda documents, before: False)
    profiles.at(HOST, NOON)
    profiles.count(HOST, NOON)
    profiles.recent(HOST, 1, 10)
    profiles.sample(HOST, 40)
    for note in profiles.unapplied_versions():
        held = profiles.outdated(note, 9)
        profiles.bring_up_to_date(note, held[:1], [other.ledger_id for other in held[1:]], now=NOON)
    stats = FastPathStats(engine)
    stats.add({(HOST, 1): {ExtractionPath.FAST: 3}})
    stats.of(HOST, 1)
    app = build_context(engine, "archive")
    for hours in (0, 1, 2):
        check_sources(app, after(hours=hours))
    ledger.sources.put(replace(SOURCE, every=None), now=NOON)
    mill.now = after(days=3)
    for listing in mill.lease():
        if listing.kind is not Kind.PAGE:
            ledger.url_endings.end([ended(listing, Outcome.LISTED)], now=mill.now)
    for hours in (0, 1):
        plan_listings(engine, mill.now + hours * timedelta(hours=1), pass_seconds=3, polls_per_minute=3000)
    ledger.clock_repair.adjust(now=mill.now)
    ledger.dead_leases.end(lambda owner: False, now=mill.now)
    ledger.sources.set_enabled("paper", False, now=mill.now)
    SourceHealthReader(engine).read_all(ledger.sources.list_all(), now=NOON)
    app.documents.newest_time()
    prepare_messages(engine, [], now=NOON)
    Outbox(engine, MessageKind.ALARM).claim_due(now=NOON, limit=5)
    ledger.listing_moves.move("paper", f"{SITE}/rss", f"{SITE}/new", now=NOON)


def test_no_statement_scans_the_ledger(engine: Engine) -> None:
    plans: dict[str, Any] = {}

    @event.listens_for(engine, "before_cursor_execute")
    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.lstrip().startswith(("SELECT", "UPDATE", "WITH", "INSERT", "DELETE")):
            plans.setdefault(statement, parameters[0] if isinstance(parameters, list) else parameters)

    a_day(Ledger(engine), engine)
    event.remove(engine, "before_cursor_execute", note)
    assert len(plans) > 30
    scans = []
    with reading(engine) as conn:
        for statement, parameters in plans.items():
            plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            bad_steps = [step for step in plan if (step.startswith(LARGE) and "USING" not in step) or step.startswith(SEARCHED)]
            scans += [f"{step}\n  in {statement}" for step in bad_steps]
        assert conn.execute(text("SELECT 1")).scalar() == 1
    assert not scans, "\n\n".join(scans)
