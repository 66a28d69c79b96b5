"""A document as schema.org NewsArticle in JSON-LD."""

from __future__ import annotations

from datetime import datetime

from newsmill.exports.peer_formats import host_of, list_images
from newsmill.exports.records import Record, drop_unknown
from newsmill.model import Author, AuthorType, Document, Image, LiveUpdate

# https://schema.org/NewsArticle, "More specific Types". Other types of a page are dropped.
_KINDS = ("", "Analysis", "AskPublic", "Background", "Opinion", "Reportage", "Review")
_TYPES = frozenset(f"{kind}NewsArticle" for kind in _KINDS)


def as_news_article(document: Document) -> Record:
    """One JSON-LD object; properties without a value are left out. Times are ISO 8601 in UTC."""
    url = document.canonical_url or document.url
    return drop_unknown(
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
    return drop_unknown({"@type": "ImageObject", "url": image.url, "caption": image.caption, "creditText": image.credit})


def _update_object(update: LiveUpdate) -> Record:
    return drop_unknown(
        {"@type": "BlogPosting", "headline": update.title, "articleBody": update.text, "datePublished": _format_with_fraction(update.at)}
    )


def _license_property(stated: str | None) -> Record:
    """The property of schema.org for a licence: `license` takes a URL, `copyrightNotice` text."""
    if stated is None:
        return {}
    return {"license" if stated.startswith(("https://", "http://")) else "copyrightNotice": stated}


def _format_with_fraction(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
