"""The clock that all processes share, with how far ahead a time may lie."""

from __future__ import annotations

from datetime import timedelta

from newsmill.polling.retries import MAX_RETRY_DELAY

CLOCK_SLACK = timedelta(minutes=1)  # the clocks of two machines may differ by that much without either having jumped
MAX_ROW_WAIT = MAX_RETRY_DELAY + CLOCK_SLACK  # a Retry-After counts for an hour at most
