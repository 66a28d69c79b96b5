"""Pages of each profile version by extraction path, with the switch that turns the fast path off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, bindparam, select, update

from newsmill.model import ExtractionPath
from newsmill.storage.database import reading, writing
from newsmill.storage.schema import profiles
from newsmill.storage.statements import AnyRow

_IS_VERSION = (profiles.c.site == bindparam("b_site"), profiles.c.version == bindparam("b_version"))
_PATH_COLUMNS = {path: profiles.c[f"{path.value}_pages"] for path in ExtractionPath}
_ADD_PAGES = (
    update(profiles)
    .where(*_IS_VERSION)
    .values({column.name: column + bindparam(f"b_{path.value}") for path, column in _PATH_COLUMNS.items()})
)
_ALL_COUNTS = select(profiles.c.site, profiles.c.version, profiles.c.fast, *_PATH_COLUMNS.values()).order_by(
    profiles.c.site, profiles.c.version
)
_COUNTS = select(profiles.c.fast, *_PATH_COLUMNS.values()).where(*_IS_VERSION)
_DISABLE_FAST_PATH = update(profiles).where(*_IS_VERSION).values(fast=False)


@dataclass(frozen=True, slots=True)
class FastPathCounts:
    """Pages of a site by extraction path, for one version of its profile. `fast`: whether the fast path is on."""

    site: str
    version: int
    fast: bool
    pages: Mapping[ExtractionPath, int]

    @property
    def share(self) -> float | None:
        """The share of the fast path; None without pages."""
        total = sum(self.pages.values())
        return self.pages[ExtractionPath.FAST] / total if total else None


class FastPathStats:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, pages: Mapping[tuple[str, int], Mapping[ExtractionPath, int]]) -> None:
        """Count pages by (site, version), in one commit. Unknown versions are ignored."""
        rows = [
            {"b_site": site, "b_version": version} | {f"b_{path.value}": counts.get(path, 0) for path in ExtractionPath}
            for (site, version), counts in sorted(pages.items())  # sorted, so that two workers cannot deadlock
        ]
        if rows:
            with writing(self._engine) as conn:
                conn.execute(_ADD_PAGES, rows)

    def of(self, site: str, version: int) -> FastPathCounts | None:
        """The counts of one version; None if it does not exist."""
        with reading(self._engine) as conn:
            row = conn.execute(_COUNTS, {"b_site": site, "b_version": version}).one_or_none()
        return None if row is None else FastPathCounts(site, version, row.fast, _pages_by_path(row))

    def disable_fast_path(self, site: str, version: int) -> None:
        """Turn the fast path of this version off."""
        with writing(self._engine) as conn:
            conn.execute(_DISABLE_FAST_PATH, {"b_site": site, "b_version": version})

    def newest_counts(self) -> list[FastPathCounts]:
        """The counts of every site's newest version."""
        with reading(self._engine) as conn:
            rows = conn.execute(_ALL_COUNTS).all()
        found = {row.site: FastPathCounts(row.site, row.version, row.fast, _pages_by_path(row)) for row in rows}
        return list(found.values())


def _pages_by_path(row: AnyRow) -> dict[ExtractionPath, int]:
    return {path: getattr(row, column.name) for path, column in _PATH_COLUMNS.items()}
