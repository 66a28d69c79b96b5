"""The files that a machine derives from the database and keeps beside it: stores of past times, and the images of the web pages.

A takedown is committed on one machine. Each process of every machine finds it in the database, and erases it from the files of its own.
Until then nothing of it is served: the name of a store of the past has all takedowns, and a document that is gone has no image.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Engine, bindparam, select

from newsmill.exceptions import ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.storage import frozen_stores
from newsmill.storage.database import reading
from newsmill.storage.past_documents import count_takedowns
from newsmill.storage.past_folder import remove_left_folders
from newsmill.storage.schema import documents, takedowns

log = logging.getLogger(__name__)

BATCH_SIZE = 500  # ids per statement
_STORED = select(documents.c.id).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))
_IMAGES = select(takedowns.c.image).where(takedowns.c.image.is_not(None)).distinct()


class DerivedFiles:
    """The files in the folders `past` and `images` of one data folder. For one thread."""

    def __init__(self, engine: Engine, past: Path, images: Path) -> None:
        self._engine, self._past, self._images = engine, past, images
        self._applied: int | None = None
        self._outage = OutageLog(log, "the files of takedowns are deleted")

    def apply_takedowns(self) -> int | None:
        """Erase what was taken down since the last call. Returns the number of takedowns that are applied; None: none is yet.

        A file that cannot be deleted is logged, and tried again by the next call. Raises ServiceError when the database is away.
        """
        wanted = count_takedowns(self._engine)
        if wanted != self._applied:
            try:
                self._erase()
            except OSError as error:
                self._outage.report_failure(_describe(error))
                return self._applied
            self._outage.report_success()
            self._applied = wanted
        return self._applied

    def erase(self) -> int:
        """Erase what takedowns have left; returns the number of images. Raises ServiceError, also for a file that cannot be deleted."""
        try:
            return self._erase()
        except OSError as error:
            raise _describe(error) from error

    def _erase(self) -> int:
        frozen_stores.remove_outdated(self._engine, self._past)
        remove_left_folders()
        return _erase_images(self._engine, self._images)


def _describe(error: OSError) -> ServiceError:
    return ServiceError(f"{error.filename} may hold what was taken down, and cannot be deleted: {error.strerror}; delete it")


def _erase_images(engine: Engine, folder: Path) -> int:
    """Delete the images of documents that are not stored any more, with their marks, and the unfinished files of killed processes.

    The web process fetches an image again that another article shows.
    """
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    owners = {mark: mark.partition(".")[2] for mark in found if "." in mark}  # an unfinished file has a name that no document has
    with reading(engine) as conn:
        ids = sorted({*owners.values()})
        batches = [ids[start : start + BATCH_SIZE] for start in range(0, len(ids), BATCH_SIZE)]
        stored = {one for batch in batches for one in conn.execute(_STORED, {"b_ids": batch}).scalars()}
        named = found.intersection(conn.execute(_IMAGES).scalars()) if found else set[str]()
    marks = {mark for mark, owner in owners.items() if owner not in stored}
    images = found & (named | {mark.partition(".")[0] for mark in marks})
    # Marks after images: an interrupted call finds them again. Images again: the web process keeps no image without a mark.
    for name in (*sorted(images), *sorted(marks), *sorted(images)):
        (folder / name).unlink(missing_ok=True)
    return len(images)
