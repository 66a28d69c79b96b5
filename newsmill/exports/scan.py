"""What an export has still to write, and from where the next run reads on, so that nothing is left out and nothing comes twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from newsmill.search import StoredHit

LONG_SCAN_SECONDS = 60.0  # seconds; a reading that took longer is followed by another, for what came meanwhile


class Searcher(Protocol):
    """newsmill.search.Search."""

    def iterate(self, query: str = "", *, since: str | datetime | None = None) -> Iterator[StoredHit]: ...


@dataclass(frozen=True, slots=True)
class ExportPosition:
    """Where to read on."""

    cursor: str | None = None  # up to here everything is written
    recent: tuple[str, ...] = ()  # cursors behind it that are written as well; only older versions left any


class ExportScan:
    """An iterator over what matches a query and is not yet written; `place` is where the next one reads on, at any moment."""

    def __init__(
        self, search: Searcher, query: str, since: datetime | None, place: ExportPosition, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`since`: only what was stored then or later. `clock`: seconds."""
        self._search = search
        self._query = query
        self._since = since
        self._clock = clock
        self._cursor = place.cursor
        self._known = dict.fromkeys(place.recent)  # written by an earlier run and not yet passed by this one
        self._read = self._readings()

    def __iter__(self) -> Iterator[StoredHit]:
        return self

    def __next__(self) -> StoredHit:
        return next(self._read)

    @property
    def place(self) -> ExportPosition:
        return ExportPosition(self._cursor, tuple(self._known))

    def _readings(self) -> Iterator[StoredHit]:
        while True:
            began, found = self._clock(), False
            for stored in self._search.iterate(self._query, since=self._cursor or self._since):
                self._cursor = stored.cursor
                if stored.cursor in self._known:
                    del self._known[stored.cursor]
                else:
                    found = True
                    yield stored
            self._known.clear()  # what is left of them was stored anew since, under other cursors
            if not found or self._clock() - began < LONG_SCAN_SECONDS:
                return
