"""The ledger: one row per URL, with its state and outcome. It is the durable record; Redis may be lost at any moment."""

from newsmill.storage.ledger.backfills import Backfill, Backfills, PendingBackfill
from newsmill.storage.ledger.claims import MAX_CRASHES, Result
from newsmill.storage.ledger.deferred import WaitingOwner
from newsmill.storage.ledger.leases import Ended, Fetched, HostLease, Postponed
from newsmill.storage.ledger.ledger import Ledger
from newsmill.storage.ledger.links import Added
from newsmill.storage.ledger.priority import FROM_BACKFILL
from newsmill.storage.ledger.queries import By, CounterRow, OutcomeCount, Progress, Trace, Waiting
from newsmill.storage.ledger.submissions import ArchivedRow, SubmittedFetch

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
    "WaitingOwner",
]
