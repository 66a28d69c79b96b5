"""A document as a record: under our field names, under those of other extractors, and as schema.org NewsArticle in JSON-LD."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlsplit

from newsmill.exports.markdown import render_markdown
from newsmill.model import Author, AuthorType, Document, DocumentMarks, Image, LiveUpdate

Record = dict[str, Any]
FIELDS = (*(field.name for field in fields(Document)), "doubtful")
_NO_MARKS = DocumentMarks()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MarkedDocument(Document):
    """A document with the marks of one user."""

    marks: DocumentMarks

    @classmethod
    def of(cls, document: Document, marks: DocumentMarks | None) -> MarkedDocument:
        """The document with these marks; None: it has none."""
        return cls(**{field.name: getattr(document, field.name) for field in fields(Document)}, marks=marks or _NO_MARKS)


def read_marks(document: Document) -> DocumentMarks:
    """The marks of a MarkedDocument; none for another document."""
    return document.marks if isinstance(document, MarkedDocument) else _NO_MARKS


# Markdown takes more time than all other fields together; marks belong to a user.
OPTIONAL_FIELDS: Mapping[str, Callable[[Document], Any]] = {"markdown": render_markdown, "marks": read_marks}


def to_record(document: Document, include: Sequence[str] = ()) -> Record:
    """Every field by name, with the optional fields in `include`."""
    values = {name: getattr(document, name) for name in FIELDS}
    return values | {name: OPTIONAL_FIELDS[name](document) for name in include}


# ---- other extractors --------------------------------------------------------------------------------------------------------

# For programs that read the output of these extractors. Unknown fields are absent or null. Names as of zyte-common-items 0.31
# (`zyte_common_items/items/article.py`), news-please 1.6 (`newsplease/NewsArticle.py`) and trafilatura 2.3 (`trafilatura/xml.py`,
# build_json_output).

_BLANK_LINES = re.compile(r"\n{2,}")


def as_zyte(document: Document) -> Record:
    """An `Article` of zyte-common-items: absent where unknown, as its ZyteItemAdapter writes it.

    `datePublished` never falls back to `dateModified`, as it does there.
    """
    return _drop_unknown(
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
            "metadata": _drop_unknown({"dateDownloaded": _format_iso(document.fetched_at), "probability": document.confidence}),
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


def _drop_unknown(record: Record) -> Record:
    return {name: value for name, value in record.items() if value not in (None, [], {})}


def _format_iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _format_without_offset(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _language_code(language: str | None) -> str | None:
    """de-CH → de: these formats have no regions."""
    return language.partition("-")[0].lower() if language else None


def _publication_day(document: Document) -> str | None:
    return document.published_day or (document.published_at.date().isoformat() if document.published_at else None)


# ---- schema.org --------------------------------------------------------------------------------------------------------------


# https://schema.org/NewsArticle, "More specific Types". Other types of a page are dropped.
_KINDS = ("", "Analysis", "AskPublic", "Background", "Opinion", "Reportage", "Review")
_TYPES = frozenset(f"{kind}NewsArticle" for kind in _KINDS)


def as_news_article(document: Document) -> Record:
    """One JSON-LD object; properties without a value are left out. Times are ISO 8601 in UTC."""
    url = document.canonical_url or document.url
    return _drop_unknown(
        {
            "@context": "https://schema.org",
            "@type": _article_type(document),
            "@id": url,
            "identifier": document.id,
            "url": document.url,
            "mainEntityOfPage": url,
            "headline": document.title,
            "description": document.description,
            "articleBody": document.text,
            "author": [_author_object(author) for author in document.authors],
            "publisher": {"@type": "Organization", "name": document.site_name or host_of(document.url)},
            "datePublished": _format_with_fraction(document.published_at),
            "dateModified": _format_with_fraction(document.modified_at),
            "articleSection": document.section,
            "keywords": list(document.tags),
            "inLanguage": document.language,
            "image": [_image_object(image) for image in list_images(document)],
            "isAccessibleForFree": document.is_free,
            "wordCount": document.word_count,
            "liveBlogUpdate": [_update_object(update) for update in document.live_updates],
            "version": document.revision,
            **_license_property(document.license),
        }
    )


def _article_type(document: Document) -> str | list[str]:
    kind = document.article_type if document.article_type in _TYPES else "NewsArticle"
    return [kind, "LiveBlogPosting"] if document.live_updates else kind


def _author_object(author: Author) -> Record:
    return {"@type": "Person" if author.type is AuthorType.PERSON else "Organization", "name": author.name}


def _image_object(image: Image) -> Record:
    return _drop_unknown({"@type": "ImageObject", "url": image.url, "caption": image.caption, "creditText": image.credit})


def _update_object(update: LiveUpdate) -> Record:
    return _drop_unknown(
        {"@type": "BlogPosting", "headline": update.title, "articleBody": update.text, "datePublished": _format_with_fraction(update.at)}
    )


def _license_property(stated: str | None) -> Record:
    """The property of schema.org for a licence: `license` takes a URL, `copyrightNotice` text."""
    if stated is None:
        return {}
    return {"license" if stated.startswith(("https://", "http://")) else "copyrightNotice": stated}


def _format_with_fraction(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
