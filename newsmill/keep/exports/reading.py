"""What an export has still to write, and from where the next run reads on, so that nothing is left out and nothing comes twice.

A document gets its time before its commit, so one may appear behind the place a reader has already passed. What was stored shortly before a
reading began, or since, is therefore read once more by the next one, and known by its cursor if it has been written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from newsmill.keep.search import Stored

LATE = timedelta(seconds=30)  # a commit stamped earlier is done or has failed: nobody waits longer for the database (database.BUSY_SECONDS)
SHORT = timedelta(minutes=1)  # a reading that took longer is followed by another, for what came meanwhile


class Searcher(Protocol):
    """newsmill.keep.search.Search."""

    def iterate(self, query: str = "", *, since: str | datetime | None = None) -> Iterator[Stored]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read on."""

    cursor: str | None = None  # up to here everything is written
    recent: tuple[str, ...] = ()  # cursors behind it that are written as well


class Reading:
    """An iterator over what matches a query and is not yet written; `place` is where the next one reads on, at any moment."""

    def __init__(self, search: Searcher, query: str, since: datetime | None, place: Place, clock: Callable[[], datetime]) -> None:
        """`since`: only what was stored then or later. `clock`: the time the documents are stamped with (`database.clock`)."""
        self._search = search
        self._query = query
        self._since = since
        self._clock = clock
        self._cursor = place.cursor
        self._known = dict.fromkeys(place.recent)  # written by earlier readings and not yet passed by this one
        self._recent: dict[str, None] = {}
        self._read = self._readings()

    def __iter__(self) -> Iterator[Stored]:
        return self

    def __next__(self) -> Stored:
        return next(self._read)

    @property
    def place(self) -> Place:
        return Place(self._cursor, (*self._recent, *self._known))

    def _readings(self) -> Iterator[Stored]:
        while True:
            began, found = self._clock(), False
            for stored in self._search.iterate(self._query, since=self._cursor or self._since):
                if self._pass(stored, began - LATE):
                    found = True
                    yield stored
            self._known, self._recent = self._recent, {}  # what is left of the known ones is stored anew, under other cursors
            if not found or self._clock() - began < SHORT:
                return

    def _pass(self, stored: Stored, settled: datetime) -> bool:
        """Whether it has still to be written."""
        new = stored.cursor not in self._known
        self._known.pop(stored.cursor, None)
        if stored.stored_at < settled and not self._recent:
            self._cursor = stored.cursor
        else:
            self._recent[stored.cursor] = None
        return new
