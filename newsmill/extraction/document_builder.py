"""From the body of a page to its document, or to the outcome of a page that is not an article."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lxml.html import HtmlElement

from newsmill.discovery.article_pages import NextPage, find_next_page_of
from newsmill.discovery.url_patterns import MIN_ARTICLE_SCORE, score_article_url
from newsmill.extraction import live_updates, source_rules
from newsmill.extraction.article_parts import describe_next_page
from newsmill.extraction.body import block_groups, trailing_lines
from newsmill.extraction.body.extract import Body
from newsmill.extraction.body.markup import resolve_links, resolve_url
from newsmill.extraction.body.page_facts import NEWS_TYPES
from newsmill.extraction.document_identity import hash_text, make_document_id
from newsmill.extraction.metadata.fields import Fields, find_fields
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.metadata.text_bylines import remove_bylines
from newsmill.extraction.metadata.titles import remove_headline
from newsmill.extraction.mojibake import measure_mojibake
from newsmill.extraction.normalise import count_words
from newsmill.extraction.page_type.classify import classify_page
from newsmill.extraction.page_type.evidence import is_declared_article
from newsmill.extraction.site_profile import apply_profile, field_positions, path_comparison
from newsmill.extraction.site_profile.position_fields import apply_positions
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import Block, Document, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Rules
from newsmill.text.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Request:
    """The input of an extraction before the page is parsed."""

    page: Page
    html: bytes
    rules: Rules
    language: str | None
    first_seen_at: datetime | None
    profile: Profile | None
    again: bool
    first_url: str  # of the first page of the article

    @property
    def is_sample(self) -> bool:
        """Whether the results of the fast path and of the full path are compared."""
        return self.profile is not None and path_comparison.is_sample(self.page.url, self.profile, again=self.again)


def make_result(
    request: Request, tree: HtmlElement, structured: StructuredData, warnings: tuple[str, ...], dropped: Sequence[Block], body: Body
) -> ExtractionResult:
    """Build the document from the body, or the outcome of a page that is not an article."""
    page, profile = request.page, request.profile
    blocks = body.blocks if profile is None or body.extractor == "rules" else apply_profile.apply(profile, body.blocks)
    base = (resolve_url(structured.base, page.url) if structured.base else None) or page.url
    blocks = tuple(resolve_links(block, base) for block in blocks)
    blocks = live_updates.remove_updates(
        trailing_lines.remove_trailing_lines(block_groups.convert_captions(blocks), request.rules.drop_lines), structured
    )
    content = join_text(blocks)
    not_article = classify_page(structured, blocks, content, page.url, page.status)
    if not_article is not None:
        return ExtractionResult(not_article, blocks=(*blocks, *dropped))
    ending, site_tags = trailing_lines.read_ending(blocks), () if profile is None else profile.site_tags
    fields = find_fields(structured, tree, page, content, request.language, ending, site_tags)
    fields = fields if profile is None else apply_positions(fields, field_positions.find_field_texts(profile, blocks), page.fetched_at)
    fields = source_rules.apply_field_rules(tree, request.rules, fields, page.fetched_at)
    day = None if fields.published is None else fields.published.day
    is_news = bool(structured.types() & NEWS_TYPES)
    blocks = remove_headline(blocks, fields.title)
    blocks = remove_bylines(blocks, fields.authors, day, is_news=is_news, language=fields.language)
    content = join_text(blocks)
    following = _find_next_page(request, structured)
    if following is not None:
        warnings = (*warnings, describe_next_page(following.urls[-1]))
    body = _lower_confidence(replace(body, warnings=(*warnings, *body.warnings)), f"{fields.title or ''}\n{content}")
    document = _build_document(page, fields, body, blocks, content, request.first_seen_at)
    document = replace(document, profile_version=None if profile is None else profile.version)
    next_page = following.urls[-1] if following is not None and following.is_sure else None
    return ExtractionResult(OutcomeRecord(Outcome.STORED), document, blocks=(*blocks, *dropped), next_page=next_page)


def _find_next_page(request: Request, structured: StructuredData) -> NextPage | None:
    """The next page of the article. It is not sure for a page that may be a list of articles."""
    page, first = request.page, request.first_url
    following = find_next_page_of(request.html, page.url, first, page.header("Content-Type"))
    if following is None or is_declared_article(structured) or score_article_url(first) >= MIN_ARTICLE_SCORE:
        return following
    return replace(following, is_sure=False)


def _lower_confidence(body: Body, text: str) -> Body:
    """Lower the confidence in proportion to the share of unreadable words."""
    share = measure_mojibake(text)
    if not share:
        return body
    confidence = None if body.confidence is None else round(body.confidence * (1 - share), 3)
    return replace(
        body,
        confidence=confidence,
        warnings=(*body.warnings, Sentence("mojibake: {share:.1%} of the words are unreadable characters", share=share)),
    )


def join_text(blocks: Sequence[Block]) -> str:
    """Join the kept blocks in page order, with a blank line between them. Captions and embeds are not part of the text."""
    return "\n\n".join(block.text for block in blocks if block.kept and block.type not in NON_PROSE_TYPES)


def _build_document(page: Page, fields: Fields, body: Body, blocks: Sequence[Block], text: str, first_seen_at: datetime | None) -> Document:
    content_hash = hash_text(f"{fields.title or ''}\n\n{text}")
    published, modified = fields.published, fields.modified
    return Document(
        id=make_document_id(fields.canonical_url, page.url, content_hash),
        url=page.url,
        requested_url=page.requested_url,
        canonical_url=fields.canonical_url,
        source=page.source,
        site_name=fields.site_name,
        title=fields.title,
        description=fields.description,
        text=text,
        blocks=tuple(block for block in blocks if block.kept),
        authors=fields.authors,
        published_at=None if published is None else published.at,
        modified_at=None if modified is None else modified.at,
        first_seen_at=first_seen_at or page.fetched_at,
        fetched_at=page.fetched_at,
        published_source=None if published is None else published.source,
        published_precision=None if published is None else published.precision,
        language=fields.language,
        section=fields.section,
        tags=fields.tags,
        image=fields.image,
        images=fields.images,
        article_type=fields.article_type,
        live_updates=fields.live_updates,
        is_free=fields.is_free,
        is_free_reason=fields.is_free_reason,
        license=fields.license,
        rights=fields.rights,
        word_count=count_words(text),
        extractor=body.extractor,
        profile_version=None,
        confidence=body.confidence,
        warnings=body.warnings,
        content_hash=content_hash,
        provenance=fields.provenance,
        published_day=None if published is None else published.day,
        original_url=fields.original_url,
    )
