"""What identifies a document: the id, by its URL, and the hash of its content, by which a change is seen."""

from __future__ import annotations

from hashlib import blake2b

from newsmill import urls
from newsmill.exceptions import UrlError


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
