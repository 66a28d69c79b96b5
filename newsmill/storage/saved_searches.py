"""Saved searches of users, the documents that matched them since they were saved, and the alerts on new matches.

Each saved search has a position in the order in which documents are stored (`ChangePosition`). `record` moves it and numbers the matches
before it in one transaction, so a crash misses no document and counts none twice. A document that changes is matched again, but keeps
its number.

An alert follows these numbers, with at most one message at a time, which `newsmill.web.message_senders` sends. `begin_due` fixes the ID and
the matches of a message in one transaction, before it is sent. A message that was interrupted is sent again with the same ID.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Select, and_, delete, func, literal_column, or_, select, update

from newsmill.exceptions import ConfigError
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import ChangePosition, Changes
from newsmill.storage.processes import CLOCK_SLACK
from newsmill.storage.schema import alerts, saved_searches, search_matches
from newsmill.storage.webhooks import MAX_WAIT, make_secret, next_try

ANYONE = ""  # the user of requests without a token of their own: no token has this name
MAX_SEARCHES = 200  # of one user
MAX_NAME_CHARACTERS = 100
MAX_QUERY_CHARACTERS = 2000
MATCH_AGE = timedelta(days=30)  # for which the matches of a search are kept


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A search with a name. `seen`: the position in the order of storage up to which documents were matched."""

    id: str
    user: str
    name: str
    query: str
    created_at: datetime
    seen: ChangePosition
    matches: int
    looked: int
    looked_at: datetime | None

    @property
    def new(self) -> int:
        """Documents that matched since the user last looked, or since the search was saved."""
        return self.matches - self.looked


@dataclass(frozen=True, slots=True)
class Match:
    """A document that matched; `number` counts the matches of the search."""

    number: int
    document_id: str
    matched_at: datetime


@dataclass(frozen=True, slots=True)
class MatchedPage:
    """The documents between the position of a search and `end` that match, in the order of storage."""

    search: SavedSearch
    ids: Sequence[str]
    end: ChangePosition


class SavedSearches:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, user: str, name: str, query: str, *, now: datetime) -> SavedSearch:
        """Save a search of a user; documents stored from now on are matched. Raises ConfigError for a name that is invalid or in use."""
        name, query = check_name(name), query.strip()
        if not query or len(query) > MAX_QUERY_CHARACTERS:
            raise ConfigError(f"query: expected 1 to {MAX_QUERY_CHARACTERS} characters")
        end = Changes(self._engine).end()
        search_id = secrets.token_hex(8)
        row = {"id": search_id, "user_name": user, "name": name, "query": query, "created_at": now, "looked_at": now}
        with writing(self._engine) as conn:
            if _count(conn, user) >= MAX_SEARCHES:
                raise ConfigError(f"there are {MAX_SEARCHES} saved searches; remove one first")
            _check_unused(conn, user, name)
            conn.execute(saved_searches.insert(), row | {"seen_at": end.stored_at, "seen_id": end.id, "matches": 0, "looked": 0})
        return SavedSearch(search_id, user, name, query, now, end, 0, 0, now)

    def list_all(self, user: str | None = None) -> list[SavedSearch]:
        """The searches of a user, or of all users, by name."""
        wanted = [] if user is None else [saved_searches.c.user_name == user]
        with reading(self._engine) as conn:
            rows = conn.execute(select(saved_searches).where(*wanted).order_by(saved_searches.c.name, saved_searches.c.id))
            return [to_saved_search(row) for row in rows.mappings()]

    def get(self, search_id: str, user: str | None = None) -> SavedSearch | None:
        """The search with this ID; None if it does not exist or belongs to another user."""
        wanted = [saved_searches.c.id == search_id, *([] if user is None else [saved_searches.c.user_name == user])]
        with reading(self._engine) as conn:
            row = conn.execute(select(saved_searches).where(*wanted)).mappings().one_or_none()
        return None if row is None else to_saved_search(row)

    def find(self, user: str, name: str) -> SavedSearch | None:
        """The search of a user with this name."""
        return next((search for search in self.list_all(user) if search.name == name), None)

    def rename(self, search: SavedSearch, name: str) -> None:
        """Give a search another name. Raises ConfigError for a name that is invalid or in use."""
        name = check_name(name)
        with writing(self._engine) as conn:
            if name != search.name:
                _check_unused(conn, search.user, name)
                conn.execute(update(saved_searches).where(saved_searches.c.id == search.id).values(name=name))

    def remove(self, search_id: str) -> bool:
        """Delete a search with its matches and alerts. False: it does not exist."""
        with writing(self._engine) as conn:
            conn.execute(delete(alerts).where(alerts.c.search == search_id))
            conn.execute(delete(search_matches).where(search_matches.c.search == search_id))
            return conn.execute(delete(saved_searches).where(saved_searches.c.id == search_id)).rowcount == 1

    def mark_looked(self, search: SavedSearch, *, now: datetime) -> None:
        """Record that the user has looked at all matches of the search as it was read."""
        is_older = and_(saved_searches.c.id == search.id, saved_searches.c.looked <= search.matches)
        with writing(self._engine) as conn:
            conn.execute(update(saved_searches).where(is_older).values(looked=search.matches, looked_at=now))

    # ---- matches

    def list_behind(self, end: ChangePosition, *, limit: int) -> list[SavedSearch]:
        """Searches before `end` (of `Changes.end`), those that are furthest behind first."""
        wanted = select(saved_searches).where(saved_searches.c.seen_at < end.stored_at)
        with reading(self._engine) as conn:
            rows = conn.execute(wanted.order_by(saved_searches.c.seen_at, saved_searches.c.id).limit(limit)).mappings()
            return [to_saved_search(row) for row in rows]

    def record(self, pages: Sequence[MatchedPage], *, now: datetime) -> int:
        """Move each search to the end of its page and number its matches, all in one transaction. Returns the number of new matches.

        A search that another process has moved meanwhile is left as it is.
        """
        with writing(self._engine) as conn:
            return sum(_record(conn, page, now) for page in sorted(pages, key=lambda page: page.search.id))

    def list_matches(self, search_id: str, *, after: int = 0, before: int | None = None, limit: int) -> list[Match]:
        """The newest matches with numbers above `after` and below `before`, newest first."""
        wanted = [search_matches.c.search == search_id, search_matches.c.number > after]
        if before is not None:
            wanted.append(search_matches.c.number < before)
        statement = select(search_matches).where(*wanted).order_by(search_matches.c.number.desc()).limit(limit)
        with reading(self._engine) as conn:
            return [Match(row.number, row.document_id, row.matched_at) for row in conn.execute(statement)]

    def delete_old(self, *, now: datetime) -> int:
        """Delete matches older than MATCH_AGE; returns how many."""
        with writing(self._engine) as conn:
            return conn.execute(delete(search_matches).where(search_matches.c.matched_at < now - MATCH_AGE)).rowcount


def check_name(name: str) -> str:
    """The name without blanks around it. Raises ConfigError."""
    name = " ".join(name.split())
    if not name or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
        raise ConfigError(f"name: expected 1 to {MAX_NAME_CHARACTERS} printable characters")
    return name


def _count(conn: Connection, user: str) -> int:
    return conn.execute(select(func.count()).select_from(saved_searches).where(saved_searches.c.user_name == user)).scalar_one()


def _check_unused(conn: Connection, user: str, name: str) -> None:
    wanted = and_(saved_searches.c.user_name == user, saved_searches.c.name == name)
    if conn.execute(select(saved_searches.c.id).where(wanted)).first() is not None:
        raise ConfigError(f"a saved search with the name {name!r} exists already; choose another name")


def _record(conn: Connection, page: MatchedPage, now: datetime) -> int:
    search, seen = page.search, page.search.seen
    is_unmoved = and_(
        saved_searches.c.id == search.id, saved_searches.c.seen_at == seen.stored_at, saved_searches.c.seen_id == seen.id
    )  # the row is locked from here on, so its matches have no other writer
    moved = update(saved_searches).where(is_unmoved).values(seen_at=page.end.stored_at, seen_id=page.end.id)
    last = conn.execute(moved.returning(saved_searches.c.matches)).scalar()
    if last is None or not page.ids:
        return 0
    known = select(search_matches.c.document_id).where(search_matches.c.search == search.id, search_matches.c.document_id.in_(page.ids))
    matched_before = set(conn.execute(known).scalars())
    rows = [
        {"search": search.id, "number": number, "document_id": document_id, "matched_at": now}
        for number, document_id in enumerate((document_id for document_id in page.ids if document_id not in matched_before), last + 1)
    ]
    if rows:
        conn.execute(search_matches.insert(), rows)
        conn.execute(update(saved_searches).where(saved_searches.c.id == search.id).values(matches=last + len(rows)))
    return len(rows)


def to_saved_search(row: Any) -> SavedSearch:
    """The search of a row of `saved_searches`."""
    names = ("id", "name", "query", "created_at", "matches", "looked", "looked_at")
    seen = ChangePosition(row["seen_at"], row["seen_id"])
    return SavedSearch(user=row["user_name"], seen=seen, **{name: row[name] for name in names})


# ---- when an alert sends a message: at once, or as a digest

MAX_ZONE_CHARACTERS = 64
WEEKDAYS = 7


class Frequency(StrEnum):
    """How often an alert may send a message."""

    AT_ONCE = "at_once"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`hour` (0 to 23) is used by daily and weekly digests, `weekday` (0 is Monday) by weekly ones; both in the time zone `zone`."""

    frequency: Frequency = Frequency.AT_ONCE
    hour: int = 8
    weekday: int = 0
    zone: str = "UTC"

    @property
    def is_digest(self) -> bool:
        return self.frequency is not Frequency.AT_ONCE

    def next_after(self, now: datetime) -> datetime:
        """The first time of a digest after `now` (aware), in UTC; `now` itself for an alert at once.

        An hour that a change of clocks leaves out is replaced by the hour after it; of one that comes twice, the first counts.

        >>> Schedule(Frequency.DAILY, hour=8, zone="Europe/Berlin").next_after(datetime(2026, 11, 25, 7, 0, tzinfo=UTC)).isoformat()
        '2026-11-26T07:00:00+00:00'
        """
        if self.frequency is Frequency.AT_ONCE:
            return now
        if self.frequency is Frequency.HOURLY:
            return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        zone = ZoneInfo(self.zone)
        local = now.astimezone(zone)
        days = 0 if self.frequency is Frequency.DAILY else (self.weekday - local.weekday()) % WEEKDAYS
        while True:
            day = local.date() + timedelta(days=days)
            at = datetime(day.year, day.month, day.day, self.hour, tzinfo=zone).astimezone(UTC)
            if at > now:
                return at
            days += 1 if self.frequency is Frequency.DAILY else WEEKDAYS


def make_schedule(frequency: str, hour: int = 8, weekday: int = 0, zone: str = "UTC") -> Schedule:
    """The schedule of these values. Raises ConfigError."""
    if frequency not in list(Frequency):
        raise ConfigError(f"schedule: expected one of {', '.join(Frequency)}, not {frequency[:40]!r}")
    if not 0 <= hour <= 23:
        raise ConfigError(f"hour: expected a whole number from 0 to 23, not {hour}")
    if not 0 <= weekday < WEEKDAYS:
        raise ConfigError(f"weekday: expected a whole number from 0 (Monday) to 6 (Sunday), not {weekday}")
    try:
        ZoneInfo(zone[:MAX_ZONE_CHARACTERS])
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a path raises the others
        raise ConfigError(f"zone: expected a time zone such as Europe/Berlin or UTC, not {zone[:40]!r}") from None
    return Schedule(Frequency(frequency), hour, weekday, zone)


# ---- alerts and their messages

MAX_ALERTS = 20  # of one search
LEASE = timedelta(minutes=5)  # of a message that is being sent: more than any channel may take
MIN_INTERVAL = timedelta(minutes=5)  # between two messages at once to a person
MAX_WEBHOOK_DOCUMENTS = 50  # in one message
MAX_DETAIL_CHARACTERS = 500


class Channel(StrEnum):
    """How an alert is sent."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class AlertState(StrEnum):
    """Whether an alert sends messages."""

    ACTIVE = "active"
    PAUSED = "paused"  # by its user
    DEAD = "dead"  # its target failed too often, or wants no more messages


# From one message to the next, with a change of clocks. A later time was written by a clock that was ahead.
LONGEST_WAITS = {
    Frequency.AT_ONCE: MIN_INTERVAL,
    Frequency.HOURLY: timedelta(hours=1),
    Frequency.DAILY: timedelta(hours=25),
    Frequency.WEEKLY: timedelta(days=7, hours=1),
}

IS_ACTIVE = alerts.c.state == literal_column("'active'")  # a literal, which SQLite needs to use the partial index
_COLUMNS = [*alerts.c, *(column.label(f"search_{column.name}") for column in saved_searches.c)]
_WITH_SEARCH: Select[Any] = select(*_COLUMNS).join(saved_searches, saved_searches.c.id == alerts.c.search)


@dataclass(frozen=True, slots=True)
class Alert:
    """Where, how and when the new matches of a saved search are announced."""

    id: str
    search: SavedSearch
    channel: Channel
    target: str
    secret: str | None
    schedule: Schedule
    language: str
    created_at: datetime
    state: AlertState
    notified: int
    due_at: datetime
    delivery: str | None
    until: int | None
    attempts: int
    next_at: datetime | None
    failing_since: datetime | None
    detail: str | None
    sent_at: datetime | None

    @property
    def shown_target(self) -> str:
        """The target without passwords: of a service, only its scheme."""
        return f"{self.target.partition(':')[0]}://…" if self.channel is Channel.APPRISE else self.target


class Alerts:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, search: SavedSearch, channel: Channel, target: str, schedule: Schedule, *, now: datetime, language: str = "en") -> Alert:
        """A new alert on the matches from now on. `target` was checked. A webhook gets a secret. Raises ConfigError."""
        alert_id = secrets.token_hex(8)
        with writing(self._engine) as conn:
            current = conn.execute(select(saved_searches.c.matches).where(saved_searches.c.id == search.id)).scalar()
            if current is None:
                raise ConfigError(f"the saved search {search.name!r} does not exist any more")
            if conn.execute(select(func.count()).select_from(alerts).where(alerts.c.search == search.id)).scalar_one() >= MAX_ALERTS:
                raise ConfigError(f"the saved search {search.name!r} has {MAX_ALERTS} alerts; remove one first")
            row = {
                "id": alert_id,
                "search": search.id,
                "channel": channel.value,
                "target": target,
                "secret": make_secret() if channel is Channel.WEBHOOK else None,
                "schedule": schedule.frequency.value,
                "hour": schedule.hour,
                "weekday": schedule.weekday,
                "zone": schedule.zone,
                "language": language,
                "created_at": now,
                "state": AlertState.ACTIVE.value,
                "notified": current,
                "due_at": schedule.next_after(now),
                "attempts": 0,
            }
            conn.execute(alerts.insert(), row)
        added = self.get(alert_id)
        if added is None:
            raise ConfigError(f"the saved search {search.name!r} does not exist any more")
        return added

    def list_all(self, *, user: str | None = None, search: str | None = None) -> list[Alert]:
        """The alerts of a user, of a search, or all, oldest first."""
        wanted = [] if user is None else [saved_searches.c.user_name == user]
        wanted += [] if search is None else [alerts.c.search == search]
        return self._read(_WITH_SEARCH.where(*wanted).order_by(alerts.c.created_at, alerts.c.id))

    def get(self, alert_id: str, user: str | None = None) -> Alert | None:
        """The alert with this ID; None if it does not exist or belongs to another user."""
        wanted = [alerts.c.id == alert_id, *([] if user is None else [saved_searches.c.user_name == user])]
        return next(iter(self._read(_WITH_SEARCH.where(*wanted))), None)

    def remove(self, alert_id: str) -> bool:
        """Delete an alert. False: it does not exist."""
        with writing(self._engine) as conn:
            return conn.execute(delete(alerts).where(alerts.c.id == alert_id)).rowcount == 1

    def pause(self, alert_id: str) -> bool:
        """Send no messages until `resume`. False: it does not exist."""
        with writing(self._engine) as conn:
            return conn.execute(update(alerts).where(alerts.c.id == alert_id).values(state=AlertState.PAUSED.value)).rowcount == 1

    def resume(self, alert_id: str, *, now: datetime) -> bool:
        """Continue where the alert stopped; a message in progress is tried at once. False: it does not exist."""
        values = {"state": AlertState.ACTIVE.value, "attempts": 0, "next_at": now, "failing_since": None, "detail": None}
        with writing(self._engine) as conn:
            return conn.execute(update(alerts).where(alerts.c.id == alert_id).values(**values)).rowcount == 1

    def list_failing(self) -> list[Alert]:
        """Alerts whose last try failed, also those that are dead."""
        return self._read(_WITH_SEARCH.where(alerts.c.failing_since.is_not(None)).order_by(alerts.c.failing_since, alerts.c.id))

    # ---- messages

    def begin_due(self, end: ChangePosition, *, now: datetime) -> int:
        """Begin a message of each alert that is due and has matches to tell; returns how many.

        A digest waits until all documents before `end` were matched. Without matches, it is due at its next time.
        """
        waits = LONGEST_WAITS.items()
        is_wrong = or_(*(and_(alerts.c.schedule == name.value, alerts.c.due_at > now + wait + CLOCK_SLACK) for name, wait in waits))
        is_due = and_(IS_ACTIVE, or_(alerts.c.due_at <= now, is_wrong), alerts.c.delivery.is_(None))
        is_at_once = alerts.c.schedule == Frequency.AT_ONCE.value
        is_ready = or_(
            and_(is_at_once, saved_searches.c.matches > alerts.c.notified), and_(~is_at_once, saved_searches.c.seen_at >= end.stored_at)
        )
        found = self._read(_WITH_SEARCH.where(is_due, is_ready))
        if not found:  # nearly always: no write lock is needed
            return 0
        begun = 0
        with writing(self._engine) as conn:
            for alert in sorted(found, key=lambda alert: alert.id):
                pending = alert.search.matches - alert.notified
                if pending == 0:
                    values: dict[str, Any] = {"due_at": alert.schedule.next_after(now)}
                else:
                    most = MAX_WEBHOOK_DOCUMENTS if alert.channel is Channel.WEBHOOK else pending
                    values = {"delivery": f"msg_{secrets.token_hex(12)}", "until": alert.notified + min(most, pending), "next_at": now}
                is_unchanged = and_(alerts.c.id == alert.id, alerts.c.delivery.is_(None), alerts.c.notified == alert.notified)
                begun += bool(conn.execute(update(alerts).where(is_unchanged).values(**values)).rowcount and pending)
        return begun

    def claim_due(self, *, now: datetime, limit: int, skipped: Sequence[str] = ()) -> list[Alert]:
        """Claim messages whose next try is due, for the time LEASE; not those of the alerts `skipped`."""
        is_time = or_(alerts.c.next_at <= now, alerts.c.next_at > now + max(MAX_WAIT, LEASE))
        wanted = and_(IS_ACTIVE, alerts.c.delivery.is_not(None), is_time, alerts.c.id.not_in(skipped))
        found = self._read(_WITH_SEARCH.where(wanted).order_by(alerts.c.next_at, alerts.c.id).limit(limit))
        if not found:
            return []
        with writing(self._engine) as conn:
            return [alert for alert in found if conn.execute(_same_try(alert).values(next_at=now + LEASE)).rowcount == 1]

    def mark_sent(self, alert: Alert, *, now: datetime) -> None:
        """Record that the message in progress arrived. The next is due at the next time of the schedule.

        A webhook continues at once while matches are left.
        """
        due_at = alert.schedule.next_after(now)
        if alert.channel is not Channel.WEBHOOK:
            due_at = max(due_at, now + MIN_INTERVAL)
        with writing(self._engine) as conn:
            matches = conn.execute(select(saved_searches.c.matches).where(saved_searches.c.id == alert.search.id)).scalar() or 0
            if alert.channel is Channel.WEBHOOK and matches > (alert.until or 0):
                due_at = now
            done = {"notified": alert.until, "delivery": None, "until": None, "next_at": None, "attempts": 0}
            conn.execute(_message(alert).values(**done, failing_since=None, detail=None, sent_at=now, due_at=due_at))

    def mark_failed(self, alert: Alert, detail: str, *, now: datetime, is_gone: bool = False) -> None:
        """Record a failed try. The next is after RETRY_DELAYS_SECONDS; after the last, or if the target is gone, the alert is dead."""
        attempts = alert.attempts + 1
        values: dict[str, Any] = {
            "attempts": attempts,
            "detail": detail[:MAX_DETAIL_CHARACTERS],
            "failing_since": func.coalesce(alerts.c.failing_since, now),
        }
        if is_gone or (next_at := next_try(attempts, now)) is None:
            values["state"] = AlertState.DEAD.value
        else:
            values["next_at"] = next_at
        with writing(self._engine) as conn:
            conn.execute(_message(alert).where(IS_ACTIVE).values(**values))

    def _read(self, statement: Select[Any]) -> list[Alert]:
        with reading(self._engine) as conn:
            return [_to_alert(row) for row in conn.execute(statement).mappings()]


def _message(alert: Alert) -> Any:
    """An update of the alert while its message is the one that the caller sends."""
    return update(alerts).where(alerts.c.id == alert.id, alerts.c.delivery == alert.delivery)


def _same_try(alert: Alert) -> Any:
    return _message(alert).where(alerts.c.next_at == alert.next_at, IS_ACTIVE)


def _to_alert(row: Any) -> Alert:
    names = (
        *("id", "target", "secret", "language", "created_at", "notified", "due_at", "delivery", "until"),
        *("attempts", "next_at", "failing_since", "detail", "sent_at"),
    )
    search = to_saved_search({name: row[f"search_{name}"] for name in saved_searches.c.keys()})  # noqa: SIM118
    schedule = Schedule(Frequency(row["schedule"]), row["hour"], row["weekday"], row["zone"])
    state, channel = AlertState(row["state"]), Channel(row["channel"])
    return Alert(search=search, channel=channel, schedule=schedule, state=state, **{name: row[name] for name in names})
