"""What identifies a document: the id, by its URL, and the content by which a change is seen.

An advertisement, a counter or a teaser changes the figures of a page, by which a doubtful block counts as text or not, and a newer site
profile judges other blocks. Neither is a change of the article: it has a line that the page did not show before, or lost one.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from newsmill.exceptions import UrlError
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import Block, Document, ExtractionResult
from newsmill.text import urls

LiveUpdates = tuple[tuple[str | None, str], ...]  # (title, text) of each


def make_document_id(canonical: str | None, url: str, content_hash: str) -> str:
    """Return the key of the canonical URL, otherwise of the URL of the page, otherwise the content hash."""
    for candidate in filter(None, (canonical, url)):
        try:
            return urls.make_key(candidate)
        except UrlError:
            continue
    return content_hash


def hash_text(text: str) -> str:
    """Return the content hash of a title and a text: 32 hex characters."""
    return blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def list_live_updates(document: Document) -> LiveUpdates:
    """Return what live updates tell: changed by a new fetch, it makes a revision, as title and text do."""
    return tuple((update.title, update.text) for update in document.live_updates)


def has_same_content(one: Document, other: Document) -> bool:
    """Whether two documents have the same title, text and live updates.

    Metadata, as authors and tags, is not content. In the histories of three public blogs, bylines changed in 35 of 280 edits of metadata.
    """
    return one.content_hash == other.content_hash and list_live_updates(one) == list_live_updates(other)


def shows_same_article(earlier: ExtractionResult, later: ExtractionResult) -> bool:
    """Whether every line of each document is on both pages, as text or not. Both results need the removed blocks too."""
    if earlier.document is None or later.document is None:
        return False
    if _list_beside_text(earlier.document) != _list_beside_text(later.document):
        return False
    if earlier.document.text == later.document.text:
        return True
    return _list_text(later.blocks) <= _list_lines(earlier.blocks) and _list_text(earlier.blocks) <= _list_lines(later.blocks)


def _list_beside_text(document: Document) -> tuple[str | None, list[str], LiveUpdates]:
    return document.title, [author.name for author in document.authors], list_live_updates(document)


def _list_text(blocks: Iterable[Block]) -> set[str]:
    return _list_lines(block for block in blocks if block.kept and block.type not in NON_PROSE_TYPES)


def _list_lines(blocks: Iterable[Block]) -> set[str]:
    return {normalise_line(line) for block in blocks for line in block.text.split("\n")} - {""}
