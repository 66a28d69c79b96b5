"""What a killed crawler had fetched and not saved yet: its heir saves it, so that no site is asked for the same page again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from crawler.page_writer import Archive, row
from crawler.spool import Spooled, heritages
from newsmill.model import Segment
from newsmill.storage.ledger import Fetched

log = logging.getLogger(__name__)


class Ledger(Protocol):
    def awaited(self, rows: Sequence[tuple[int, int]]) -> set[int]: ...
    def save_segment(self, segment: Segment, rows: Sequence[Fetched], *, now: datetime) -> int: ...


def take_up(folder: Path, ledger: Ledger, archive: Archive, announce: Callable[[str], bool], now: datetime) -> int:
    """Save what dead crawlers left in the folder; how many pages. Raises ServiceError: what was not saved is found at the next try.

    Rows that another crawler has taken meanwhile are left to it, and those that were saved before the death are known by their fence: an
    heir who is killed over this leaves nothing that the next one cannot do again.
    """
    saved = 0
    for heritage in heritages(folder):
        pages = list(heritage.pages())
        wanted = ledger.awaited([(spooled.id, spooled.fence) for spooled in pages])
        saved += _save([spooled for spooled in pages if spooled.id in wanted], ledger, archive, announce, now)
        heritage.remove()
    return saved


def _save(pages: Sequence[Spooled], ledger: Ledger, archive: Archive, announce: Callable[[str], bool], now: datetime) -> int:
    if not pages:
        return 0
    segment = archive.write([spooled.page for spooled in pages], now=now)
    rows = [row(spooled.id, spooled.fence, spooled.page, offset) for spooled, offset in zip(pages, segment.offsets, strict=True)]
    saved = ledger.save_segment(segment, rows, now=now)
    announce(segment.id)
    return saved
