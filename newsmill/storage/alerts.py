"""Alerts on saved searches, which follow the numbers of the matches.

An alert has at most one message at a time, which `newsmill.notifications.alerts` sends. `begin_due` fixes the ID and the matches of a
message in one transaction, before it is sent. A message that was interrupted is sent again with the same ID.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, delete, func, literal_column, or_, select, update

from newsmill.exceptions import ConfigError
from newsmill.storage.alert_schedule import Frequency, Schedule
from newsmill.storage.changes import ChangePosition
from newsmill.storage.clock import CLOCK_SLACK
from newsmill.storage.database import reading, writing
from newsmill.storage.outbox import (
    Message,
    MessageKind,
    Outbox,
    add_message,
    delete_messages,
    make_message_id,
    make_secret,
    retry_messages,
)
from newsmill.storage.saved_searches import SavedSearch, to_saved_search
from newsmill.storage.schema import alerts, outbox, saved_searches
from newsmill.text.sentences import Sentence

MAX_ALERTS = 20  # of one search
MIN_INTERVAL = timedelta(minutes=5)  # between two messages at once to a person
MAX_WEBHOOK_DOCUMENTS = 50  # in one message


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
_OF_MESSAGE = [outbox.c[name] for name in ("payload", "attempts", "next_at", "failing_since", "detail")]
_COLUMNS = [*alerts.c, *_OF_MESSAGE, *(column.label(f"search_{column.name}") for column in saved_searches.c)]
_WITH_SEARCH: Select[Any] = (
    select(*_COLUMNS)
    .select_from(alerts.outerjoin(outbox, outbox.c.id == alerts.c.delivery))
    .join(saved_searches, saved_searches.c.id == alerts.c.search)
)


@dataclass(frozen=True, slots=True)
class Alert:
    """Where, how and when the new matches of a saved search are announced.

    `delivery` is the ID of the message in progress, which has the matches after `notified` up to `until`.
    """

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
    """Alerts with their messages, of which the active ones are sent. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        is_active = outbox.c.owner.in_(select(alerts.c.id).where(IS_ACTIVE))
        self._engine = engine
        self.outbox = Outbox(engine, MessageKind.ALERT, is_active, on_sent=_note_sent, on_given_up=_note_given_up)

    def add(self, search: SavedSearch, channel: Channel, target: str, schedule: Schedule, *, now: datetime, language: str = "en") -> Alert:
        """A new alert on the matches from now on. `target` was checked. A webhook gets a secret. Raises ConfigError."""
        alert_id = secrets.token_hex(8)
        with writing(self._engine) as conn:
            current = conn.execute(select(saved_searches.c.matches).where(saved_searches.c.id == search.id)).scalar()
            if current is None:
                raise ConfigError(Sentence("the saved search {name} does not exist any more", name=repr(search.name)))
            if conn.execute(select(func.count()).select_from(alerts).where(alerts.c.search == search.id)).scalar_one() >= MAX_ALERTS:
                raise ConfigError(
                    Sentence("the saved search {name} has {n} alerts; remove one first", name=repr(search.name), n=MAX_ALERTS)
                )
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
            }
            conn.execute(alerts.insert(), row)
        added = self.get(alert_id)
        if added is None:
            raise ConfigError(Sentence("the saved search {name} does not exist any more", name=repr(search.name)))
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
            is_removed = conn.execute(delete(alerts).where(alerts.c.id == alert_id)).rowcount == 1
            delete_messages(conn, MessageKind.ALERT, [alert_id])
        return is_removed

    def pause(self, alert_id: str) -> bool:
        """Send no messages until `resume`. False: it does not exist."""
        with writing(self._engine) as conn:
            return conn.execute(update(alerts).where(alerts.c.id == alert_id).values(state=AlertState.PAUSED.value)).rowcount == 1

    def resume(self, alert_id: str, *, now: datetime) -> bool:
        """Continue where the alert stopped; a message in progress is tried at once. False: it does not exist."""
        with writing(self._engine) as conn:
            exists = conn.execute(update(alerts).where(alerts.c.id == alert_id).values(state=AlertState.ACTIVE.value)).rowcount == 1
            retry_messages(conn, and_(outbox.c.kind == MessageKind.ALERT.value, outbox.c.owner == alert_id), now)
        return exists

    def list_failing(self) -> list[Alert]:
        """Alerts whose last try failed, also those that are dead."""
        return self._read(_WITH_SEARCH.where(outbox.c.failing_since.is_not(None)).order_by(outbox.c.failing_since, alerts.c.id))

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
        with writing(self._engine) as conn:
            return sum(_begin(conn, alert, now) for alert in sorted(found, key=lambda alert: alert.id))

    def _read(self, statement: Select[Any]) -> list[Alert]:
        with reading(self._engine) as conn:
            return [_to_alert(row) for row in conn.execute(statement).mappings()]


def _note_sent(conn: Connection, message: Message, now: datetime) -> None:
    """The next message is due at the next time of the schedule. A webhook continues at once while matches are left."""
    this = alerts.c.delivery == message.id
    row = conn.execute(_WITH_SEARCH.where(this).with_for_update(of=alerts)).mappings().one_or_none()
    if row is None:
        return
    alert = _to_alert(row)
    due_at = alert.schedule.next_after(now)
    if alert.channel is not Channel.WEBHOOK:
        due_at = max(due_at, now + MIN_INTERVAL)
    elif alert.search.matches > (alert.until or 0):
        due_at = now
    conn.execute(update(alerts).where(this).values(notified=alert.until, delivery=None, sent_at=now, due_at=due_at))


def _note_given_up(conn: Connection, message: Message, is_final: bool) -> None:
    conn.execute(update(alerts).where(alerts.c.delivery == message.id, IS_ACTIVE).values(state=AlertState.DEAD.value))


def _begin(conn: Connection, alert: Alert, now: datetime) -> bool:
    """Begin a message of the matches that were not announced; False if there are none, or another process was faster."""
    pending = alert.search.matches - alert.notified
    is_idle = and_(alerts.c.id == alert.id, alerts.c.delivery.is_(None), alerts.c.notified == alert.notified)
    if pending == 0:
        conn.execute(update(alerts).where(is_idle).values(due_at=alert.schedule.next_after(now)))
        return False
    message_id = make_message_id()
    if conn.execute(update(alerts).where(is_idle).values(delivery=message_id)).rowcount != 1:
        return False
    until = alert.notified + (min(MAX_WEBHOOK_DOCUMENTS, pending) if alert.channel is Channel.WEBHOOK else pending)
    add_message(conn, MessageKind.ALERT, alert.id, {"until": until}, now, message_id=message_id)
    return True


def _to_alert(row: Any) -> Alert:
    names = (
        *("id", "target", "secret", "language", "created_at", "notified", "due_at", "delivery"),
        *("next_at", "failing_since", "detail", "sent_at"),
    )
    search = to_saved_search({name: row[f"search_{name}"] for name in saved_searches.c.keys()})  # noqa: SIM118
    schedule = Schedule(Frequency(row["schedule"]), row["hour"], row["weekday"], row["zone"])
    state, channel = AlertState(row["state"]), Channel(row["channel"])
    progress: dict[str, Any] = {"until": row["payload"]["until"] if row["payload"] else None, "attempts": row["attempts"] or 0}
    return Alert(search=search, channel=channel, schedule=schedule, state=state, **progress, **{name: row[name] for name in names})
