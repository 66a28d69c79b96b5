"""Results of extraction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat

from newsmill.model.blocks import Block
from newsmill.model.documents import Document
from newsmill.model.outcomes import OutcomeRecord
from newsmill.model.reextraction import Verdict
from newsmill.text.sentences import Detail


class ExtractionPath(StrEnum):
    """How a page of a site with a proven profile was extracted; `newsmill status` counts them.

    The fast path uses only the block paths of the profile; the full path uses the block model.
    """

    FAST = "fast"  # by the fast path
    UNFIT = "unfit"  # by the full path, because the page is unlike the pages of the profile
    AGREED = "agreed"  # by both, with the same text; one page in twenty takes both paths
    DISAGREED = "disagreed"  # by both, with different texts; the document is that of the full path


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """The result of extraction for one page: its outcome, the document if there is one, and every block with its reason."""

    ending: OutcomeRecord
    document: Document | None = None
    blocks: tuple[Block, ...] = ()  # kept and removed, in page order
    seconds: float = 0.0  # of CPU, if a child process read it
    extraction_path: ExtractionPath | None = None  # None: its site has no proven profile
    rendering_failure: Detail | None = None  # why the body of the response was extracted in place of the rendered DOM
    next_page: str | None = None  # the URL at which the article surely continues, and which is not part of the document
    verdict: Verdict | None = None  # on the text in place of the one that it was to be compared with
    block_pages: tuple[str, ...] = ()  # the URL of each block's page, in the order of `blocks`; empty for an article on one page

    def list_blocks(self) -> Iterator[tuple[str | None, Block]]:
        """Each block with the URL of its page; None for an article on one page."""
        return zip(self.block_pages or repeat(None), self.blocks, strict=False)
