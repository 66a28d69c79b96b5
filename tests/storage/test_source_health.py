"""A source that fails is shown as failing, with what and since when, until it works again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rows import HOST, NOON, SITE, SOURCE, Mill, after, bad, document_of, ended, good, links
from sqlalchemy import Engine

from newsmill.context import build_context
from newsmill.extraction.site_profile.site_keys import make_path_key
from newsmill.health.causes import Cause, Finding, HealthState
from newsmill.health.rhythm import build_rhythm
from newsmill.model import (
    Block,
    BlockType,
    Kind,
    LeasedUrl,
    Link,
    Outcome,
    OutcomeRecord,
    PathStats,
    Profile,
    Source,
    State,
    describe_failure,
)
from newsmill.storage.check_histories import CheckHistory, read_histories, write_histories
from newsmill.storage.database import writing
from newsmill.storage.ledger import Ledger, Postponed
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealth, SourceHealthReader
from workers.health_checks import check_sources

FORBIDDEN = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403")
TWO_FEEDS = replace(SOURCE, homepage=None, feeds=(f"{SITE}/rss", f"{SITE}/atom"))


def read_health(engine: Engine, name: str = "paper", at: datetime = NOON) -> SourceHealth:
    source = Ledger(engine).sources.get(name)
    assert source is not None
    return SourceHealthReader(engine).read(source, now=at)


def postpone(mill: Mill, rows: list[LeasedUrl], failure: OutcomeRecord = FORBIDDEN) -> None:
    waiting = [Postponed(row.id, row.fence, after(hours=3), f"{failure.outcome}: {failure.detail}", failure=failure) for row in rows]
    assert mill.ledger.url_endings.postpone(waiting, now=mill.now) == len(rows)


def test_a_new_source_is_unread_and_a_paused_one_paused(engine: Engine, ledger: Ledger) -> None:
    ledger.sources.put(SOURCE, now=NOON)
    assert read_health(engine).state is HealthState.UNREAD
    ledger.sources.set_enabled("paper", False, now=NOON)
    assert read_health(engine).state is HealthState.PAUSED


def test_the_first_refused_try_shows_and_a_success_ends_it(engine: Engine, ledger: Ledger) -> None:
    ledger.sources.put(replace(SOURCE, homepage=None), now=NOON)
    mill = Mill(ledger)
    postpone(mill, mill.lease())
    health = read_health(engine)
    assert (health.state, health.failure, health.since, health.url) == (HealthState.BLOCKED, FORBIDDEN, NOON, f"{SITE}/rss")
    mill.now = after(hours=3, minutes=1)
    (row,) = mill.lease()
    ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=mill.now)
    assert read_health(engine).since == NOON  # the last of several tries does not begin a new failure
    ledger.sources.make_listings_due("paper", now=mill.now)
    assert (read_health(engine).failure, read_health(engine).since) == (FORBIDDEN, NOON)
    (row,) = mill.lease()
    ledger.url_endings.end([ended(row, Outcome.LISTED)], now=mill.now)
    assert (read_health(engine).state, read_health(engine).failure) == (HealthState.OK, None)


def test_one_of_two_feeds_that_is_missing_is_shown_before_it_is_proven(engine: Engine, ledger: Ledger) -> None:
    ledger.sources.put(TWO_FEEDS, now=NOON)
    mill = Mill(ledger)
    first, second = mill.lease()
    ledger.url_endings.end([ended(first, Outcome.LISTED), ended(second, Outcome.GONE, "HTTP 404")], now=NOON)
    health = read_health(engine)
    assert (health.state, health.failing, health.of, health.url) == (HealthState.FAILING, 1, 2, second.url)
    health = read_health(engine, at=after(hours=3))
    assert (health.state, [finding.cause for finding in health.causes]) == (HealthState.MOVED, [Cause.MISSING_LISTINGS])


def test_pages_that_are_all_refused_block_a_source(engine: Engine, ledger: Ledger) -> None:
    ledger.sources.put(replace(SOURCE, homepage=None), now=NOON)
    mill = Mill(ledger)
    (feed,) = mill.lease()
    ledger.url_endings.end([ended(feed, Outcome.LISTED)], now=NOON)
    (claim,) = mill.fetch(links(1)[0])
    mill.store(good(claim))
    assert read_health(engine).state is HealthState.OK
    mill.now = after(hours=1)
    ledger.links.add(links(4), now=mill.now)
    postpone(mill, mill.lease())
    assert read_health(engine, at=mill.now).state is HealthState.OK, "one try proves nothing"
    mill.now = after(hours=3, minutes=1)
    postpone(mill, mill.lease())
    health = read_health(engine, at=mill.now)
    assert (health.state, health.failure, health.since, health.failing) == (HealthState.BLOCKED, FORBIDDEN, after(hours=1), 3)
    mill.now = after(hours=6, minutes=1)
    mill.lease()
    mill.store(*(good(claim, document_of(claim.url, first_seen_at=mill.now)) for claim in mill.claim(mill.save())))
    assert read_health(engine, at=mill.now).state is HealthState.OK


def test_large_files_do_not_break_a_source(engine: Engine, ledger: Ledger) -> None:
    """A site that publishes once a week may link to videos in the meantime."""
    ledger.sources.put(SOURCE, now=NOON)
    mill = Mill(ledger)
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in mill.lease()], now=NOON)
    mill.store(*(good(claim, document_of(claim.url)) for claim in mill.fetch(*links(1))))
    for hours in (1, 2, 3):
        mill.now = after(hours=hours)
        ledger.links.add([Link(f"{SITE}/{hours}.mp4", source="paper", found_by="homepage")], now=mill.now)
        ledger.url_endings.end([ended(row, Outcome.TOO_LARGE) for row in mill.lease()], now=mill.now)
    assert read_health(engine, at=mill.now).causes == ()


def test_a_source_without_a_document_says_what_its_pages_are(engine: Engine, ledger: Ledger) -> None:
    ledger.sources.put(replace(SOURCE, homepage=None), now=NOON)
    mill = Mill(ledger)
    (feed,) = mill.lease()
    ledger.url_endings.end([ended(feed, Outcome.LISTED)], now=NOON)
    mill.store(*(bad(claim, Outcome.NEEDS_SCRIPT) for claim in mill.fetch(*links(6))))
    health = read_health(engine)
    assert (health.state, health.cause and health.cause.cause) == (HealthState.EXTRACTION_BROKEN, Cause.NEEDS_SCRIPT)
    assert health.cause is not None and health.cause.evidence.failing == 6


def test_alarms_begin_and_end_with_the_checks_of_the_scheduler(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    """A feed loses its entries, moves, and the whole site refuses the client: one alarm each, which survives retries and ends once."""
    app, alarms = build_context(engine, str(tmp_path)), SourceAlarms(engine)
    ledger.sources.put(TWO_FEEDS, now=NOON)
    mill = Mill(ledger)

    def poll(hours: float, *outcomes: Outcome, detail: str | None = None) -> list[tuple[str, bool]]:
        mill.now = after(hours=hours)
        ledger.sources.make_listings_due("paper", now=mill.now)
        rows = sorted(mill.lease(), key=lambda row: row.id)
        ledger.url_endings.end([ended(row, outcome, detail) for row, outcome in zip(rows, outcomes, strict=True)], now=mill.now)
        check_sources(app, mill.now)
        return [(alarm.finding.cause.value, alarm.until is None) for alarm in reversed(alarms.list_history("paper"))]

    refused, read, empty = Outcome.HTTP_ERROR, Outcome.LISTED, Outcome.EMPTY_LISTING
    assert poll(0, read, read) == []
    assert poll(1, read, empty) == []
    assert poll(2, read, Outcome.NOT_MODIFIED) == [("emptied_listing", True)], "unchanged means: still without entries"
    assert poll(3, read, empty) == [("emptied_listing", True)]
    assert poll(4, read, read) == [("emptied_listing", False)]
    assert poll(5, refused, refused, detail="HTTP 403") == [("emptied_listing", False)]
    assert poll(6, refused, refused, detail="HTTP 403")[1:] == [("refused", True)]
    assert poll(7, refused, refused, detail="HTTP 503")[1:] == [("refused", True)]
    assert read_health(engine, at=mill.now).state is HealthState.BLOCKED
    for hours in (8, 11, 14):  # a site that refuses and answers in turn: one alarm, until a listing is read twice in a row
        assert poll(hours, read, refused, detail="HTTP 403")[1:] == [("refused", True)]
        assert read_health(engine, at=mill.now).state is HealthState.BLOCKED
        assert poll(hours + 1, refused, refused, detail="HTTP 403")[1:] == [("refused", True)]
        assert poll(hours + 2, refused, refused, detail="HTTP 403")[1:] == [("refused", True)]
    assert poll(17, read, refused, detail="HTTP 403")[1:] == [("refused", True)]
    assert check_sources(app, after(hours=17.5)) == 1 and len(alarms.list_open()) == 1, "no read since then"
    assert poll(18, read, refused, detail="HTTP 403")[1:] == [("refused", False)]
    assert check_sources(app, mill.now) == 0, "a source is not checked twice within minutes"
    reader = SourceHealthReader(engine)
    assert (reader.list_problem_names(), reader.list_failing_names()) == ([], ["paper"]), "one of its feeds still fails"
    alarms.begin("paper", Finding(Cause.SILENT, NOON), now=mill.now)
    alarms.begin("paper", Finding(Cause.SILENT, mill.now), now=mill.now)
    assert [alarm.finding.since for alarm in alarms.list_open()] == [NOON], "one open alarm of a cause"
    changes = SourceChanges(engine)
    changes.rename(TWO_FEEDS, "gazette", now=mill.now)
    assert [alarm.source for alarm in alarms.list_open()] == ["gazette"]
    changes.remove("gazette", now=NOON)
    assert alarms.list_open() == []


def test_an_outage_of_the_crawlers_network_is_no_alarm_for_every_source(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    """While nothing else is read, unreachable hosts are not alarms; once another source is read again, the one that is not is gone."""
    app = build_context(engine, str(tmp_path))
    for name in ("one", "two", "three"):
        ledger.sources.put(Source(name, feeds=(f"https://{name}.example/rss",), discover=False), now=NOON)
    mill = Mill(ledger)

    def poll(hours: float, **results: Outcome) -> list[str]:
        mill.now = after(hours=hours)
        for name, outcome in results.items():
            ledger.sources.make_listings_due(name, now=mill.now)
            ledger.url_endings.end([ended(row, outcome) for row in mill.lease(f"{name}.example")], now=mill.now)
        check_sources(app, mill.now)
        return SourceHealthReader(engine).list_problem_names()

    assert poll(0, one=Outcome.LISTED, two=Outcome.LISTED, three=Outcome.LISTED) == []
    for hours in (1, 2, 3):
        assert poll(hours, one=Outcome.DNS, two=Outcome.TIMEOUT, three=Outcome.DNS) == []
    assert poll(4, one=Outcome.DNS, two=Outcome.LISTED, three=Outcome.LISTED) == ["one"]
    assert poll(5, one=Outcome.LISTED) == ["one"]
    assert poll(6, one=Outcome.LISTED) == []


def test_a_downtime_of_newsmill_does_not_count_as_a_silence(engine: Engine, tmp_path: Path) -> None:
    """A silence ends with the last read of a listing, and nothing is silent while its new pages wait."""
    app, ledger, mill = build_context(engine, str(tmp_path)), Ledger(engine), Mill(Ledger(engine))
    ledger.sources.put(replace(SOURCE, discover=False, revisit=()), now=NOON)
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in mill.lease()], now=NOON)
    mill.store(*(good(claim, document_of(claim.url)) for claim in mill.fetch(*links(1))))
    hourly = build_rhythm([NOON - timedelta(hours=number) for number in range(8 * 168)], NOON - timedelta(weeks=8), NOON)

    def check(days: float, *, is_read: bool = True) -> HealthState:
        """Check the source at this time, after a read of its listing."""
        mill.now = after(days=days)
        if is_read:
            ledger.sources.make_listings_due("paper", now=mill.now)
            feed, *pages = mill.lease()
            ledger.url_endings.end([ended(feed, Outcome.LISTED)], now=mill.now)
            ledger.url_leases.release(pages, now=mill.now)
        with writing(engine) as conn:
            history = read_histories(conn, ["paper"]).get("paper", CheckHistory())
            write_histories(conn, {"paper": replace(history, rhythm=hourly, rhythm_at=mill.now)}, after(days=days, hours=-1))
        assert check_sources(app, mill.now) == 1
        assert [alarm.finding.cause for alarm in SourceAlarms(engine).list_open()] == ([Cause.SILENT] if days > 6 else [])
        return read_health(engine, at=mill.now).state

    assert check(0.1) is HealthState.QUIET
    assert check(5, is_read=False) is HealthState.OK, "nothing ran for five days"
    ledger.links.add([Link(f"{SITE}/new", source="paper", found_by="feed")], now=after(days=5.1))
    assert check(5.1) is not HealthState.STALE, "a new page waits"
    (row,) = mill.lease()
    ledger.url_endings.end([ended(row, Outcome.GONE)], now=mill.now)
    assert check(6.1) is HealthState.STALE


class LayoutMill(Mill):
    """A source whose documents have one of two layouts, and whose profiles are stored by the test."""

    PATHS: ClassVar = {"old": "body/main/p", "new": "body/section/div"}

    def __init__(self, engine: Engine, ledger: Ledger, folder: Path) -> None:
        super().__init__(ledger)
        self.app, self.alarms = build_context(engine, str(folder)), SourceAlarms(engine)
        ledger.sources.put(replace(SOURCE, homepage=None), now=NOON)
        ledger.url_endings.end([ended(row, Outcome.LISTED) for row in self.lease()], now=NOON)

    def learn(self, *layouts: str, since: datetime | None = None, host: str = HOST) -> None:
        paths = {make_path_key(self.PATHS[layout]): PathStats(25, 25, 900, 880, 2) for layout in layouts}
        profile = Profile(host, 25, 2, paths=paths, fit=0.9, since=since, version=self.version(host))
        count = self.app.profiles.count(host, since)
        assert self.app.profiles.put(profile, documents=count, now=self.now) is not None

    def version(self, host: str = HOST) -> int:
        note = self.app.profiles.newest(host)
        return 0 if note is None else note.version

    def publish(self, hours: float, layout: str, count: int = 8, host: str = HOST) -> list[tuple[str, bool]]:
        """Store documents at this time, check the source, and return its alarms with whether they are open."""
        self.now = after(hours=hours)
        blocks = (Block(BlockType.PARAGRAPH, "Words of an article.", path=self.PATHS[layout]),)
        pages = [Link(f"https://{host}/{hours}-{number}", source="paper", found_by="feed") for number in range(count)]
        known: dict[str, Any] = {"blocks": blocks, "first_seen_at": self.now, "fetched_at": self.now}
        known["profile_version"] = self.version(host) or None
        self.ledger.links.add(pages, now=self.now)
        claims = self.claim(self.save(self.lease(host)))
        self.store(*(good(claim, document_of(claim.url, **known)) for claim in claims))
        return self.check()

    def check(self) -> list[tuple[str, bool]]:
        check_sources(self.app, self.now)
        return [(alarm.finding.cause.value, alarm.until is None) for alarm in reversed(self.alarms.list_history("paper"))]

    def apply_version(self, host: str = HOST) -> None:
        """Mark all documents as extracted by the newest version."""
        note = self.app.profiles.newest(host)
        assert note is not None
        self.app.profiles.bring_up_to_date(note, self.app.profiles.outdated(note, 100), [], now=self.now)


CHANGED = ("layout_change", True)


def test_a_layout_change_is_named_and_shown_for_a_day(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    """The newest documents have their text at unknown positions; then learning finds a new layout, which they fit."""
    mill = LayoutMill(engine, ledger, tmp_path)
    mill.learn("old")
    assert mill.publish(1, "old") == []
    assert mill.publish(2, "old") == []
    assert mill.publish(3, "new") == [CHANGED]
    assert mill.alarms.list_open()[0].finding.evidence.fit == 0
    mill.learn("new", since=mill.now)
    assert mill.publish(5, "new") == [CHANGED]
    assert read_health(engine, at=mill.now).state is HealthState.EXTRACTION_BROKEN
    ended_once = [("layout_change", False)]
    assert mill.publish(28, "new") == ended_once
    mill.learn("new", since=after(hours=3))
    assert mill.publish(30, "new") == ended_once, "the same layout, learned from more pages"
    mill.learn("new", since=mill.now)
    assert mill.publish(32, "new") == [*ended_once, CHANGED], "also when learning is faster than the check"


def test_a_layout_that_changes_while_the_profile_is_learned_is_named(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    """A version that is learned from pages of both layouts fits both, so documents are compared with the version before it, too."""
    mill = LayoutMill(engine, ledger, tmp_path)
    mill.learn("old")
    assert mill.publish(1, "old") == []
    mill.publish(2, "new", count=3)
    mill.learn("old", "new")
    assert mill.check() == []
    mill.apply_version()
    assert mill.publish(3, "new", count=2) == [], "five of the ten newest documents prove nothing"
    assert mill.publish(4, "new", count=2) == [CHANGED]
    assert mill.alarms.list_open()[0].finding.evidence.fit == 0
    assert mill.publish(29, "new") == [("layout_change", False)]


def test_profiles_that_grow_and_sites_of_one_source_are_no_layout_change(engine: Engine, ledger: Ledger, tmp_path: Path) -> None:
    """A rare layout that a grown profile knows is none, and the versions of two sites are not compared with each other."""
    mill, blog = LayoutMill(engine, ledger, tmp_path), f"blog.{HOST}"
    mill.learn("old")
    assert mill.publish(1, "old") == []
    mill.learn("old", "new")
    mill.apply_version()
    for hours in (2, 3, 4):
        assert mill.publish(hours, "old", count=5) == []
    assert mill.publish(5, "new") == [], "ten documents have fitted both versions since, so the new one is compared"
    for number in range(5):
        mill.learn("new", since=after(hours=-number), host=blog)
    assert mill.publish(6, "new", host=blog) == []


@pytest.mark.parametrize("is_planned", [True, False])
def test_a_feed_that_is_missing_while_the_homepage_announces_another_has_moved(engine: Engine, tmp_path: Path, is_planned: bool) -> None:
    """The new URL takes its place in the plan, or in the ledger where discovery found it; the old one is not fetched any more."""
    app, ledger, old, new = build_context(engine, str(tmp_path)), Ledger(engine), f"{SITE}/rss", f"{SITE}/new.xml"
    ledger.sources.put(replace(SOURCE, feeds=(old,) if is_planned else ()), now=NOON)
    ledger.links.add([Link(old, Kind.FEED, "paper", "homepage")], now=NOON)
    mill = Mill(ledger)
    ledger.url_endings.end([ended(row, Outcome.LISTED) for row in mill.lease()], now=NOON)
    check_sources(app, NOON)
    mill.now = after(hours=5)
    ledger.links.add([Link(new, Kind.FEED, "paper", "homepage")], now=mill.now)
    ledger.sources.make_listings_due("paper", now=mill.now)
    results = {old: (Outcome.GONE, "HTTP 404")}
    ledger.url_endings.end([ended(row, *results.get(row.url, (Outcome.LISTED, None))) for row in mill.lease()], now=mill.now)
    check_sources(app, mill.now)
    (alarm,) = SourceAlarms(engine).list_history("paper")
    assert (alarm.finding.cause, alarm.finding.evidence.url, alarm.finding.evidence.new_url) == (Cause.MOVED_LISTING, old, new)
    source = ledger.sources.get("paper")
    assert source is not None and source.feeds == ((new,) if is_planned else ())
    for hours in (6, 12, 31):
        mill.now = after(hours=hours)
        ledger.sources.make_listings_due("paper", now=mill.now)
        rows = mill.lease()
        assert sorted(row.url for row in rows) == [f"{SITE}/", new]
        ledger.url_endings.end([ended(row, Outcome.LISTED) for row in rows], now=mill.now)
        check_sources(app, mill.now)
        assert read_health(engine, at=mill.now).state is (HealthState.MOVED if hours < 29 else HealthState.OK)
    assert len(SourceAlarms(engine).list_history("paper")) == 1


def test_a_restart_with_the_old_url_in_the_file_undoes_no_move(engine: Engine) -> None:
    """The listing may have moved twice. When the new URL fails, the file counts again."""
    ledger, mill = Ledger(engine), Mill(Ledger(engine))
    old, middle, new, other = (f"{SITE}/{name}" for name in ("rss", "middle.xml", "new.xml", "other.xml"))
    file = replace(SOURCE, feeds=(old, other), discover=False)
    ledger.sources.put(file, now=NOON)
    for source, target in ((old, middle), (middle, new)):
        assert ledger.listing_moves.move("paper", source, target, now=after(hours=1))
    (planned,) = ledger.listing_moves.apply([file])
    assert planned == ledger.sources.get("paper") and planned.feeds == (new, other)
    mill.now = after(hours=2)
    ledger.url_endings.end([ended(row, Outcome.GONE if row.url == new else Outcome.LISTED) for row in mill.lease()], now=mill.now)
    assert ledger.listing_moves.apply([file]) == [file]


def test_a_retry_keeps_the_failure_for_the_trace(ledger: Ledger) -> None:
    mill = Mill(ledger)
    ledger.links.add(links(1), now=NOON)
    (row,) = mill.lease()
    ledger.url_endings.end([ended(row, Outcome.HTTP_ERROR, "HTTP 403")], now=NOON)
    assert ledger.retries.retry(urls=[row.url], now=after(minutes=5)) == 1
    trace = ledger.traces.get(row.url)
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
