"""What identifies a document: the id, by its URL, and the content by which a change is seen."""

from __future__ import annotations

from hashlib import blake2b

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.model import Document

OtherContent = tuple[tuple[str | None, ...], ...]  # what a reader sees beside title and text


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


def list_other_content(document: Document) -> OtherContent:
    """Return the authors and the live updates: changed by a new fetch, they make a revision, as title and text do."""
    authors = ((author.name,) for author in document.authors)
    return (*authors, *((update.title, update.text) for update in document.live_updates))
