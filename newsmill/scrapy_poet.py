"""A page object for scrapy-poet: a callback that asks for an `Article` of zyte-common-items gets the one that Newsmill extracts.

Needs `pip install 'newsmill[poet]'`. docs/guides/scrapy.md shows how to register it.
"""

from __future__ import annotations

from datetime import UTC

from web_poet import WebPage, handle_urls
from zyte_common_items import Article, ArticleMetadata, Author, Image

import newsmill
from newsmill.exceptions import ExtractionError
from newsmill.model import Document

__all__ = ["NewsmillArticlePage", "make_article"]


@handle_urls("")
class NewsmillArticlePage(WebPage[Article]):
    """The article of a response. An item of a page without one has only its URL, and 0 as its probability."""

    async def to_item(self) -> Article:
        url = str(self.response.url)
        content_type = self.response.headers.get("Content-Type")
        try:
            document = newsmill.extract(bytes(self.response.body), url=url, content_type=content_type)
        except ExtractionError:
            return Article(url=url, metadata=ArticleMetadata(probability=0.0))
        return make_article(document)


def make_article(document: Document) -> Article:
    """The fields of a document in an `Article`. Unknown ones are None."""
    published, modified = (
        None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for at in (document.published_at, document.modified_at)
    )
    return Article(
        url=document.url,
        canonicalUrl=document.canonical_url,
        headline=document.title,
        description=document.description,
        articleBody=document.text,
        authors=[Author(name=author.name, nameRaw=author.name) for author in document.authors] or None,
        datePublished=published,
        dateModified=modified,
        inLanguage=document.language,
        mainImage=None if document.image is None else Image(url=document.image),
        images=[Image(url=image.url) for image in document.images] or None,
    )
