"""A document under the field names of other extractors, so that what reads their output reads ours. Unknown is absent or null.

Names as of zyte-common-items 0.31 (`zyte_common_items/items/article.py`), news-please 1.6 (`newsplease/NewsArticle.py`) and trafilatura 2.3
(`trafilatura/xml.py`, build_json_output).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlsplit

from newsmill.model import AuthorType, Document, Image

Record = dict[str, Any]
_BLANK_LINES = re.compile(r"\n{2,}")


def as_zyte(document: Document) -> Record:
    """An `Article` of zyte-common-items: absent where unknown, as its ZyteItemAdapter writes it.

    `datePublished` never falls back to `dateModified`, as it does there: both would claim what only one is.
    """
    return _known(
        {
            "headline": document.title,
            "datePublished": _iso(document.published_at),
            "dateModified": _iso(document.modified_at),
            "authors": [{"name": author.name} for author in document.authors],
            "breadcrumbs": [{"name": document.section}] if document.section else None,
            "inLanguage": _iso_639(document.language),
            "mainImage": {"url": document.image} if document.image else None,
            "images": [{"url": image.url} for image in images(document)],
            "description": document.description,
            "articleBody": document.text,
            "canonicalUrl": document.canonical_url,
            "url": document.url,
            "metadata": _known({"dateDownloaded": _iso(document.fetched_at), "probability": document.confidence}),
        }
    )


def as_newsplease(document: Document) -> Record:
    """The dictionary of news-please's NewsArticle; times in UTC, without an offset, as it has them."""
    return {
        "authors": [author.name for author in document.authors if author.type is AuthorType.PERSON],
        "date_download": _naive(document.fetched_at),
        "date_modify": _naive(document.modified_at),
        "date_publish": _naive(document.published_at),
        "description": document.description,
        "filename": f"{quote_plus(document.url)}.json",
        "image_url": document.image,
        "language": _iso_639(document.language),
        "localpath": None,
        "maintext": single_spaced(document.text),
        "source_domain": host(document.url),
        "text": None,
        "title": document.title,
        "title_page": None,
        "title_rss": None,
        "url": document.url,
    }


def as_trafilatura(document: Document) -> Record:
    """What `trafilatura --json --with-metadata` prints: lists joined with ";", dates without a time, lines without a blank one between."""
    return {
        "title": document.title,
        "author": "; ".join(author.name for author in document.authors) or None,
        "hostname": host(document.url),
        "date": _day(document),
        "fingerprint": None,
        "id": document.id,
        "license": document.license,
        "raw_text": single_spaced(document.text).replace("\n", " "),
        "language": _iso_639(document.language),
        "image": document.image,
        "pagetype": "article",
        "filedate": document.fetched_at.date().isoformat(),
        "source": document.url,
        "source-hostname": document.site_name,
        "excerpt": document.description,
        "categories": document.section or "",
        "tags": ";".join(document.tags),
        "text": single_spaced(document.text),
        "comments": "",
    }


SHAPES: dict[str, Callable[[Document], Record]] = {"zyte": as_zyte, "news-please": as_newsplease, "trafilatura": as_trafilatura}


def images(document: Document) -> tuple[Image, ...]:
    """The lead image first, each address once."""
    found = {image.url: image for image in document.images}
    if document.image is None:
        return tuple(found.values())
    return (found.pop(document.image, Image(document.image)), *found.values())


def single_spaced(text: str) -> str:
    """The text with one line feed between paragraphs, as trafilatura and news-please write it."""
    return _BLANK_LINES.sub("\n", text)


def host(url: str) -> str | None:
    """The host of an address we stored; it was parsed on its way in."""
    return urlsplit(url).hostname


def _known(record: Record) -> Record:
    return {name: value for name, value in record.items() if value not in (None, [], {})}


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _naive(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _iso_639(language: str | None) -> str | None:
    """de-CH → de: none of the three knows regions."""
    return language.partition("-")[0].lower() if language else None


def _day(document: Document) -> str | None:
    return document.published_day or (document.published_at.date().isoformat() if document.published_at else None)
