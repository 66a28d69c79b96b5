"""The extraction pipeline from Page to ExtractionResult. Never raises; every page gets an outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.exceptions import DecodeError
from newsmill.extraction import non_html, source_rules
from newsmill.extraction.article_item import read_item
from newsmill.extraction.article_parts import MAX_TEXT_CHARACTERS, join_parts
from newsmill.extraction.body.block_model import BlockModel
from newsmill.extraction.body.extract import Body, extract_body
from newsmill.extraction.decode import decode_body
from newsmill.extraction.document_builder import Request, make_result
from newsmill.extraction.html import HtmlSource, ParsedHtml, parse_source, prepare_html
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.extraction.rendered_page import choose_body, warn_of_failed_rendering
from newsmill.extraction.site_profile import closed_positions, fast_path, path_comparison, position_evidence, profile_trust
from newsmill.model import ExtractionPath, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, Rules
from newsmill.text.charset import to_utf8
from newsmill.text.sentences import Sentence

MAX_HTML_BYTES = 5 * 2**20  # bytes; trafilatura took 4.7 s for 4.5 MB and over a minute for 20 MB, and all articles are far smaller
MAX_ELEMENTS = 40_000  # tags; the largest of 1,842 measured pages has 9,888, and trafilatura takes half a minute for 120,000
_NO_RULES = Rules()
_WITHOUT_TEXT = frozenset({"script", "style", "template", etree.Comment, etree.ProcessingInstruction})


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
    """Extract one page and return its outcome, its document and its blocks. Never raises.

    `rules` are the rules of the source, and `language` is its fallback language. `first_seen_at` is the time when the URL was first found
    (default: the time of the fetch). `profile` is the profile of the site. `model` replaces the shipped block model for out-of-fold
    benchmarks.

    The result has a document if the outcome is `stored`, and all blocks, kept or removed, with their reasons. With `brief`, only the
    document has blocks, so the fast path can skip boxes without text.
    `again` means that the page was extracted before; it is then rarely a sample again.
    Of a rendered page, the rendered DOM is extracted; if it has no document, the body of the response is, because a script may have made
    the page too large, or removed its text.
    The text of the further pages of an article is joined to that of the first.
    """
    if page.is_item:
        return read_item(page, language=language, first_seen_at=first_seen_at)
    read_body = partial(
        _read_body,
        rules=rules,
        language=language,
        first_seen_at=first_seen_at,
        profile=profile,
        model=model,
        brief=brief,
        again=again,
        first_url=page.url,
    )

    def read_one(page: Page) -> ExtractionResult:
        result = read_body(page.as_rendered())
        if page.rendered is not None and result.document is None:
            result = choose_body(result, read_body(replace(page, rendered=None)))
        return warn_of_failed_rendering(result, page.rendering_failure)

    result = read_one(page)
    return result if not page.parts or result.document is None else join_parts(result, [(part, read_one(part)) for part in page.parts])


def _read_body(
    page: Page,
    *,
    first_url: str,
    rules: Rules | None,
    language: str | None,
    first_seen_at: datetime | None,
    profile: Profile | None,
    model: BlockModel | None,
    brief: bool,
    again: bool,
) -> ExtractionResult:
    if page.status >= 400:
        gone = page.status in (404, 410)
        return ExtractionResult(
            OutcomeRecord(Outcome.GONE if gone else Outcome.HTTP_ERROR, Sentence("the server answered {status}", status=page.status))
        )
    try:
        html = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError as error:
        return ExtractionResult(OutcomeRecord(Outcome(error.outcome), str(error)))
    refusal = non_html.detect_non_html(html, page.header("Content-Type"))
    if refusal is None and len(html) > MAX_HTML_BYTES:
        refusal = OutcomeRecord(Outcome.TOO_LARGE, Sentence("{n:,} bytes of HTML; the cap is {max:,}", n=len(html), max=MAX_HTML_BYTES))
    if refusal is not None:
        return ExtractionResult(refusal)
    try:
        request = Request(
            page, html, source_rules.select_active(rules, page.fetched_at), language, first_seen_at, profile, again, first_url
        )
        result = _extract_html(request, html, model, brief)
    except RecursionError:
        return ExtractionResult(OutcomeRecord(Outcome.TOO_DEEP, Sentence("the extractor could not follow the page's nesting")))
    return replace(result, blocks=()) if brief else result


class _LazyPage:
    """The prepared HTML of a whole page, and its tree, which is parsed on first use."""

    def __init__(self, html: bytes, rules: Rules) -> None:
        self.markup = prepare_html(html)
        # Selectors are written for the page as it is.
        self.has_selectors = bool(rules.drop_css or rules.drop_xpath or rules.keep_css or rules.keep_xpath or rules.fields)

    @cached_property
    def parsed(self) -> ParsedHtml:
        return parse_source(self.markup, keeps_components=self.has_selectors)

    @property
    def is_parsed(self) -> bool:
        return "parsed" in self.__dict__


def _extract_html(request: Request, html: bytes, model: BlockModel | None, brief: bool) -> ExtractionResult:
    page, rules, profile = request.page, request.rules, request.profile
    lazy_page = _LazyPage(to_utf8(html, page.header("Content-Type")), rules)
    if len(html) > MAX_TEXT_CHARACTERS and lazy_page.parsed.tree is not None:
        characters = _count_text(_list_elements(lazy_page.parsed.tree))
        if characters > MAX_TEXT_CHARACTERS:
            return ExtractionResult(
                OutcomeRecord(
                    Outcome.TOO_LARGE, Sentence("{n:,} characters of text; the cap is {max:,}", n=characters, max=MAX_TEXT_CHARACTERS)
                )
            )
    is_proven = profile is not None and profile_trust.is_proven(profile)
    fast_result = _extract_pruned(request, lazy_page) if is_proven and brief and rules == _NO_RULES else None
    if fast_result is not None and not request.is_sample:
        return replace(fast_result, extraction_path=ExtractionPath.FAST)
    parsed = lazy_page.parsed
    if parsed.tree is None:
        return ExtractionResult(
            OutcomeRecord(Outcome.TOO_DEEP, Sentence("nested deeper than 2,048 levels"))
            if parsed.too_deep
            else OutcomeRecord(Outcome.NO_TEXT, Sentence("the page holds no markup"))
        )
    tree = parsed.tree
    elements = _list_elements(tree)
    if len(elements) > MAX_ELEMENTS:
        return ExtractionResult(OutcomeRecord(Outcome.TOO_LARGE, Sentence("more than {n:,} elements, the cap", n=MAX_ELEMENTS)))
    return _extract_tree(request, lazy_page, tree, fast_result, model, brief)


def _extract_tree(
    request: Request, lazy_page: _LazyPage, tree: HtmlElement, fast_result: ExtractionResult | None, model: BlockModel | None, brief: bool
) -> ExtractionResult:
    """Extract the page by the rules of its source, by its proven profile, or in full. `fast_result` is the result from pruned HTML."""
    page, rules, profile, parsed = request.page, request.rules, request.profile, lazy_page.parsed
    structured = read_structured_data(tree, page.url, lazy_page.markup.html)
    build_result = partial(make_result, request, tree, structured, parsed.warnings, source_rules.drop_elements(tree, rules))
    selected = source_rules.keep_elements(tree, rules)
    if selected is not None:
        return build_result(Body(selected, extractor="rules"))
    # a profile may find a title or a byline in removed blocks; without a profile, no module reads these blocks
    extract_full_body = partial(
        extract_body,
        tree,
        page.url,
        structured,
        model,
        kept_only=brief and (profile is None or not profile.fields),
        is_sure_text=None
        if profile is None or profile.pages < position_evidence.MATURE_PAGES
        else partial(position_evidence.is_sure_text, profile),
    )
    if profile is None or not profile_trust.is_proven(profile):
        return build_result(extract_full_body())
    if fast_result is None:
        fast_result = _accept_fast_body(build_result, fast_path.extract_fast_body(tree, profile, every_box=not brief), profile)
        if fast_result is not None and not request.is_sample:
            return replace(fast_result, extraction_path=ExtractionPath.FAST)
    full_result = build_result(extract_full_body())
    if fast_result is None:
        return replace(full_result, extraction_path=ExtractionPath.UNFIT)
    if path_comparison.is_same_result(fast_result.document, full_result.document):
        return replace(fast_result, extraction_path=ExtractionPath.AGREED)  # a sample has the same extractor as the other pages of the site
    return replace(full_result, extraction_path=ExtractionPath.DISAGREED)


def _list_elements(tree: HtmlElement) -> list[HtmlElement]:
    """Return every element of the page, at most MAX_ELEMENTS + 1.

    The caller keeps the list: lxml recreates the object of an element without references, which costs a twentieth of the page's time.
    """
    return list(islice(tree.iter(), MAX_ELEMENTS + 1))


def _count_text(elements: Sequence[HtmlElement]) -> int:
    """Count the characters of text of these elements, without scripts, styles and comments."""
    return sum((len(element.text or "") if element.tag not in _WITHOUT_TEXT else 0) + len(element.tail or "") for element in elements)


def _extract_pruned(request: Request, lazy_page: _LazyPage) -> ExtractionResult | None:
    """Extract the page by the profile from HTML without the closed boxes of the site; return None if the whole page is needed."""
    profile = request.profile
    pruner = None if profile is None else closed_positions.get_html_pruner(profile)
    if profile is None or pruner is None or not pruner.is_worthwhile:
        return None
    html = pruner.prune(lazy_page.markup.html)
    tree = None if html is None else parse_source(HtmlSource(html)).tree
    elements = [] if tree is None else _list_elements(tree)
    result = None
    if tree is not None and len(elements) <= MAX_ELEMENTS:
        if doubtful := pruner.find_doubtful(tree):
            pruner.record_misplaced(doubtful)
        elif (body := fast_path.extract_fast_body(tree, profile, pruner=pruner)) is not None:
            structured = read_structured_data(tree, request.page.url, lazy_page.markup.html, partial(_get_whole_tree, lazy_page, tree))
            build_result = partial(make_result, request, tree, structured, lazy_page.markup.warnings, ())
            result = _accept_fast_body(build_result, body, profile)
    pruner.record(gained=result is not None and not lazy_page.is_parsed)
    return result


def _get_whole_tree(lazy_page: _LazyPage, part: HtmlElement) -> HtmlElement:
    """Return the tree of the whole page, or `part` if the page cannot be parsed or exceeds MAX_ELEMENTS."""
    tree = lazy_page.parsed.tree
    return part if tree is None or len(_list_elements(tree)) > MAX_ELEMENTS else tree


def _accept_fast_body(build_result: Callable[[Body], ExtractionResult], body: Body | None, profile: Profile) -> ExtractionResult | None:
    """Return the result of the profile, or None for a page that is unlike the other articles of its site.

    A paywalled page is accepted without the full path, which is slowest for the shortest text. Such a page shows a few lines in the
    position of the text, and then a notice for subscribers.
    """
    if body is None:
        return None
    result = build_result(body)
    if result.document is None:
        return result if result.ending.outcome is Outcome.PAYWALL and any(block.kept for block in body.blocks) else None
    return result if fast_path.is_typical(profile, body, result.document) else None
