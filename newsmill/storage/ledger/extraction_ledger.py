"""The calls of the ledger that workers make: segments of fetched pages, and the results of their pages."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Engine

from newsmill.exceptions import SlowCommitError
from newsmill.model import ClaimedPage, Outcome, Segment
from newsmill.search.indexer import PendingList, lemmatize_ahead
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import claims
from newsmill.storage.ledger import results as ledger_results
from newsmill.storage.ledger.records import Result

MAX_COMMIT_SECONDS = 5.0  # SQLite's other writers wait for it, and so do readers of changes; sixteen documents take 0.03 s
MAX_SINGLE_COMMIT_SECONDS = 30.0  # for one document; SQLite's writers give up after the same time (database.BUSY_SECONDS)


class ExtractionLedger:
    """A part of `Ledger`; see there."""

    _engine: Engine
    _pending_list: PendingList

    # ---- pages

    def claim_segment(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> list[ClaimedPage]:
        """Claim the pending pages of a segment: fetched rows, and processing rows whose lease has ended. In page order; may be empty.

        A row that is marked as in progress crashed its last worker, or the worker was killed: one more crash. A row with MAX_CRASHES is
        quarantined here.
        """
        with writing(self._engine) as conn:
            return claims.claim(conn, segment_id, owner, seconds, now)

    def mark_in_progress(self, claim: ClaimedPage, *, now: datetime, stage: str = "read") -> bool:
        """Mark the page that the child process extracts now: before it begins if the claim `is_suspect`, else when it takes long.

        A kill while the mark is set counts as a crash of the page. False: the claim has ended; do not extract the page.
        """
        with writing(self._engine) as conn:
            return claims.mark_in_progress(conn, claim, stage)

    def renew_segment(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> int:
        """Renew the lease of the remaining rows of a claimed segment. Returns their number."""
        with writing(self._engine) as conn:
            return claims.renew(conn, segment_id, owner, seconds, now)

    def release_segment(self, segment_id: str, owner: str, *, now: datetime) -> int:
        """Release the remaining rows of a claimed segment (a clean stop): no crash is counted. Returns their number."""
        with writing(self._engine) as conn:
            return claims.release(conn, segment_id, owner, now)

    def report_crash(self, claim: ClaimedPage, stage: str, reason: str, *, now: datetime, final: bool = False) -> bool:
        """Count a crash or timeout of the child process. The page is tried again later, or quarantined at MAX_CRASHES or if `final`.

        True: it is quarantined, with the outcome deadline if `reason` begins with that word, else died.
        """
        with writing(self._engine) as conn:
            return claims.report_crash(conn, claim, stage, reason, now, final)

    def store(self, results: Sequence[Result], *, now: datetime, owner: str, seconds: float) -> dict[Outcome, int]:
        """Store the results of a few pages in one commit: outcomes, documents, counters, and a renewed lease for the other rows.

        A result whose claim has ended changes nothing and is not counted in the returned outcomes. Raises SlowCommitError when the database
        takes longer than MAX_COMMIT_SECONDS for several results, or MAX_SINGLE_COMMIT_SECONDS for one; nothing is stored then.
        """
        lemmatize_ahead(result.reading.document for result in results)
        with writing(self._engine) as conn:
            began = time.monotonic()  # after SQLite's wait for the write lock
            counts = ledger_results.store(conn, results, now, owner, seconds)
            took, limit = time.monotonic() - began, MAX_COMMIT_SECONDS if len(results) > 1 else MAX_SINGLE_COMMIT_SECONDS
            if took > limit:
                raise SlowCommitError(f"the database took {took:.0f} s to store {len(results)} results; the limit is {limit:g} s")
        self._pending_list.add(counts.get(Outcome.STORED, 0))
        return counts

    # ---- segments

    def pending_segments(self, *, now: datetime, limit: int) -> list[str]:
        """Ids of segments with a page that a worker can claim now, oldest first."""
        with reading(self._engine) as conn:
            return claims.list_pending_segments(conn, now, limit)

    def segment(self, segment_id: str) -> Segment | None:
        """The segment (without offsets) as it was saved."""
        with reading(self._engine) as conn:
            return claims.get_segment(conn, segment_id)

    def known_segments(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that were saved; the files of the others can be deleted."""
        with reading(self._engine) as conn:
            return claims.filter_known_segments(conn, list(ids))
