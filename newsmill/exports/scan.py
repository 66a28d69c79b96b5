"""The documents that an export has not written yet. Nothing is omitted and nothing comes twice, over several runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from newsmill.search import Search, StoredHit

LONG_SCAN_SECONDS = 60.0  # a longer scan is followed by another, for documents stored meanwhile


@dataclass(frozen=True, slots=True)
class ExportPosition:
    """Where the next run resumes."""

    cursor: str | None = None  # everything up to it is written


class ExportScan:
    """An iterator over the matches of a query that are not written yet. `place` is always where the next run resumes."""

    def __init__(
        self, search: Search, query: str, since: datetime | None, place: ExportPosition, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`since`: only documents stored then or later. `clock`: seconds."""
        self._search = search
        self._query = query
        self._since = since
        self._clock = clock
        self._cursor = place.cursor
        self._hits = self._scan()

    def __iter__(self) -> Iterator[StoredHit]:
        return self

    def __next__(self) -> StoredHit:
        return next(self._hits)

    @property
    def place(self) -> ExportPosition:
        return ExportPosition(self._cursor)

    def _scan(self) -> Iterator[StoredHit]:
        while True:
            began, is_empty = self._clock(), True
            for stored in self._search.iterate(self._query, since=self._cursor or self._since):
                self._cursor = stored.cursor
                is_empty = False
                yield stored
            if is_empty or self._clock() - began < LONG_SCAN_SECONDS:
                return
