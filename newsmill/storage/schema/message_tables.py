"""The tables of messages to other servers, and of those that hubs of WebSub push."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from newsmill.storage.columns import Id, Json, SentenceText, StorableString, StorableText, UtcDateTime, metadata

# Receivers of notifications. `seen_at` and `seen_id` are the last document for which a delivery was made.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", StorableText, nullable=False),
    Column("secret", StorableText, nullable=False),  # signs deliveries, so it cannot be stored as a hash
    Column("event", String(32), nullable=False),
    Column("source", StorableText),
    Column("query", StorableText),  # only documents that match it; NULL: all
    Column("created_at", UtcDateTime, nullable=False),
    Column("token", StorableText),
    Column("enabled", Boolean, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("seen_id", StorableText, nullable=False),
)

# Alerts on saved searches. `notified` is the number of the last match in a message that arrived.
alerts = Table(
    "alerts",
    metadata,
    Column("id", StorableString(16), primary_key=True),
    Column("search", String(16), ForeignKey("saved_searches.id"), nullable=False),
    Column("channel", String(8), nullable=False),  # storage.alerts.Channel
    Column("target", StorableText, nullable=False),  # e-mail address or URL; that of a service holds its password
    Column("secret", StorableText),  # signs messages to a webhook
    Column("schedule", String(8), nullable=False),  # storage.alert_schedule.Frequency
    Column("hour", Integer, nullable=False),
    Column("weekday", Integer, nullable=False),
    Column("zone", StorableText, nullable=False),
    Column("language", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String(8), nullable=False),  # storage.alerts.AlertState
    Column("notified", Id, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),  # no message is begun earlier
    Column("delivery", String(40)),  # the ID of the message in progress in the outbox
    Column("sent_at", UtcDateTime),
    Index("ix_alerts_search", "search"),
    Index("ix_alerts_due", "due_at", sqlite_where=text("state = 'active'"), postgresql_where=text("state = 'active'")),
)

# What earlier checks of a source's health have seen; storage/source_health.py.
source_checks = Table(
    "source_checks",
    metadata,
    Column("source", StorableText, primary_key=True),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("history", Json, nullable=False),  # source_health.CheckHistory
    Index("ix_source_checks_age", "checked_at"),
)

# The causes for which a source needs an administrator, from their beginning to their end.
source_alarms = Table(
    "source_alarms",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("source", StorableText, nullable=False),  # '' for the whole installation
    Column("cause", String(24), nullable=False),  # health.causes.Cause
    Column("since", UtcDateTime, nullable=False),  # when the problem began
    Column("begun_at", UtcDateTime, nullable=False),  # when it was proven
    Column("until", UtcDateTime),  # when the opposite was proven; NULL: open
    Column("evidence", Json, nullable=False),  # health.causes.Evidence
    Column("notified", String(8), nullable=False),  # alarms.Notified
    Index("ix_source_alarms_source", "source", "begun_at"),
    Index("ix_source_alarms_notified", "notified", "id"),
    Index(
        "ux_source_alarms_open", "source", "cause", unique=True, sqlite_where=text("until IS NULL"), postgresql_where=text("until IS NULL")
    ),
)

# Messages that wait to be sent, or were sent. Those of one queue are sent in the order of their numbers.
outbox = Table(
    "outbox",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),  # the same in every try, so that a receiver recognises a repeated message
    Column("kind", String(8), nullable=False),  # storage.outbox.MessageKind
    Column("owner", String(32), nullable=False),  # the alarm, alert or web hook that the message is of
    Column("queue", StorableText),  # NULL: it waits for no other message
    Column("payload", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),  # storage.outbox.MessageState
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),  # of the next try, or the end of the sender's lease
    Column("failing_since", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("status", Integer),  # of the last response
    Column("detail", SentenceText),  # why the last try failed
    Index("ix_outbox_due", "kind", "next_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_outbox_queue", "queue", "number", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")),
    Index("ix_outbox_owner", "owner", "number"),
    Index("ix_outbox_ended", "ended_at"),
)

# WebSub: the hubs that feeds announce, one row per feed, and the subscriptions there. `hub` and `topic` are as announced.
websub_subscriptions = Table(
    "websub_subscriptions",
    metadata,
    Column("callback_id", StorableString(43), primary_key=True),  # the part of the callback URL that cannot be guessed
    Column("ledger_id", Id, ForeignKey("ledger.id", ondelete="SET NULL"), unique=True),  # the listing; NULL: it is gone
    Column("hub", StorableText, nullable=False),
    Column("topic", StorableText, nullable=False),
    Column("public_url", StorableText),  # of the callback as the hub knows it; NULL before the first request
    Column("secret", String(64), nullable=False),  # verifies pushes, so it cannot be stored as a hash
    Column("state", String(16), nullable=False),  # storage.websub.SubscriptionState
    Column("awaited", String(12)),  # the request that the hub has not verified yet: subscribe or unsubscribe
    Column("awaited_until", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),  # requests in a row that the hub did not verify
    Column("next_at", UtcDateTime),  # of the next request; NULL: none
    Column("detail", SentenceText),  # why the last request failed, or the hub's reason to refuse
    Column("verified_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("last_push_at", UtcDateTime),
    Column("last_digest", String(64)),  # SHA-256 of the last push: a repeated one is dropped
    Column("missed_at", UtcDateTime),  # the last time a request for the feed found pages that were not pushed
    Column("pushes", Integer, nullable=False, server_default="0"),
    Column("repeated", Integer, nullable=False, server_default="0"),
    Column("forged", Integer, nullable=False, server_default="0"),  # pushes without a right signature
    Index("ix_websub_subscriptions_next", "next_at"),
)

# Pushed feeds that the crawler has not read yet. An empty body stands for a push that cannot be used: the feed is then requested.
websub_pushes = Table(
    "websub_pushes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("ledger_id", Id, ForeignKey("ledger.id", ondelete="CASCADE"), nullable=False),
    Column("content_type", StorableText),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_websub_pushes_ledger", "ledger_id", "id"),
)
