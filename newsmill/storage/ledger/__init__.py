"""The ledger: one row per URL, with its state and outcome. It is the durable record; Redis may be lost at any moment."""

from newsmill.storage.ledger.backfills import Backfill, Backfills, PendingBackfill
from newsmill.storage.ledger.claims import MAX_CRASHES
from newsmill.storage.ledger.ledger import Ledger
from newsmill.storage.ledger.links import FROM_BACKFILL
from newsmill.storage.ledger.queries import By, CounterRow
from newsmill.storage.ledger.records import (
    Added,
    ArchivedRow,
    Ended,
    Fetched,
    HostLease,
    OutcomeCount,
    Postponed,
    Progress,
    Result,
    SubmittedFetch,
    Trace,
    Waiting,
)

__all__ = [
    "FROM_BACKFILL",
    "MAX_CRASHES",
    "Added",
    "ArchivedRow",
    "Backfill",
    "Backfills",
    "By",
    "CounterRow",
    "Ended",
    "Fetched",
    "HostLease",
    "Ledger",
    "OutcomeCount",
    "PendingBackfill",
    "Postponed",
    "Progress",
    "Result",
    "SubmittedFetch",
    "Trace",
    "Waiting",
]
