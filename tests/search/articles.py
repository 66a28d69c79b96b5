"""Documents to search, and what a search finds of them."""

from __future__ import annotations

from dataclasses import replace

from rows import SITE, Mill, after, document_of, good, links
from sqlalchemy import Engine

from newsmill.model import Document
from newsmill.search.search import Search
from newsmill.storage.ledger import Ledger
from newsmill.text import urls


def article(number: int, text: str = "", **fields: object) -> Document:
    """A document of its own, an hour later than the one before."""
    plain: dict[str, object] = {"title": f"Article {number}", "description": None, "authors": (), "language": "en", "section": None}
    plain |= {"published_at": after(hours=number), "first_seen_at": after(hours=number + 1), "published_precision": "second"}
    return document_of(f"{SITE}/{number}", text=text, **(plain | fields))


def store(engine: Engine, *found: Document) -> None:
    """Documents the way workers store them."""
    mill = Mill(Ledger(engine))
    claims = {claim.url: claim for claim in mill.fetch(*(replace(links(1)[0], url=document.requested_url) for document in found))}
    mill.store(*(good(claims[urls.normalize(document.requested_url)], document) for document in found))


def numbers(search: Search, query: str, **how: object) -> list[str]:
    return [hit.url.rpartition("/")[2] for hit in search.search(query, **how).hits]  # type: ignore[arg-type]


def found(search: Search, query: str) -> set[str]:
    return set(numbers(search, query, limit=100))
