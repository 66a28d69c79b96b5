"""The judgement of a source's health: each fault has its name, retries do not flicker, and a quiet week raises no alarm."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from newsmill.health.assessment import CHANGE_IS_SHOWN, decide_state, is_over, judge
from newsmill.health.causes import Cause, Evidence, Finding, HealthState, LayoutFit, ListingRecord, Observation, OutcomeWindow, PageFailures
from newsmill.health.proofs import find_causes
from newsmill.health.rhythm import HOUR, Rhythm, build_rhythm
from newsmill.model import Kind, Outcome, OutcomeRecord

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FEED = ListingRecord("https://a.example/rss", Kind.FEED, tried_at=NOW, first_seen_at=NOW - timedelta(days=30), had_entries=True)
HOME = replace(FEED, url="https://a.example/", kind=Kind.HOMEPAGE)
NEW_FEED = replace(FEED, url="https://a.example/new.xml", first_seen_at=NOW - HOUR)
OLD = NOW - timedelta(hours=2)
FORBIDDEN, MISSING = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"), OutcomeRecord(Outcome.GONE, "HTTP 404")
EMPTY = Observation(NOW, (replace(HOME, had_entries=False),), has_pages=False, reads=2)
USUAL = {Outcome.STORED: 200, Outcome.NO_TEXT: 4, Outcome.CONSENT_WALL: 0}


def failing(listing: ListingRecord, failure: OutcomeRecord, since: datetime = OLD) -> ListingRecord:
    return replace(listing, failure=failure, failing_since=since)


def observe(*listings: ListingRecord, **known: object) -> Observation:
    return replace(Observation(NOW, listings, last_document_at=NOW - timedelta(minutes=20)), **known)


def window(recent: dict[Outcome, int]) -> list[OutcomeWindow]:
    return [OutcomeWindow(OLD, recent, USUAL)]


LAYOUT = LayoutFit("a.example", 2, recent=0.1, usual=0.9, has_changed=True, version_since=OLD)
FAULTS = {
    "403": (observe(failing(FEED, FORBIDDEN), failing(HOME, FORBIDDEN)), Cause.REFUSED, HealthState.BLOCKED),
    "bot filter": (observe(failing(HOME, OutcomeRecord(Outcome.BLOCKED))), Cause.BOT_FILTER, HealthState.BLOCKED),
    "robots": (observe(failing(HOME, OutcomeRecord(Outcome.ROBOTS_DISALLOWED))), Cause.ROBOTS, HealthState.BLOCKED),
    "503": (observe(failing(HOME, OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 503"))), Cause.SERVER_ERROR, HealthState.GONE),
    "dead host": (observe(failing(HOME, OutcomeRecord(Outcome.DNS))), Cause.DEAD_HOST, HealthState.GONE),
    "all missing": (observe(failing(HOME, MISSING), failing(FEED, MISSING)), Cause.MISSING_LISTINGS, HealthState.GONE),
    "pages redirect in a loop": (
        observe(HOME, pages=PageFailures(4, OutcomeRecord(Outcome.REDIRECT_LOOP), OLD, NOW, "u"), last_document_at=OLD - HOUR),
        Cause.INVALID_PAGES,
        HealthState.EXTRACTION_BROKEN,
    ),
    "feed missing": (observe(HOME, failing(FEED, MISSING), at=OLD + timedelta(hours=5)), Cause.MISSING_LISTINGS, HealthState.MOVED),
    "feed moved": (observe(HOME, failing(FEED, MISSING), NEW_FEED), Cause.MOVED_LISTING, HealthState.MOVED),
    "feed invalid": (observe(failing(FEED, OutcomeRecord(Outcome.BAD_LISTING))), Cause.INVALID_LISTING, HealthState.EXTRACTION_BROKEN),
    "the only feed with entries": (
        observe(replace(HOME, had_entries=False), failing(FEED, OutcomeRecord(Outcome.BAD_LISTING))),
        Cause.INVALID_LISTING,
        HealthState.EXTRACTION_BROKEN,
    ),
    "feed emptied": (observe(HOME, replace(FEED, emptied_at=OLD)), Cause.EMPTIED_LISTING, HealthState.STALE),
    "consent": (observe(HOME, windows=window({Outcome.CONSENT_WALL: 6})), Cause.CONSENT_WALL, HealthState.BLOCKED),
    "no text": (observe(HOME, windows=window({Outcome.NO_TEXT: 9, Outcome.STORED: 1})), Cause.NO_TEXT, HealthState.EXTRACTION_BROKEN),
    "layout": (observe(HOME, layout=LAYOUT), Cause.LAYOUT_CHANGE, HealthState.EXTRACTION_BROKEN),
    "pages 403": (
        observe(HOME, pages=PageFailures(4, FORBIDDEN, OLD, NOW, "u"), last_document_at=OLD - HOUR),
        Cause.REFUSED,
        HealthState.BLOCKED,
    ),
}
NO_FAULTS = {
    "all read": observe(HOME, FEED),
    "one try failed": observe(failing(HOME, FORBIDDEN, NOW), failing(FEED, FORBIDDEN, NOW)),
    "a wall of some minutes": observe(failing(HOME, FORBIDDEN, NOW - timedelta(minutes=10))),
    "one feed fails for hours": observe(HOME, failing(FEED, FORBIDDEN)),
    "a feed is missing for a moment": observe(HOME, failing(FEED, MISSING, NOW - timedelta(hours=1.5))),
    "another feed is as old": observe(
        HOME, failing(FEED, MISSING, NOW - timedelta(hours=1.5)), replace(FEED, url="https://a.example/atom")
    ),
    "one feed was emptied just now": observe(HOME, replace(FEED, emptied_at=NOW)),
    "a news sitemap is empty": observe(HOME, replace(FEED, kind=Kind.SITEMAP, emptied_at=OLD)),
    "some pages without text": observe(HOME, windows=window({Outcome.NO_TEXT: 5, Outcome.STORED: 5})),
    "pages without text as always": observe(
        HOME, windows=[OutcomeWindow(OLD, {Outcome.NO_TEXT: 9}, {Outcome.NO_TEXT: 90, Outcome.STORED: 9})]
    ),
    "robots.txt forbids one feed": observe(HOME, failing(FEED, OutcomeRecord(Outcome.ROBOTS_DISALLOWED), NOW - timedelta(days=9))),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_name(name: str) -> None:
    seen, cause, state = FAULTS[name]
    found = find_causes(seen)
    assert [finding.cause for finding in found] == [cause]
    assert decide_state(found, seen) is state
    assert found[0].since == OLD
    again, begun = judge(found, seen)
    assert (again, begun) == ([], []), "the same observation neither ends a cause nor begins it twice"


@pytest.mark.parametrize("name", NO_FAULTS)
def test_what_is_not_proven_is_no_cause(name: str) -> None:
    assert find_causes(NO_FAULTS[name]) == []
    assert decide_state([], NO_FAULTS[name]) is HealthState.OK


def test_a_new_source_that_cannot_be_read_is_named_at_once() -> None:
    new = replace(failing(HOME, FORBIDDEN, NOW), had_entries=False)
    assert [finding.cause for finding in find_causes(observe(new, last_document_at=None))] == [Cause.REFUSED]
    assert decide_state([], observe(replace(HOME, tried_at=None), last_document_at=None)) is HealthState.UNREAD
    assert decide_state([], observe(is_enabled=False)) is HealthState.PAUSED


def test_a_cause_lasts_while_retries_run_and_ends_with_the_first_success() -> None:
    """Statuses change, listings are due again; only a success ends the wall, and nothing else begins beside it."""
    wall = observe(failing(HOME, FORBIDDEN), failing(FEED, FORBIDDEN))
    (cause,) = judge([], wall)[1]
    for failure in (OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 503"), OutcomeRecord(Outcome.TIMEOUT), FORBIDDEN, MISSING):
        assert judge([cause], observe(failing(HOME, failure), failing(FEED, failure))) == ([], [])
    assert judge([cause], observe(replace(HOME, tried_at=OLD - HOUR), failing(FEED, FORBIDDEN))) == ([], []), "an older success"
    assert judge([cause], observe(HOME, failing(FEED, FORBIDDEN))) == ([cause], [])


def test_a_fault_of_some_listings_hides_no_fault_of_the_source() -> None:
    """A feed that is missing for weeks explains neither a wall in front of the whole site nor its silence, but other missing feeds."""
    part = find_causes(FAULTS["feed missing"][0])
    wall = observe(failing(HOME, FORBIDDEN), failing(FEED, FORBIDDEN))
    assert [finding.cause for finding in judge(part, wall)[1]] == [Cause.REFUSED]
    history = build_rhythm([NOW - number * HOUR for number in range(8 * 168)], NOW - timedelta(weeks=8), NOW)
    home = replace(HOME, tried_at=NOW + timedelta(days=5))
    silent = observe(home, failing(FEED, MISSING), at=NOW + timedelta(days=5), rhythm=history, last_document_at=NOW)
    assert [finding.cause for finding in judge(part, silent)[1]] == [Cause.SILENT]
    (whole,) = judge([], wall)[1]
    assert judge([whole], replace(wall, at=silent.at, rhythm=history, last_document_at=NOW)) == ([], [])


def judge_all(*observations: Observation) -> list[tuple[int, int]]:
    """How many causes begin and end with each observation."""
    causes: list[Finding] = []
    counts = []
    for seen in observations:
        over, begun = judge(causes, seen)
        causes = [one for one in causes if one not in over] + begun
        counts.append((len(begun), len(over)))
    return counts


def test_a_listing_that_flaps_has_one_alarm() -> None:
    """It is the only one with entries, or one of several; it fails with another status each time; or it fails after it lost its entries."""
    other, server_error = replace(HOME, had_entries=False), OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 503")
    fails, once, twice = failing(FEED, server_error), replace(FEED, is_recovering=True), FEED
    assert judge_all(*(observe(other, feed) for feed in (fails, once, fails, once, twice))) == [(1, 0), (0, 0), (0, 0), (0, 0), (0, 1)]
    walls = [failing(FEED, failure, NOW - timedelta(days=2)) for failure in (FORBIDDEN, server_error, FORBIDDEN)]
    assert judge_all(*(observe(HOME, feed) for feed in (*walls, FEED))) == [(1, 0), (0, 0), (0, 0), (0, 1)]
    empty = replace(FEED, emptied_at=OLD)
    assert judge_all(*(observe(HOME, feed) for feed in (empty, failing(empty, server_error, NOW), empty))) == [(1, 0), (0, 0), (0, 0)]


def test_pages_that_give_documents_again_end_a_fault_of_extraction() -> None:
    """Copies of other articles are documents, and one of two pages a day is enough for a source that has no more."""
    (cause,) = find_causes(FAULTS["no text"][0])
    assert is_over(cause, observe(HOME, windows=window({Outcome.DUPLICATE: 3, Outcome.STORED: 1, Outcome.NO_TEXT: 2})))
    for hours, recent, over in (
        (6, {Outcome.STORED: 2}, False),
        (24, {Outcome.STORED: 2}, True),
        (24, {Outcome.NO_TEXT: 2}, False),
        (24, {}, False),
    ):
        assert is_over(cause, observe(HOME, windows=window(recent), at=OLD + timedelta(hours=hours))) is over


def test_how_the_other_causes_end() -> None:
    moved = Finding(Cause.MOVED_LISTING, OLD, Evidence(MISSING, FEED.url, NEW_FEED.url, 1, 2))
    later = NOW + CHANGE_IS_SHOWN
    assert not is_over(moved, observe(HOME, NEW_FEED)), "it is shown for a day"
    assert is_over(moved, observe(HOME, NEW_FEED, at=later))
    assert not is_over(moved, observe(HOME, failing(NEW_FEED, FORBIDDEN), at=later))
    emptied = find_causes(FAULTS["feed emptied"][0])[0]
    assert is_over(emptied, observe(HOME, FEED, replace(FEED, kind=Kind.SITEMAP, emptied_at=OLD))), "a news sitemap may be empty"
    pages = find_causes(FAULTS["pages 403"][0])[0]
    assert is_over(pages, observe(HOME))
    assert not is_over(pages, observe(HOME, last_document_at=OLD))
    consent = find_causes(FAULTS["consent"][0])[0]
    assert not is_over(consent, observe(HOME, windows=window({Outcome.CONSENT_WALL: 6, Outcome.STORED: 1})))
    assert is_over(consent, observe(HOME, windows=window({Outcome.STORED: 3})))
    layout = find_causes(FAULTS["layout"][0])[0]
    assert is_over(layout, observe(HOME, layout=LayoutFit("a.example", 3, recent=0.9, usual=0.9), at=later))
    assert all(is_over(one, observe(is_enabled=False)) for one in (moved, emptied, pages, consent, layout))


# ---- silence ------------------------------------------------------------------------------------------------------------------


def simulate(rng: random.Random, weeks: int) -> tuple[list[datetime], datetime]:
    """A source of random size and habits: hours of the day, weekends off, good and bad days, several documents at once."""
    start = NOW - timedelta(weeks=weeks)
    per_day, weekend = 10 ** rng.uniform(-0.5, 2.3), rng.choice((0.0, 0.3, 1.0))
    opens, closes = rng.randint(0, 12), rng.randint(13, 24)
    times = []
    for hour in range(weeks * 168):
        at = start + hour * HOUR
        if hour % 24 == 0:
            mood = rng.gammavariate(6, 1 / 6)  # some days have a third of the usual news
        rate = per_day / (closes - opens) * mood * (weekend if at.weekday() >= 5 else 1) * (opens <= at.hour < closes)
        if rng.random() < 1 - 2.718281828**-rate:
            times.append(at + timedelta(minutes=rng.randint(0, 59)))
    return times, start


def test_quiet_weeks_raise_no_alarm_and_a_stop_is_noticed() -> None:
    """Of 300 sources with eight weeks of history, no silence of a further week is an alarm, also if only half of the news appears."""
    rng = random.Random(17)
    silences = noticed = busy = 0
    for _ in range(300):
        times, start = simulate(rng, 9)
        split = NOW - timedelta(weeks=1)
        history = [at for at in times if at < split]
        rhythm = build_rhythm(history, start, split)
        week = [at for at in times if at >= split and rng.random() < 0.5]
        for before, after in zip([*history[-1:], *week], [*week, NOW], strict=False):
            silences += 1
            assert rhythm.silence_probability(before, after) > rhythm.level
        if rhythm.events_per_week > 70:
            busy += 1
            last = times[-1]
            home = replace(HOME, tried_at=last + timedelta(days=5))
            seen = Observation(last + timedelta(days=5), (home,), rhythm=rhythm, last_document_at=last)
            noticed += [finding.cause for finding in find_causes(seen)] == [Cause.SILENT]
            for unread in (replace(seen, listings=[replace(home, tried_at=last)]), replace(seen, has_waiting_pages=True)):
                assert find_causes(unread) == [], "Newsmill was down, or has not caught up"
            assert find_causes(replace(seen, at=last + HOUR)) == [], "the clock was ahead at the last read"
    assert silences > 5_000
    assert busy > 50
    assert noticed == busy


def test_a_young_source_and_unknown_hours_raise_no_alarm() -> None:
    start = NOW - timedelta(days=1)
    rhythm = build_rhythm([start + number * HOUR for number in range(24)], start, NOW)
    assert rhythm.expect(NOW + timedelta(days=1), NOW + timedelta(days=5)) == 0, "these hours of the week were never observed"
    assert rhythm.silence_probability(NOW, NOW + timedelta(days=7)) > rhythm.level
    assert Rhythm().silence_probability(NOW, NOW + timedelta(days=700)) == 1


def test_a_slow_day_is_quiet() -> None:
    """A source that publishes every hour is quiet after some hours, and stale after days; a night without news is neither."""
    start = NOW - timedelta(weeks=8)
    days = [start + number * HOUR for number in range(8 * 168) if 6 <= (start + number * HOUR).hour < 22]
    rhythm = build_rhythm(days, start, NOW)
    evening = NOW.replace(hour=21, minute=30)

    def state(after: timedelta) -> HealthState:
        home = replace(HOME, tried_at=evening + after)
        seen = Observation(evening + after, (home,), rhythm=rhythm, last_document_at=evening, active_hours_of_day=14)
        return decide_state(find_causes(seen), seen)

    spans = {8: HealthState.OK, 14: HealthState.QUIET, 24 * 6: HealthState.STALE}
    assert {hours: state(timedelta(hours=hours)) for hours in spans} == spans


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (replace(EMPTY, reads=1), HealthState.OK),
        (EMPTY, HealthState.EMPTY),
        (replace(EMPTY, has_pages=True), HealthState.OK),
        (replace(EMPTY, response_seconds=30.0), HealthState.EMPTY),
        (observe(HOME, response_seconds=9.0), HealthState.OK),
        (observe(HOME, response_seconds=10.0), HealthState.SLOW),
    ],
)
def test_a_source_that_gives_nothing_or_takes_long_is_not_ok(seen: Observation, state: HealthState) -> None:
    assert find_causes(seen) == [] and decide_state([], seen) is state
