"""Documents under the field names of other extractors.

For programs that read the output of these extractors. Unknown fields are absent or null. Names as of zyte-common-items 0.31
(`zyte_common_items/items/article.py`), news-please 1.6 (`newsplease/NewsArticle.py`) and trafilatura 2.3 (`trafilatura/xml.py`,
build_json_output).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote_plus, urlsplit

from newsmill.exports.records import Record, drop_unknown
from newsmill.model import AuthorType, Document, Image

_BLANK_LINES = re.compile(r"\n{2,}")


def as_zyte(document: Document) -> Record:
    """An `Article` of zyte-common-items: absent where unknown. `datePublished` does not fall back to `dateModified`, as it does there."""
    return drop_unknown(
        {
            "headline": document.title,
            "datePublished": _format_iso(document.published_at),
            "dateModified": _format_iso(document.modified_at),
            "authors": [{"name": author.name} for author in document.authors],
            "breadcrumbs": [{"name": document.section}] if document.section else None,
            "inLanguage": _language_code(document.language),
            "mainImage": {"url": document.image} if document.image else None,
            "images": [{"url": image.url} for image in list_images(document)],
            "description": document.description,
            "articleBody": document.text,
            "canonicalUrl": document.canonical_url,
            "url": document.url,
            "metadata": drop_unknown({"dateDownloaded": _format_iso(document.fetched_at), "probability": document.confidence}),
        }
    )


def as_newsplease(document: Document) -> Record:
    """The dictionary of news-please's NewsArticle; times in UTC, without an offset, as it has them."""
    return {
        "authors": [author.name for author in document.authors if author.type is AuthorType.PERSON],
        "date_download": _format_without_offset(document.fetched_at),
        "date_modify": _format_without_offset(document.modified_at),
        "date_publish": _format_without_offset(document.published_at),
        "description": document.description,
        "filename": f"{quote_plus(document.url)}.json",
        "image_url": document.image,
        "language": _language_code(document.language),
        "localpath": None,
        "maintext": remove_blank_lines(document.text),
        "source_domain": host_of(document.url),
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
        "hostname": host_of(document.url),
        "date": _publication_day(document),
        "fingerprint": None,
        "id": document.id,
        "license": document.license,
        "raw_text": remove_blank_lines(document.text).replace("\n", " "),
        "language": _language_code(document.language),
        "image": document.image,
        "pagetype": "article",
        "filedate": document.fetched_at.date().isoformat(),
        "source": document.url,
        "source-hostname": document.site_name,
        "excerpt": document.description,
        "categories": document.section or "",
        "tags": ";".join(document.tags),
        "text": remove_blank_lines(document.text),
        "comments": "",
    }


PEER_FORMATS: dict[str, Callable[[Document], Record]] = {"zyte": as_zyte, "news-please": as_newsplease, "trafilatura": as_trafilatura}


def list_images(document: Document) -> tuple[Image, ...]:
    """The images, the lead image first, each URL once."""
    found = {image.url: image for image in document.images}
    if document.image is None:
        return tuple(found.values())
    return (found.pop(document.image, Image(document.image)), *found.values())


def remove_blank_lines(text: str) -> str:
    """The text with one line feed between paragraphs, as trafilatura and news-please write it."""
    return _BLANK_LINES.sub("\n", text)


def host_of(url: str) -> str | None:
    """The host of a stored URL."""
    return urlsplit(url).hostname


def _format_iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _format_without_offset(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _language_code(language: str | None) -> str | None:
    """de-CH → de: these formats have no regions."""
    return language.partition("-")[0].lower() if language else None


def _publication_day(document: Document) -> str | None:
    return document.published_day or (document.published_at.date().isoformat() if document.published_at else None)
