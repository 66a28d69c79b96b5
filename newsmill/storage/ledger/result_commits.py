"""The commit that stores the results of workers, which must not take long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine

from newsmill.exceptions import SlowCommitError
from newsmill.model import Outcome
from newsmill.search.index_entry import split_ahead
from newsmill.search.pending_list import PendingList
from newsmill.storage.database import writing
from newsmill.storage.ledger import results as ledger_results
from newsmill.storage.ledger.claims import Result
from newsmill.text.sentences import Sentence

MAX_COMMIT_SECONDS = 5.0  # SQLite's other writers wait for it, and so do readers of changes; sixteen documents take 0.03 s
MAX_SINGLE_COMMIT_SECONDS = 30.0  # for one document; SQLite's writers give up after the same time (database.BUSY_SECONDS)


class Results:
    """The results of workers. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending_list = PendingList(engine)

    def store(self, results: Sequence[Result], *, now: datetime, owner: str, seconds: float) -> dict[Outcome, int]:
        """Store the results of a few pages in one commit: outcomes, documents, counters, and a renewed lease for the other rows.

        A result whose claim has ended changes nothing and is not counted in the returned outcomes. Raises SlowCommitError when the database
        takes longer than MAX_COMMIT_SECONDS for several results, or MAX_SINGLE_COMMIT_SECONDS for one; nothing is stored then.
        """
        split_ahead(result.reading.document for result in results)
        with writing(self._engine) as conn:
            began = time.monotonic()  # after SQLite's wait for the write lock
            counts = ledger_results.store(conn, results, now, owner, seconds)
            took, limit = time.monotonic() - began, MAX_COMMIT_SECONDS if len(results) > 1 else MAX_SINGLE_COMMIT_SECONDS
            if took > limit:
                raise SlowCommitError(
                    Sentence(
                        "the database took {took:.0f} s to store {n} results; the limit is {limit:g} s",
                        took=took,
                        n=len(results),
                        limit=limit,
                    )
                )
        self._pending_list.add(counts.get(Outcome.STORED, 0))
        return counts
