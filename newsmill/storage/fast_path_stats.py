"""How the pages of known sites were read: counted per version of a profile, and the switch that sends a site back the long way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, bindparam, select, update

from newsmill.model import ExtractionPath
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.statements import AnyRow
from newsmill.storage.schema import profiles

_ONE = (profiles.c.site == bindparam("b_site"), profiles.c.version == bindparam("b_version"))
_COLUMNS = {way: profiles.c[f"{way.value}_pages"] for way in ExtractionPath}
_ADD = update(profiles).where(*_ONE).values({column.name: column + bindparam(f"b_{way.value}") for way, column in _COLUMNS.items()})
_ALL = select(profiles.c.site, profiles.c.version, profiles.c.fast, *_COLUMNS.values()).order_by(profiles.c.site, profiles.c.version)
_THIS = select(profiles.c.fast, *_COLUMNS.values()).where(*_ONE)
_SLOW = update(profiles).where(*_ONE).values(fast=False)


@dataclass(frozen=True, slots=True)
class FastPathCounts:
    """How many pages of a site were read in which way with one version of its profile; `fast`: whether it may read them by itself."""

    site: str
    version: int
    fast: bool
    pages: Mapping[ExtractionPath, int]

    @property
    def share(self) -> float | None:
        """Of these pages, those read by the profile alone; None where there are none."""
        total = sum(self.pages.values())
        return self.pages[ExtractionPath.FAST] / total if total else None


class FastPathStats:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, pages: Mapping[tuple[str, int], Mapping[ExtractionPath, int]]) -> None:
        """Count pages by site and version, all in one commit: a segment may hold pages of as many sites. Unknown versions are left out."""
        rows = [
            {"b_site": site, "b_version": version} | {f"b_{way.value}": counted.get(way, 0) for way in ExtractionPath}
            for (site, version), counted in sorted(pages.items())  # so that two workers cannot wait for each other in a circle
        ]
        if rows:
            with writing(self._engine) as conn:
                conn.execute(_ADD, rows)

    def of(self, site: str, version: int) -> FastPathCounts | None:
        """What is counted of one version by now; None when there is no such version."""
        with reading(self._engine) as conn:
            row = conn.execute(_THIS, {"b_site": site, "b_version": version}).one_or_none()
        return None if row is None else FastPathCounts(site, version, row.fast, _pages(row))

    def disable_fast_path(self, site: str, version: int) -> None:
        """Have the site's pages read the long way while this is its version."""
        with writing(self._engine) as conn:
            conn.execute(_SLOW, {"b_site": site, "b_version": version})

    def newest_counts(self) -> list[FastPathCounts]:
        """Of every site its newest version."""
        with reading(self._engine) as conn:
            rows = conn.execute(_ALL).all()
        found = {row.site: FastPathCounts(row.site, row.version, row.fast, _pages(row)) for row in rows}
        return list(found.values())


def _pages(row: AnyRow) -> dict[ExtractionPath, int]:
    return {way: getattr(row, column.name) for way, column in _COLUMNS.items()}
