"""The ledger: one row per URL, with its state and outcome. It is the durable record; Redis may be lost at any moment."""

from newsmill.storage.ledger.backfills import Backfill, Backfills, PendingBackfill
from newsmill.storage.ledger.claims import MAX_CRASHES, Result
from newsmill.storage.ledger.counters import By, CounterRow, OutcomeCount
from newsmill.storage.ledger.deferred import WaitingOwner
from newsmill.storage.ledger.host_leases import HostLease
from newsmill.storage.ledger.ledger import Ledger
from newsmill.storage.ledger.links import Added
from newsmill.storage.ledger.priority import FROM_BACKFILL
from newsmill.storage.ledger.progress import Progress, Waiting
from newsmill.storage.ledger.submitted_pages import ArchivedRow, SubmittedFetch
from newsmill.storage.ledger.traces import Trace
from newsmill.storage.ledger.url_endings import Ended, Postponed
from newsmill.storage.ledger.url_leases import Fetched

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
