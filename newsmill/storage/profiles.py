"""Stored site profiles: all versions, the documents to learn from, the documents that an older version extracted, and pages by path.

Other modules decide what a profile contains and when it is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Select, bindparam, func, or_, select, update

from newsmill.model import POSITION_FIELDS, Block, Profile
from newsmill.model.lazy_adapter import make_adapter
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.documents import ArchivedPage, archived
from newsmill.storage.ledger.ended_rows import requeue_for_extraction
from newsmill.storage.schema import documents, ledger, profiles
from newsmill.storage.statements import LIMIT, AnyRow, state_is
from newsmill.storage.storing_order import STAMP_RESOLUTION, find_horizon, make_stamp

SETTLE = timedelta(minutes=5)  # after which pages in progress at the time of a new version are stored; see `bring_up_to_date`

_PROFILE = make_adapter(Profile)
_BLOCKS = make_adapter(tuple[Block, ...])
_NEW = Upsert(profiles, ("site", "version"))
_SITE = profiles.c.site == bindparam("b_site")
_AT = bindparam("b_at", type_=profiles.c.since.type)
_PROFILE_COLUMNS = (profiles.c.version, profiles.c.data, profiles.c.fast, profiles.c.documents)
_NEWEST = select(*_PROFILE_COLUMNS).where(_SITE).order_by(profiles.c.version.desc()).limit(1)
_VALID = (
    select(profiles.c.version, profiles.c.fast, profiles.c.documents)
    .where(_SITE, or_(profiles.c.since.is_(None), profiles.c.since <= _AT))
    .order_by(profiles.c.version.desc())
    .limit(1)
)
_ONE = select(*_PROFILE_COLUMNS).where(_SITE, profiles.c.version == bindparam("b_version"))
_NEWEST_NOTE = select(profiles).where(_SITE).order_by(profiles.c.version.desc()).limit(1)
_VERSIONS = select(profiles).where(_SITE).order_by(profiles.c.version)
_RECORD_LEARNING = (
    update(profiles)
    .where(_SITE, profiles.c.version == bindparam("b_version"), profiles.c.documents < bindparam("b_documents"))
    .values(documents=bindparam("b_documents"))
)
_APPLIED = update(profiles).where(_SITE, profiles.c.version == bindparam("b_version")).values(applied=True)
_UNAPPLIED = select(profiles).where(profiles.c.applied.is_(False)).order_by(profiles.c.site, profiles.c.version)

_OF_SITE = documents.c.site == bindparam("b_site")
_FROM = documents.c.fetched_at >= bindparam("b_at", type_=documents.c.fetched_at.type)
_CHANGED_SITES = select(documents.c.site).where(documents.c.stored_at >= bindparam("b_at", type_=documents.c.stored_at.type)).distinct()
_SITES_OF_SOURCES = select(documents.c.site).where(documents.c.source.in_(bindparam("b_sources", expanding=True))).distinct()
_COUNT = select(func.count()).select_from(documents).where(_OF_SITE)
_RECENT = (
    select(documents.c.blocks)
    .where(_OF_SITE, documents.c.profile_version == bindparam("b_version"))
    .order_by(documents.c.fetched_at.desc(), documents.c.id)
    .limit(LIMIT)
)
_OLDER = (
    select(
        documents.c.id,
        documents.c.ledger_id,
        documents.c.profile_version,
        documents.c.content_hash,
        documents.c.blocks,
        documents.c.tags,
        *(documents.c[name] for name in POSITION_FIELDS),
    )
    .join(ledger, ledger.c.id == documents.c.ledger_id)
    .where(
        _OF_SITE,
        ledger.c.document_id == documents.c.id,  # its page may belong to another document by now
        or_(documents.c.profile_version.is_(None), documents.c.profile_version < bindparam("b_version")),
        state_is("done"),
        ledger.c.segment.is_not(None),
    )
    .order_by(documents.c.profile_version, documents.c.fetched_at)
    .limit(LIMIT)
)
_MARK_UNCHANGED = (
    update(documents)
    .where(
        documents.c.id == bindparam("b_id"),
        documents.c.content_hash == bindparam("b_hash"),  # else its page was extracted again meanwhile
        or_(documents.c.profile_version.is_(None), documents.c.profile_version < bindparam("b_version")),
    )
    .values(profile_version=bindparam("b_version"), changed_at=bindparam("b_stamp", type_=documents.c.changed_at.type))
)


@dataclass(frozen=True, slots=True)
class ProfileNote:
    """One version of a site's profile, without its content."""

    site: str
    version: int
    created_at: datetime
    pages: int
    fit: float | None
    since: datetime | None
    documents: int  # of the site at the last learning
    applied: bool  # the documents of older versions are extracted again
    fast: bool = True  # False: this version made errors, so pages take the full path


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """A version, whether its fast path is on, and the number of documents of the site at the last learning."""

    version: int
    fast: bool
    looked_at: int


@dataclass(frozen=True, slots=True)
class OutdatedDocument:
    """A document that an older version (or none) extracted, with its kept blocks."""

    id: str
    ledger_id: int
    version: int | None
    content_hash: str
    blocks: tuple[Block, ...]
    missing: frozenset[str]  # fields without a value: title, authors, published_at
    tags: tuple[str, ...]


class Profiles:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest(self, site: str) -> Profile | None:
        """The newest version."""
        with reading(self._engine) as conn:
            return _profile(conn.execute(_NEWEST, {"b_site": site}).one_or_none())

    def valid_at(self, site: str, fetched_at: datetime) -> ProfileVersion | None:
        """The version for a page fetched at that time: the newest that is valid for it."""
        with reading(self._engine) as conn:
            row = conn.execute(_VALID, {"b_site": site, "b_at": fetched_at}).one_or_none()
        return None if row is None else ProfileVersion(row.version, row.fast, row.documents)

    def get(self, site: str, version: int) -> Profile | None:
        with reading(self._engine) as conn:
            return _profile(conn.execute(_ONE, {"b_site": site, "b_version": version}).one_or_none())

    def at(self, site: str, fetched_at: datetime) -> Profile | None:
        """The profile for a page fetched at that time."""
        valid = self.valid_at(site, fetched_at)
        return None if valid is None else self.get(site, valid.version)

    def newest(self, site: str) -> ProfileNote | None:
        with reading(self._engine) as conn:
            row = conn.execute(_NEWEST_NOTE, {"b_site": site}).one_or_none()
        return None if row is None else _note(row)

    def versions(self, site: str) -> list[ProfileNote]:
        """All versions, oldest first."""
        with reading(self._engine) as conn:
            return [_note(row) for row in conn.execute(_VERSIONS, {"b_site": site})]

    def put(self, profile: Profile, *, documents: int, now: datetime) -> Profile | None:
        """Store a profile as the version after `profile.version` (0: the first). Returns it with its number.

        None: another process has stored that version. `documents`: the number of documents of the site.
        """
        numbered = replace(profile, version=profile.version + 1, looked_at=max(documents, profile.looked_at))
        row = {
            "site": numbered.site,
            "version": numbered.version,
            "created_at": now,
            "pages": numbered.pages,
            "fit": numbered.fit,
            "since": numbered.since,
            "documents": documents,
            "applied": False,
            "fast": profile.fast,
            "data": _PROFILE.dump_python(numbered, mode="json"),
        }
        with writing(self._engine) as conn:
            return numbered if _NEW.run_returning_keys(conn, [row]) else None

    def record_learning(self, site: str, version: int, *, documents: int) -> None:
        """Record that a site was learned again at this number of documents, without a new version."""
        with writing(self._engine) as conn:
            conn.execute(_RECORD_LEARNING, {"b_site": site, "b_version": version, "b_documents": documents})

    def changed_sites(self, since: datetime) -> list[str]:
        """Sites with a document that was stored or changed at that time or later."""
        with reading(self._engine) as conn:
            return sorted(filter(None, conn.execute(_CHANGED_SITES, {"b_at": since}).scalars()))

    def end(self) -> datetime:
        """The time from which `changed_sites` returns the sites of documents stored from now on."""
        with reading(self._engine) as conn:
            return find_horizon(conn) + STAMP_RESOLUTION

    def sites_of_sources(self, sources: Sequence[str]) -> list[str]:
        """The sites of the documents of these sources."""
        with reading(self._engine) as conn:
            return sorted(filter(None, conn.execute(_SITES_OF_SOURCES, {"b_sources": sources}).scalars()))

    def count(self, site: str, since: datetime | None = None) -> int:
        """The number of documents of a site, all or those fetched at `since` or later."""
        statement = _COUNT if since is None else _COUNT.where(_FROM)
        with reading(self._engine) as conn:
            found: int = conn.execute(statement, {"b_site": site} if since is None else {"b_site": site, "b_at": since}).scalar_one()
        return found

    def recent(self, site: str, version: int, limit: int) -> list[tuple[Block, ...]]:
        """The kept blocks of the newest documents that this version extracted."""
        with reading(self._engine) as conn:
            found = conn.execute(_RECENT, {"b_site": site, "b_version": version, "b_limit": limit}).scalars().all()
        return [_BLOCKS.validate_python(blocks) for blocks in found]

    def sample(self, site: str, limit: int, *, newest: bool = False) -> list[ArchivedPage]:
        """Archived pages of a site's documents to learn from: a stable sample, or the newest."""
        # An id is a hash, so the first ids are a random sample that is the same on every machine.
        order = [documents.c.fetched_at.desc(), documents.c.id] if newest else [documents.c.id]
        with reading(self._engine) as conn:
            return archived(conn, [documents.c.site == site], order, limit)

    def is_under_way(self, site: str, is_due: Callable[[int, int], bool]) -> bool:
        """Whether a site is to be learned (`is_due(documents, documents at the last learning)`) or has documents to extract again."""
        note = self.newest(site)
        if is_due(self.count(site, note.since if note else None), note.documents if note else 0):
            return True
        if note is None or note.applied:
            return False
        statement, values = _older_documents(note, 1)
        with reading(self._engine) as conn:
            return conn.execute(statement, values).first() is not None

    def unapplied_versions(self) -> list[ProfileNote]:
        """For each site the newest version that may have documents of older versions; older versions follow after it."""
        with reading(self._engine) as conn:
            return list({row.site: _note(row) for row in conn.execute(_UNAPPLIED)}.values())

    def outdated(self, note: ProfileNote, limit: int) -> list[OutdatedDocument]:
        """Up to `limit` documents that an older version (or none) extracted and this version is valid for."""
        statement, values = _older_documents(note, limit)
        with reading(self._engine) as conn:
            rows = conn.execute(statement, values).all()
        return [_outdated(row) for row in rows]

    def bring_up_to_date(self, note: ProfileNote, same: Sequence[OutdatedDocument], other: Sequence[int], *, now: datetime) -> int:
        """Mark the documents that this version does not change; have the pages (ledger ids) of others extracted again from the archive.

        Returns the number of pages. Repeated calls end: a page extracted again has this version, or no document. With no document
        left, and SETTLE after the version was stored, the version is marked as applied.
        """
        with writing(self._engine) as conn:
            if same:
                values = {"b_version": note.version, "b_stamp": make_stamp(conn, now)}
                rows = [{"b_id": document.id, "b_hash": document.content_hash, **values} for document in same]
                conn.execute(_MARK_UNCHANGED, sorted(rows, key=lambda row: str(row["b_id"])))
            pages = requeue_for_extraction(conn, other, now) if other else 0
            if not same and not other and now - note.created_at >= SETTLE:
                conn.execute(_APPLIED, {"b_site": note.site, "b_version": note.version})
        return pages


def _older_documents(note: ProfileNote, limit: int) -> tuple[Select[Any], dict[str, Any]]:
    """The documents of older versions for which this version is valid."""
    values = {"b_site": note.site, "b_version": note.version, "b_limit": limit}
    return (_OLDER, values) if note.since is None else (_OLDER.where(_FROM), values | {"b_at": note.since})


def _outdated(row: AnyRow) -> OutdatedDocument:
    missing = frozenset(name for name in POSITION_FIELDS if not getattr(row, name))
    blocks = _BLOCKS.validate_python(row.blocks)
    return OutdatedDocument(row.id, row.ledger_id, row.profile_version, row.content_hash, blocks, missing, tuple(row.tags))


def _profile(row: AnyRow | None) -> Profile | None:
    return (
        None
        if row is None
        else replace(found := _PROFILE.validate_python(row.data), fast=row.fast, looked_at=max(row.documents, found.looked_at))
    )


def _note(row: AnyRow) -> ProfileNote:
    return ProfileNote(row.site, row.version, row.created_at, row.pages, row.fit, row.since, row.documents, row.applied, row.fast)
