"""Page → ExtractionResult: all steps from bytes to document, as one readable sequence. Never raises; every page ends in a named outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from hashlib import blake2b
from itertools import islice

from lxml.html import HtmlElement

from newsmill import urls
from newsmill.charset import to_utf8
from newsmill.exceptions import DecodeError, UrlError
from newsmill.extraction import live_updates, page_type, sniffing, source_rules
from newsmill.extraction.body import gallery
from newsmill.extraction.body.block_model import BlockModel
from newsmill.extraction.body.extract import Body, extract_body
from newsmill.extraction.body.markup import resolve_links, resolve_url
from newsmill.extraction.body.page_stats import NEWS_TYPES
from newsmill.extraction.boilerplate import trailing_lines
from newsmill.extraction.decode import decode_body
from newsmill.extraction.html import HtmlSource, ParsedHtml, parse_source, prepare_html
from newsmill.extraction.metadata import text_bylines
from newsmill.extraction.metadata.fields import Fields, find_fields
from newsmill.extraction.metadata.structured_data import StructuredData, read_structured_data
from newsmill.extraction.mojibake import measure_mojibake
from newsmill.extraction.normalise import count_words
from newsmill.extraction.site_profile import apply_profile, fast_path, field_positions
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import Block, Document, ExtractionPath, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Rules

MAX_HTML_BYTES = 5 * 2**20  # bytes; 4.5 MB took trafilatura 4.7 s, 20 MB over a minute, and no article is near it
MAX_ELEMENTS = 40_000  # tags; the largest of 1,842 measured pages has 9,888, and trafilatura takes half a minute for 120,000
_NO_RULES = Rules()


def read(
    page: Page,
    *,
    rules: Rules | None = None,
    language: str | None = None,
    first_seen_at: datetime | None = None,
    profile: Profile | None = None,
    model: BlockModel | None = None,
    brief: bool = False,
    again: bool = False,
) -> ExtractionResult:
    """Everything Newsmill makes of one page.

    `rules` are the source's own, `language` its fallback; `first_seen_at` is when the URL was first found (else when it was fetched);
    `profile` is what is known of the page's site; `model` takes the place of the shipped block model (benchmarks, out of fold).
    The result holds the document when the outcome is `stored`, and every block, kept or removed, with its reason; unless the answer is to
    be `brief`: then only the document has blocks, and the fast path need not enter boxes that hold no text.
    `again` tells that the page was extracted before, so it rarely needs to be a sample once more.
    """
    if page.status >= 400:
        gone = page.status in (404, 410)
        return ExtractionResult(OutcomeRecord(Outcome.GONE if gone else Outcome.HTTP_ERROR, f"the server answered {page.status}"))
    try:
        html = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError as error:
        return ExtractionResult(OutcomeRecord(Outcome(error.outcome), str(error)))
    refused = sniffing.detect_non_html(html, page.header("Content-Type"))
    if refused is None and len(html) > MAX_HTML_BYTES:
        refused = OutcomeRecord(Outcome.TOO_LARGE, f"{len(html):,} bytes of HTML; the cap is {MAX_HTML_BYTES:,}")
    if refused is not None:
        return ExtractionResult(refused)
    try:
        given = _Request(page, source_rules.select_active(rules, page.fetched_at), language, first_seen_at, profile, again)
        reading = _extract_html(given, html, model, brief)
    except RecursionError:
        return ExtractionResult(OutcomeRecord(Outcome.TOO_DEEP, "the extractor could not follow the page's nesting"))
    return replace(reading, blocks=()) if brief else reading


@dataclass(frozen=True, slots=True)
class _Request:
    """What is known before the page is parsed."""

    page: Page
    rules: Rules
    language: str | None
    first_seen_at: datetime | None
    profile: Profile | None
    again: bool

    @property
    def is_sample(self) -> bool:
        """Whether the fast path's result is compared with the full extraction's."""
        return self.profile is not None and fast_path.is_sample(self.page.url, self.profile, again=self.again)


class _LazyPage:
    """The page as it is parsed, and its tree, made when somebody asks."""

    def __init__(self, html: bytes) -> None:
        self.markup = prepare_html(html)

    @cached_property
    def parsed(self) -> ParsedHtml:
        return parse_source(self.markup)

    @property
    def is_parsed(self) -> bool:
        return "parsed" in self.__dict__


def _extract_html(given: _Request, html: bytes, model: BlockModel | None, brief: bool) -> ExtractionResult:
    page, rules, profile = given.page, given.rules, given.profile
    whole = _LazyPage(to_utf8(html, page.header("Content-Type")))
    proven = profile is not None and fast_path.is_proven(profile)
    short = _extract_pruned(given, whole) if proven and brief and rules == _NO_RULES else None
    if short is not None and not given.is_sample:
        return replace(short, extraction_path=ExtractionPath.FAST)
    parsed = whole.parsed
    if parsed.tree is None:
        return ExtractionResult(
            OutcomeRecord(Outcome.TOO_DEEP, "nested deeper than 2,048 levels")
            if parsed.too_deep
            else OutcomeRecord(Outcome.NO_TEXT, "the page holds no markup")
        )
    tree = parsed.tree
    elements = _list_elements(tree)
    if len(elements) > MAX_ELEMENTS:
        return ExtractionResult(OutcomeRecord(Outcome.TOO_LARGE, f"more than {MAX_ELEMENTS:,} elements, the cap"))
    structured = read_structured_data(tree, page.url, whole.markup.html)
    finished = partial(_build_result, given, tree, structured, parsed.warnings, source_rules.drop_elements(tree, rules))
    wanted = source_rules.keep_elements(tree, rules)
    if wanted is not None:
        return finished(Body(wanted, extractor="rules"))
    # a profile may know a title or a byline among the blocks that are no text; without one nobody asks for them
    long_way = partial(
        extract_body,
        tree,
        page.url,
        structured,
        model,
        kept_only=brief and (profile is None or not profile.fields),
        is_sure_text=None
        if profile is None or profile.pages < apply_profile.MATURE_PAGES
        else partial(apply_profile.is_sure_text, profile),
    )
    if profile is None or not proven:
        return finished(long_way())
    if short is None:
        short = _accept_fast_body(finished, fast_path.extract_fast_body(tree, profile, every_box=not brief), profile)
        if short is not None and not given.is_sample:
            return replace(short, extraction_path=ExtractionPath.FAST)
    long = finished(long_way())
    if short is None:
        return replace(long, extraction_path=ExtractionPath.UNFIT)
    if fast_path.is_same_result(short.document, long.document):
        return replace(short, extraction_path=ExtractionPath.AGREED)  # as of all other pages of the site, and whether it is a sample or not
    return replace(long, extraction_path=ExtractionPath.DISAGREED)


def _list_elements(tree: HtmlElement) -> list[HtmlElement]:
    """Every element of the page, or one more than the cap.

    Held to the end: lxml makes the object of an element anew whenever nobody holds it, a twentieth of a page's cost.
    """
    return list(islice(tree.iter(), MAX_ELEMENTS + 1))


def _extract_pruned(given: _Request, whole: _LazyPage) -> ExtractionResult | None:
    """The result by the profile alone from a page without what stands in the site's closed boxes; None where it takes the whole page."""
    profile = given.profile
    pruner = None if profile is None else fast_path.get_html_pruner(profile)
    if profile is None or pruner is None or not pruner.is_worthwhile:
        return None
    html = pruner.prune(whole.markup.html)
    tree = None if html is None else parse_source(HtmlSource(html)).tree
    elements = [] if tree is None else _list_elements(tree)
    reading = None
    if tree is not None and len(elements) <= MAX_ELEMENTS:
        if doubtful := pruner.find_doubtful(tree):
            pruner.record_misplaced(doubtful)
        else:
            structured = read_structured_data(tree, given.page.url, whole.markup.html, partial(_get_whole_tree, whole, tree))
            finished = partial(_build_result, given, tree, structured, whole.markup.warnings, ())
            reading = _accept_fast_body(finished, fast_path.extract_fast_body(tree, profile, pruner=pruner), profile)
    pruner.record(gained=reading is not None and not whole.is_parsed)
    return reading


def _get_whole_tree(whole: _LazyPage, part: HtmlElement) -> HtmlElement:
    """The tree of the whole page; that of the part where the page is beyond what is read."""
    tree = whole.parsed.tree
    return part if tree is None or len(_list_elements(tree)) > MAX_ELEMENTS else tree


def _accept_fast_body(finished: Callable[[Body], ExtractionResult], found: Body | None, profile: Profile) -> ExtractionResult | None:
    """The result by the profile alone; None for a page that is not an article like the others of its site.

    Of pages that are none at all, one is known without the long way, which is dearest for the shortest text: one that shows a few lines
    where the site keeps its text, and says that the rest is for subscribers.
    """
    if found is None:
        return None
    reading = finished(found)
    if reading.document is None:
        return reading if reading.ending.outcome is Outcome.PAYWALL and any(block.kept for block in found.blocks) else None
    return reading if fast_path.is_typical(profile, found, reading.document) else None


def _build_result(
    given: _Request, tree: HtmlElement, structured: StructuredData, warnings: tuple[str, ...], dropped: Sequence[Block], found: Body
) -> ExtractionResult:
    """From the body to the document, or to what the page is instead."""
    page, profile = given.page, given.profile
    blocks = found.blocks if profile is None or found.extractor == "rules" else apply_profile.apply(profile, found.blocks)
    base = (resolve_url(structured.base, page.url) if structured.base else None) or page.url
    blocks = tuple(resolve_links(block, base) for block in blocks)
    blocks = live_updates.remove_updates(
        trailing_lines.remove_trailing_lines(gallery.convert_captions(blocks), given.rules.drop_lines), structured
    )
    content = join_text(blocks)
    ending = page_type.classify_page(structured, blocks, content, page.url, page.status)
    if ending is not None:
        return ExtractionResult(ending, blocks=(*blocks, *dropped))
    fields = find_fields(structured, tree, page, content, given.language, ending=trailing_lines.read_ending(blocks))
    fields = fields if profile is None else field_positions.apply_positions(profile, blocks, fields, page.fetched_at)
    fields = source_rules.apply_field_rules(tree, given.rules, fields, page.fetched_at)
    day = None if fields.published is None else fields.published.day
    blocks = text_bylines.remove_bylines(blocks, fields.authors, day, is_news=bool(structured.types() & NEWS_TYPES))
    content = join_text(blocks)
    found = _lower_confidence(replace(found, warnings=(*warnings, *found.warnings)), f"{fields.title or ''}\n{content}")
    document = _build_document(page, fields, found, blocks, content, given.first_seen_at)
    document = replace(document, profile_version=None if profile is None else profile.version)
    return ExtractionResult(OutcomeRecord(Outcome.STORED), document, blocks=(*blocks, *dropped))


def _lower_confidence(found: Body, text: str) -> Body:
    """Words nobody can read are not the article's: they lower the confidence in proportion."""
    share = measure_mojibake(text)
    if not share:
        return found
    confidence = None if found.confidence is None else round(found.confidence * (1 - share), 3)
    return replace(
        found, confidence=confidence, warnings=(*found.warnings, f"mojibake: {share:.1%} of the words are unreadable characters")
    )


def join_text(blocks: Sequence[Block]) -> str:
    """The text of a document: kept blocks in page order, a blank line between them; captions and embeds are no prose."""
    return "\n\n".join(block.text for block in blocks if block.kept and block.type not in NON_PROSE_TYPES)


def _build_document(
    page: Page, fields: Fields, found: Body, blocks: Sequence[Block], text: str, first_seen_at: datetime | None
) -> Document:
    content_hash = _hash_text(f"{fields.title or ''}\n\n{text}")
    published, modified = fields.published, fields.modified
    return Document(
        id=_make_document_id(fields.canonical_url, page.url, content_hash),
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
        extractor=found.extractor,
        profile_version=None,
        confidence=found.confidence,
        warnings=found.warnings,
        content_hash=content_hash,
        provenance=fields.provenance,
        published_day=None if published is None else published.day,
    )


def _make_document_id(canonical: str | None, url: str, content_hash: str) -> str:
    """The key of the canonical URL, else of the page's own; the hash of the content for a page without a URL."""
    for candidate in filter(None, (canonical, url)):
        try:
            return urls.make_key(candidate)
        except UrlError:
            continue
    return content_hash


def _hash_text(text: str) -> str:
    return blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
