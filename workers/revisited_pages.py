"""The page of a revisit beside the archived page of its document: does it show another text, or is it only judged differently?"""

from __future__ import annotations

from collections.abc import Callable

from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged
from newsmill.extraction.page_changes import has_same_content, shows_same_article
from newsmill.model import ClaimedPage, ExtractionResult, Page
from newsmill.sandbox.pages import SandboxCrash
from newsmill.storage.documents import Documents

ReadPage = Callable[[Page], ExtractionResult | SandboxCrash]  # with the removed blocks


def is_only_judged_differently(
    documents: Documents, archive: Archive, claim: ClaimedPage, page: Page, result: ExtractionResult, read: ReadPage
) -> bool:
    """Whether the page of a revisit gives another document although it shows the text of the archived one.

    Both pages are extracted with today's rules and profile. False where that cannot be decided. It costs two extractions, and only where
    the document would get a revision.
    """
    stored = documents.find_of_page(claim.id)
    if result.document is None or stored is None or stored.archive_ref is None or has_same_content(stored, result.document):
        return False
    segment, _, offset = stored.archive_ref.partition("@")
    try:
        archived = archive.read_page(segment, int(offset))
    except ArchiveDamaged:
        return False
    earlier, later = read(archived), read(page)
    if isinstance(earlier, SandboxCrash) or isinstance(later, SandboxCrash):
        return False
    return shows_same_article(earlier, later)
