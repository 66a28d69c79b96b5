"""What earlier checks of a source have seen, for the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select

from newsmill.health.rhythm import Rhythm
from newsmill.model import Outcome
from newsmill.model.lazy_adapter import make_adapter
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import source_checks
from newsmill.storage.source_rows import SOURCE_NAMES, read_rows

_HISTORIES = select(source_checks).where(source_checks.c.source.in_(SOURCE_NAMES))
_WRITE = Upsert(
    source_checks, ("source",), lambda new: {column.name: new[column.name] for column in source_checks.c if column.name != "source"}
)


@dataclass(frozen=True, slots=True)
class ListingHistory:
    """A listing that had entries; `emptied_at`: since when it has none."""

    emptied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The outcomes of all pages of a source at a time."""

    at: datetime
    totals: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class CheckHistory:
    """What earlier checks have seen of a source."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    rhythm_at: datetime | None = None
    listings: Mapping[int, ListingHistory] = field(default_factory=dict)  # by ledger id: those that had entries
    snapshots: Sequence[Snapshot] = ()  # oldest first
    layout_versions: Mapping[str, int] = field(default_factory=dict)  # by site: the profile that later documents are compared with
    layout_at: datetime | None = None
    failed: Mapping[int, datetime | None] = field(default_factory=dict)  # by ledger id: listings; see `update_failed`


_HISTORY_JSON = make_adapter(CheckHistory)


def read_histories(conn: Connection, names: Sequence[str]) -> dict[str, CheckHistory]:
    """What earlier checks have seen, by source; nothing for a source that was never checked."""
    return {row.source: _HISTORY_JSON.validate_python(row.history) for row in read_rows(conn, _HISTORIES, names)}


def write_histories(conn: Connection, histories: Mapping[str, CheckHistory], now: datetime) -> None:
    """Store what the checks at `now` have seen."""
    rows = [
        {"source": name, "checked_at": now, "history": _HISTORY_JSON.dump_python(histories[name], mode="json")}
        for name in sorted(histories)
    ]
    _WRITE.run(conn, rows)
