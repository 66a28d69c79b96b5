"""Saved searches and alerts: each match is numbered once, each message is begun once; on SQLite and Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rows import NOON, Mill, after, document_of, good, links
from sqlalchemy import Engine

from newsmill.exceptions import ConfigError
from newsmill.search.search import Search
from newsmill.storage.alert_schedule import Frequency, Schedule, make_schedule
from newsmill.storage.alerts import MIN_INTERVAL, Alerts, AlertState, Channel
from newsmill.storage.changes import Changes
from newsmill.storage.ledger import Ledger
from newsmill.storage.outbox import LEASE, RETRY_DELAYS_SECONDS, delete_old_messages
from newsmill.storage.saved_searches import MATCH_AGE, MatchedPage, SavedSearch, SavedSearches
from newsmill.text import urls


@pytest.fixture
def mill(ledger: Ledger) -> Mill:
    return Mill(ledger)


def stored(mill: Mill, count: int, title: str) -> list[str]:
    """Documents stored one second after another; their IDs."""
    found = []
    for claim in mill.fetch(*links(count, site=f"https://paper.example/{mill.now:%H%M%S}")):
        mill.now += timedelta(seconds=1)
        mill.store(good(claim, document_of(claim.url, title=title)))
        found.append(urls.make_key(claim.url))
    return found


def match(engine: Engine, *, limit: int = 200) -> int:
    """One round of the sender, with pages of `limit` documents."""
    searches, changes, search = SavedSearches(engine), Changes(engine), Search(engine)
    pages = []
    for one in searches.list_behind(changes.end(), limit=100):
        ids, end = changes.page_after(one.seen, limit=limit)
        pages.append(MatchedPage(one, search.filter_ids(one.query, ids), end))
    return searches.record(pages, now=NOON)


def test_every_document_is_matched_once(mill: Mill, engine: Engine) -> None:
    searches = SavedSearches(engine)
    stored(mill, 2, "Harbour before")
    harbour = searches.add("ann", "Harbour", "harbour", now=NOON)
    ferry = searches.add("bea", "Ferry", "ferry", now=NOON)
    assert searches.list_behind(Changes(engine).end(), limit=9) == []
    mill.now += timedelta(hours=1)
    wanted = stored(mill, 5, "Harbour opens")
    stored(mill, 3, "Town hall")
    assert [match(engine, limit=3) for _ in range(4)] == [3, 2, 0, 0]
    assert searches.list_behind(Changes(engine).end(), limit=9) == []
    found = searches.list_matches(harbour.id, limit=9)
    assert [(one.number, one.document_id) for one in reversed(found)] == list(enumerate(wanted, 1))
    assert [one.number for one in searches.list_matches(harbour.id, after=1, before=4, limit=9)] == [3, 2]
    current = searches.get(harbour.id)
    assert current is not None and (current.matches, current.new) == (5, 5)
    other = searches.get(ferry.id, "bea")
    assert other is not None and other.new == 0 and searches.get(ferry.id, "ann") is None
    searches.mark_looked(current, now=after(hours=2))
    looked = searches.get(harbour.id)
    assert looked is not None and (looked.new, looked.looked_at) == (0, after(hours=2))
    assert searches.delete_old(now=NOON + MATCH_AGE) == 0
    assert searches.delete_old(now=NOON + MATCH_AGE + timedelta(seconds=1)) == 5


def test_a_changed_document_keeps_its_number_and_a_slower_process_records_nothing(mill: Mill, engine: Engine) -> None:
    searches, changes = SavedSearches(engine), Changes(engine)
    search = searches.add("ann", "Harbour", "harbour", now=NOON)
    (claim,) = mill.fetch(*links(1))
    mill.store(good(claim, document_of(claim.url, title="Harbour")))
    ids, end = changes.page_after(search.seen, limit=9)
    page = MatchedPage(search, ids, end)
    assert (searches.record([page], now=NOON), searches.record([page], now=NOON)) == (1, 0)
    mill.ledger.links.add(links(1), now=mill.now, again=True)
    mill.lease()
    (again,) = mill.claim(mill.save())
    mill.now += timedelta(seconds=1)
    mill.store(good(again, document_of(claim.url, title="Harbour", content="two")))
    assert len(searches.list_behind(changes.end(), limit=9)) == 1
    assert match(engine) == 0
    assert [one.number for one in searches.list_matches(search.id, limit=9)] == [1]


def test_names_belong_to_a_user_and_are_unique(engine: Engine) -> None:
    searches = SavedSearches(engine)
    first = searches.add("ann", "  Wind   farms ", "wind", now=NOON)
    second = searches.add("ann", "Rail", "rail", now=NOON)
    searches.add("bea", "Rail", "rail", now=NOON)
    assert first.name == "Wind farms" and searches.find("ann", "Rail") == second
    for name in ("Rail", "", "a\x00b", "x" * 101):
        with pytest.raises(ConfigError):
            searches.rename(first, name)
        with pytest.raises(ConfigError):
            searches.add("ann", name, "wind", now=NOON)
    with pytest.raises(ConfigError):
        searches.add("ann", "Empty", "  ", now=NOON)
    searches.rename(first, "Wind")
    assert [search.name for search in searches.list_all("ann")] == ["Rail", "Wind"]
    alerts = Alerts(engine)
    alerts.add(first, Channel.EMAIL, "ann@example.org", Schedule(), now=NOON)
    assert searches.remove(first.id) and not searches.remove(first.id)
    assert alerts.list_all() == []
    with pytest.raises(ConfigError):
        alerts.add(first, Channel.EMAIL, "ann@example.org", Schedule(), now=NOON)


@pytest.fixture
def search(mill: Mill, engine: Engine) -> SavedSearch:
    """A search with 60 matches after its alerts are made."""
    return SavedSearches(engine).add("ann", "Harbour", "harbour", now=NOON)


def test_a_message_has_one_id_in_every_try(mill: Mill, engine: Engine, search: SavedSearch) -> None:
    alerts, changes = Alerts(engine), Changes(engine)
    mail = alerts.add(search, Channel.EMAIL, "ann@example.org", Schedule(), now=NOON, language="de")
    hook = alerts.add(search, Channel.WEBHOOK, "https://r.example.org/", Schedule(), now=NOON)
    assert (mail.secret, str(hook.secret)[:6], mail.language) == (None, "whsec_", "de")
    assert alerts.begin_due(changes.end(), now=NOON) == 0
    stored(mill, 60, "Harbour opens")
    match(engine)
    end, now = changes.end(), after(minutes=1)
    assert (alerts.begin_due(end, now=now), alerts.begin_due(end, now=now)) == (2, 0)
    claimed = {message.owner: message for message in alerts.outbox.claim_due(now=now, limit=9)}
    assert {owner: message.payload["until"] for owner, message in claimed.items()} == {mail.id: 60, hook.id: 50}
    again = {message.owner: message for message in alerts.outbox.claim_due(now=now + LEASE, limit=9)}
    assert {message.id for message in again.values()} == {message.id for message in claimed.values()}, "their sender died"
    for message in again.values():
        alerts.outbox.mark_sent(message, now=now + LEASE)
    assert alerts.begin_due(end, now=now + LEASE) == 1
    (rest,) = alerts.outbox.claim_due(now=now + LEASE, limit=9)
    current = alerts.get(rest.owner)
    assert current is not None and (current.channel, current.notified, current.until) == (Channel.WEBHOOK, 50, 60), "it goes on at once"
    told = alerts.get(mail.id, "ann")
    assert told is not None and (told.notified, told.delivery, told.due_at) == (60, None, now + LEASE + MIN_INTERVAL)
    assert alerts.get(mail.id, "bea") is None


def test_a_dead_target_stops_its_own_alert(mill: Mill, engine: Engine, search: SavedSearch) -> None:
    alerts, changes, now = Alerts(engine), Changes(engine), after(hours=1)
    dead, gone, good_one = (
        alerts.add(search, Channel.WEBHOOK, f"https://{name}.example.org/", Schedule(), now=NOON) for name in ("dead", "gone", "good")
    )
    stored(mill, 1, "Harbour opens")
    match(engine)
    assert alerts.begin_due(changes.end(), now=now) == 3
    for message in alerts.outbox.claim_due(now=now, limit=9):
        if message.owner == good_one.id:
            alerts.outbox.mark_sent(message, now=now)
        else:
            alerts.outbox.mark_failed(message, "no answer", now=now, is_final=message.owner == gone.id)
    states = {alert.id: alert.state for alert in alerts.list_failing()}
    assert states == {dead.id: AlertState.ACTIVE, gone.id: AlertState.DEAD}
    for wait in RETRY_DELAYS_SECONDS:
        now += timedelta(seconds=wait)
        (message,) = alerts.outbox.claim_due(now=now, limit=9)
        assert message.owner == dead.id
        alerts.outbox.mark_failed(message, "no answer", now=now)
    ended = alerts.get(dead.id)
    assert ended is not None and (ended.state, ended.failing_since, ended.detail) == (AlertState.DEAD, after(hours=1), "no answer")
    assert delete_old_messages(engine, now=now + timedelta(days=99)) == 1 and len(alerts.list_failing()) == 2, "they can be resumed"
    assert alerts.resume(dead.id, now=now) and alerts.list_failing()[0].id == gone.id
    assert alerts.pause(dead.id) and alerts.outbox.claim_due(now=now, limit=9) == [] and alerts.resume(dead.id, now=now)
    (message,) = alerts.outbox.claim_due(now=now, limit=9)
    assert (message.owner, message.attempts, message.id) == (dead.id, 0, ended.delivery)
    assert alerts.remove(dead.id) and not alerts.pause(dead.id)
    alerts.outbox.mark_sent(message, now=now)  # it was removed meanwhile


def test_a_digest_waits_for_its_time_and_is_sent_once_when_it_was_missed(mill: Mill, engine: Engine, search: SavedSearch) -> None:
    alerts, changes = Alerts(engine), Changes(engine)
    daily = alerts.add(search, Channel.EMAIL, "ann@example.org", make_schedule("daily", 8, 0, "Europe/Berlin"), now=NOON)
    morning = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)  # 8 o'clock in Berlin
    assert daily.due_at == morning
    assert alerts.begin_due(changes.end(), now=morning) == 0, "nothing to tell"
    skipped = alerts.get(daily.id)
    assert skipped is not None and skipped.due_at == morning + timedelta(days=1), "not at once with the next match"
    stored(mill, 2, "Harbour opens")
    late = morning + timedelta(days=3, hours=5)  # nothing ran for two days
    assert alerts.begin_due(changes.end(), now=late) == 0, "not before everything is matched"
    match(engine)
    assert alerts.begin_due(changes.end(), now=morning + timedelta(hours=23, minutes=59)) == 0
    assert alerts.begin_due(changes.end(), now=late) == 1
    (message,) = alerts.outbox.claim_due(now=late, limit=9)
    alerts.outbox.mark_sent(message, now=late)
    sent = alerts.get(daily.id)
    assert sent is not None and (sent.notified, sent.due_at) == (2, morning + timedelta(days=4))
    assert alerts.begin_due(changes.end(), now=late) == 0


@pytest.mark.parametrize("frequency", Frequency)
def test_a_clock_that_was_ahead_silences_no_alert(mill: Mill, engine: Engine, search: SavedSearch, frequency: Frequency) -> None:
    alerts, changes, ahead = Alerts(engine), Changes(engine), after(days=365)
    alerts.add(search, Channel.EMAIL, "ann@example.org", make_schedule(frequency, 8, 0, "Europe/Berlin"), now=NOON)
    stored(mill, 1, "Harbour opens")
    match(engine)
    assert alerts.begin_due(changes.end(), now=ahead) == 1
    (message,) = alerts.outbox.claim_due(now=ahead, limit=9)
    alerts.outbox.mark_sent(message, now=ahead)
    stored(mill, 1, "Harbour closes")
    match(engine)
    assert alerts.begin_due(changes.end(), now=ahead + timedelta(seconds=1)) == 0
    assert alerts.begin_due(changes.end(), now=after(hours=1)) == 1


def test_schedules_at_their_boundaries() -> None:
    at = datetime(2026, 11, 25, 7, 0, tzinfo=UTC)  # a Wednesday
    daily = make_schedule("daily", 8, 0, "Europe/Berlin")
    assert daily.next_after(at - timedelta(microseconds=1)) == at
    assert daily.next_after(at) == at + timedelta(days=1)
    assert make_schedule("hourly").next_after(at) == at + timedelta(hours=1)
    weekly = make_schedule("weekly", 8, 2, "Europe/Berlin")
    assert weekly.next_after(at - timedelta(seconds=1)) == at and weekly.next_after(at) == at + timedelta(days=7)
    assert replace(weekly, weekday=1).next_after(at) == at + timedelta(days=6)
    night = make_schedule("daily", 2, 0, "Europe/Berlin")
    assert night.next_after(datetime(2027, 3, 27, 12, tzinfo=UTC)) == datetime(2027, 3, 28, 1, tzinfo=UTC), "the hour is left out"
    twice = night.next_after(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert twice == datetime(2026, 10, 25, 0, tzinfo=UTC) and night.next_after(twice) == datetime(2026, 10, 26, 1, tzinfo=UTC)
    assert make_schedule("at_once").next_after(at) == at and not Schedule(Frequency.AT_ONCE).is_digest
    for wrong in (
        ("sometimes", 8, 0, "UTC"),
        ("daily", 24, 0, "UTC"),
        ("weekly", 8, 7, "UTC"),
        ("daily", 8, 0, "../etc"),
        ("daily", 8, 0, "Mars/X"),
    ):
        with pytest.raises(ConfigError):
            make_schedule(*wrong)
