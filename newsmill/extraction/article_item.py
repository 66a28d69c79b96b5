"""An article item becomes a document. A program gave its fields, so they stay as they are and are only normalised."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, date, datetime

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from newsmill.exceptions import UrlError
from newsmill.extraction.body.markup import resolve_url
from newsmill.extraction.document_identity import hash_text, make_document_id
from newsmill.extraction.metadata.author_names import classify_author
from newsmill.extraction.metadata.language import detect_language
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, Timestamp, make_timestamp
from newsmill.extraction.normalise import count_words, normalise, normalise_line
from newsmill.model import SPIDER, ArticleItem, Author, Block, BlockType, Document, ExtractionResult, Outcome, OutcomeRecord, Page
from newsmill.model.lazy_adapter import make_adapter
from newsmill.text import urls
from newsmill.text.language_tags import parse_language_tag
from newsmill.text.sentences import Sentence

_ITEM = make_adapter(ArticleItem)


def dump_item(item: ArticleItem) -> bytes:
    """Return the body of the page of an item: JSON."""
    try:
        return _ITEM.dump_json(item, exclude_defaults=True)
    except PydanticSerializationError:  # a lone surrogate, which no text has
        return json.dumps(_ITEM.dump_python(item, mode="json", exclude_defaults=True), ensure_ascii=False).encode("utf-8", "replace")


def load_item(page: Page) -> ArticleItem:
    """Return the item of its page. Raises ValueError."""
    return _ITEM.validate_json(page.body)


def read_item(page: Page, *, language: str | None = None, first_seen_at: datetime | None = None) -> ExtractionResult:
    """Return the document of an item, or the outcome `no_text` for one without text. Never raises.

    `language` is the fallback language of the source. `first_seen_at` is the time when the URL was first found (default: `fetched_at`).
    """
    try:
        item = load_item(page)
    except ValidationError as error:
        return ExtractionResult(
            OutcomeRecord(Outcome.ARCHIVE_DAMAGED, Sentence("the item cannot be read: {error}", error=error.errors()[0]["msg"]))
        )
    text = normalise(item.text)
    if not text:
        return ExtractionResult(OutcomeRecord(Outcome.NO_TEXT, Sentence("the item has no text")))
    document = _build_document(page, item, text, language, first_seen_at or page.fetched_at)
    return ExtractionResult(OutcomeRecord(Outcome.STORED), document)


def _build_document(page: Page, item: ArticleItem, text: str, language: str | None, first_seen_at: datetime) -> Document:
    title = normalise_line(item.title) or None
    content_hash = hash_text(f"{title or ''}\n\n{text}")
    canonical = _resolve_canonical_url(item.canonical_url, page.url)
    published, modified = (_read_time(value, page.fetched_at) for value in (item.published_at, item.modified_at))
    tag, tag_source = _find_language(item, text, language)
    document = Document(
        id=make_document_id(canonical, page.url, content_hash),
        url=page.url,
        requested_url=page.requested_url,
        canonical_url=canonical,
        source=page.source,
        site_name=_line(item.site_name),
        title=title,
        description=None if item.description is None else normalise(item.description) or None,
        text=text,
        blocks=tuple(Block(BlockType.PARAGRAPH, part, layer=SPIDER) for part in text.split("\n\n")),
        authors=tuple(Author(name, classify_author(name)) for name in filter(None, map(normalise_line, item.authors))),
        published_at=None if published is None else published.at,
        modified_at=None if modified is None else modified.at,
        first_seen_at=first_seen_at,
        fetched_at=page.fetched_at,
        published_source=None if published is None else SPIDER,
        published_precision=None if published is None else published.precision,
        language=tag,
        section=_line(item.section),
        tags=tuple(dict.fromkeys(filter(None, map(normalise_line, item.tags)))),
        image=None if item.image is None else resolve_url(item.image, page.url),
        images=(),
        article_type=_line(item.article_type),
        live_updates=(),
        is_free=None,
        is_free_reason=None,
        license=None,
        rights={},
        word_count=count_words(text),
        extractor=SPIDER,
        profile_version=None,
        confidence=None,
        warnings=(),
        content_hash=content_hash,
        provenance={},
        published_day=None if published is None else published.day,
    )
    given = (field.name for field in fields(item) if field.name not in ("url", "text"))
    origins = {name: tag_source if name == "language" else SPIDER for name in given if getattr(document, name)}
    return replace(document, provenance=origins)


def _line(value: str | None) -> str | None:
    return None if value is None else normalise_line(value) or None


def _read_time(value: datetime | date | None, fetched_at: datetime) -> Timestamp | None:
    """Return the time of an item; None for one before the web or in the future, as in a page."""
    latest = fetched_at + MAX_AHEAD
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return make_timestamp(value, SPIDER, latest)


def _resolve_canonical_url(value: str | None, url: str) -> str | None:
    """Return the canonical URL; None for one of another site, as in a page."""
    if value is None:
        return None
    try:
        canonical = urls.normalize(value.strip(), url)
        return canonical if urls.get_site(canonical) == urls.get_site(url) else None
    except UrlError:
        return None


def _find_language(item: ArticleItem, text: str, fallback: str | None) -> tuple[str | None, str]:
    """Return the language and its provenance: that of the item, of the text, or of the source."""
    if (given := parse_language_tag(item.language)) is not None:
        return given, SPIDER
    detected = detect_language(text)
    return (detected, "text") if detected is not None else (parse_language_tag(fallback), "source")
