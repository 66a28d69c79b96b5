"""Rows that have ended, requeued or discarded by people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Engine

from newsmill.model import Kind, Outcome
from newsmill.storage.database import writing
from newsmill.storage.ledger import ended_rows, orphaned_copies, traces


class Retries:
    """Rows that have ended, for people. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def retry(
        self,
        *,
        now: datetime,
        urls: Iterable[str] = (),
        outcome: Outcome | None = None,
        source: str | None = None,
        kind: Kind | None = None,
        refetch: bool = False,
    ) -> int:
        """Requeue rows that have an outcome: those of `urls`, or all with one outcome. Returns their number.

        An archived page is extracted again without the network, unless `refetch`. The earlier outcome does not count any more.
        """
        keys = sorted({traces.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            requeued_rows = sum(ended_rows.retry_keys(conn, batch, now, refetch) for batch in ended_rows.batches(keys))
        last: int | None = 0
        while outcome is not None and last is not None:  # a commit per batch, so that other writers get the lock in between
            with writing(self._engine) as conn:
                count, last = ended_rows.retry_batch(conn, outcome, source, kind, last, now, refetch)
            requeued_rows += count
        return requeued_rows

    def retry_damaged(self, file_id: str, *, now: datetime) -> int:
        """Requeue the pages of a WARC file outside the archive that could not be read. Returns their number."""
        with writing(self._engine) as conn:
            return ended_rows.extract_damaged(conn, file_id, now)

    def retry_orphaned_copies(self, *, now: datetime) -> int:
        """Have copies of documents that do not exist extracted again. Returns their number."""
        count = 0
        while True:
            with writing(self._engine) as conn:
                requeued = orphaned_copies.requeue_orphans(conn, now)
            if not requeued:
                return count
            count += requeued

    def retry_quarantined(self, urls: Iterable[str], *, now: datetime) -> int:
        """Requeue those of the rows that are in quarantine. Returns their number."""
        keys = sorted({traces.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ended_rows.retry_quarantined(conn, batch, now) for batch in ended_rows.batches(keys))

    def discard(self, urls: Iterable[str], *, now: datetime) -> int:
        """Give quarantined rows the outcome discarded. Returns their number."""
        keys = sorted({traces.key_of(url) for url in urls})
        with writing(self._engine) as conn:
            return sum(ended_rows.discard(conn, batch, now) for batch in ended_rows.batches(keys))
