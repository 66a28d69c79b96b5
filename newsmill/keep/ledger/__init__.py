"""The record of what is owed: one row per URL, and how each URL ended. Redis may be lost at any moment; this may not."""

from newsmill.keep.addresses import Urls
from newsmill.keep.ledger.facade import Ledger
from newsmill.keep.ledger.records import (
    Added,
    Ended,
    Fetched,
    HostLease,
    OutcomeCount,
    Postponed,
    Progress,
    Result,
    Trace,
    Waiting,
)
from newsmill.keep.ledger.taken import MAX_DEATHS
from newsmill.keep.ledger.tallies import By, Tally

__all__ = [
    "MAX_DEATHS",
    "Added",
    "By",
    "Ended",
    "Fetched",
    "HostLease",
    "Ledger",
    "OutcomeCount",
    "Postponed",
    "Progress",
    "Result",
    "Tally",
    "Trace",
    "Urls",
    "Waiting",
]
