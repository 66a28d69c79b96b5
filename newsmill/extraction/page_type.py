"""Classification of pages that are not articles, with an outcome and a reason. A page without clear evidence is an article."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.trailing_lines import read_ending
from newsmill.extraction.bot_wall import find_bot_wall
from newsmill.extraction.linked_share import measure_linked_share
from newsmill.extraction.metadata.access import MAX_STUB_WORDS, detect_paywall, find_access
from newsmill.extraction.metadata.structured_data import ARTICLE_TYPES, LIST_TYPES, StructuredData
from newsmill.extraction.normalise import count_words, normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Block, Outcome, OutcomeRecord

MAX_SHORT_WORDS = 150  # words; error pages and empty applications have fewer
MAX_WALL_WORDS = 400  # words; the longest consent dialogue of large German and French sites has fewer
MIN_TEXT_WORDS = 5  # words; a shorter text has no content on any kind of page
MAX_TEXT_CHARACTERS = 20_000  # characters examined; a page with a "word" of a megabyte is not a wall either
_MAX_LINKED_SHARE = 0.6  # share of a body in links and teasers, above which the page is a list
_MAX_LINKED_SHARE_SHORT = 0.5  # the same for a short body, where dates and labels between the links are a larger part
_NOT_FOUND = re.compile(build_alternation("not_found"), re.IGNORECASE)
_CONSENT = re.compile(build_alternation("consent"), re.IGNORECASE)
_CONSENT_REQUEST = re.compile(rf"\b(?:{build_alternation('consent_request')})", re.IGNORECASE)
_SCRIPT_REQUEST = re.compile(build_alternation("script_request"), re.IGNORECASE)
_PLACEHOLDER = re.compile(rf"\W*(?:(?:{build_alternation('placeholder')})\W*){{1,3}}", re.IGNORECASE)
_LIST_URL = re.compile(
    r"/(?:tags?|tagged|topics?|them(?:a|en?)|schlagw[oö]rt(?:e|er)?|stichw[oö]rt(?:e|er)?|etiquetas?|sujets?|temas?|authors?|autor(?:en|es|in)?|auteurs?|autori|"
    r"profiles?|categor(?:y|ies|ias?|ie)|categoría|kategorien?|rubrik(?:en)?|archives?|archiv|page)/[^/]*/?$",
    re.IGNORECASE,
)
_SEARCH_URL = re.compile(r"[?&](?:s|q|query|search|suche)=|/(?:search|suche|buscar|recherche|ricerca|zoeken)(?:[/?]|$)", re.IGNORECASE)
# Pages about the publisher, only at the top of a site or of a language folder: /politik/datenschutz may be an article.
_PUBLISHER_URL = re.compile(
    r"https?://[^/]+/(?:[a-z]{2}/)?(?:impressum|imprint|legal(?:-notice)?|mentions-legales|aviso-legal|note-legali|terms(?:-of-(?:use|service))?|agb|"
    r"nutzungsbedingungen|datenschutz(?:erklaerung)?|privacy(?:-policy)?|confidentialite|privacidad|cookies?(?:-policy)?|kontakt|contact(?:-us|o)?|"
    r"about(?:-us)?|ueber-uns|qui-sommes-nous|newsletters?|mediadaten|advertise|werbung|jobs|faq|login|register|registrieren|anmelden)"
    r"(?:/|\.html?)?(?:[?#].*)?$",
    re.IGNORECASE,
)
_VISIBLE_TEXT = etree.XPath(
    "//body//text()[not(ancestor::script or ancestor::style or ancestor::noscript or ancestor::template or ancestor::svg "
    "or ancestor::nav or ancestor::header or ancestor::footer)]"
)
MIN_INDEX_HEADLINES = 5  # linked headlines on a page without text, from which it is an index and not an empty page
_HOMEPAGE_URL = re.compile(r"https?://[^/]+/?(?:(?:index|default|home)\.\w{2,5})?(?:[?#].*)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The input of the classification rules."""

    page: StructuredData
    text: str
    words: int
    is_article: bool  # the page declares itself an article
    url: str
    ending: str  # the end of the body before the rules removed its last lines


def is_declared_article(page: StructuredData) -> bool:
    """True if the structured data of the page declare one article."""
    return page.article is not None or (page.first("og:type") or "").strip().lower() == "article" or "article:published_time" in page.meta


def classify_page(page: StructuredData, blocks: Sequence[Block], text: str, url: str, status: int = 200) -> OutcomeRecord | None:
    """Return the outcome of a page that is not an article, or None for an article.

    `text` is the cleaned body, `blocks` are all blocks of the page, and `status` is the HTTP status.
    If the body has no text, the visible words of the page decide.
    """
    shown = text or _read_visible_text(page.marks.tree)
    ending = read_ending(blocks) or shown[-MAX_STUB_WORDS:]
    evidence = _Evidence(page, shown[:MAX_TEXT_CHARACTERS], count_words(shown), is_declared_article(page), url, ending)
    if not evidence.is_article and _PUBLISHER_URL.match(url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, "a page of the publisher's own (legal notice, privacy, newsletter, contact), by its URL")
    if evidence.words < MAX_WALL_WORDS:
        outcome = (
            _detect_error_page(evidence)
            or _detect_bot_wall(evidence)
            or _detect_needs_script(evidence)
            or _detect_consent_wall(evidence)
            or _detect_paywall(evidence, status)
            or _detect_video(evidence)
        )
        if outcome is not None:
            return outcome
    list_page = None if evidence.is_article else _detect_list_page(evidence, blocks, empty=not text)
    return list_page or (_detect_no_text(evidence) if text else OutcomeRecord(Outcome.NO_TEXT, "no text was found in the page's body"))


def _read_visible_text(tree: HtmlElement) -> str:
    """Return the visible text of a page between its header and its footer."""
    texts = _VISIBLE_TEXT(tree)
    return normalise_line(" ".join(map(str, texts))[: 2 * MAX_TEXT_CHARACTERS]) if isinstance(texts, list) else ""


def _list_h1(page: StructuredData) -> list[str]:
    return [heading.text for heading in page.headings if heading.level == 1]


def _detect_error_page(evidence: _Evidence) -> OutcomeRecord | None:
    if evidence.is_article or evidence.words >= MAX_SHORT_WORDS:
        return None
    titles = " | ".join(filter(None, (evidence.page.title, *_list_h1(evidence.page)[:2])))
    if _NOT_FOUND.search(titles):
        message = titles
    elif evidence.words < MAX_SHORT_WORDS // 2 and _NOT_FOUND.search(evidence.text):
        message = evidence.text
    else:
        return None
    return OutcomeRecord(Outcome.SOFT_404, f"the page says {message[:80]!r} under status 200")


def _detect_bot_wall(evidence: _Evidence) -> OutcomeRecord | None:
    if evidence.is_article or evidence.words >= MAX_SHORT_WORDS:
        return None
    page = evidence.page
    title = next(filter(None, (page.title, *_list_h1(page)[:1])), "")
    wall = find_bot_wall(page.marks.tree, title, evidence.text, evidence.words)
    return None if wall is None else OutcomeRecord(Outcome.BLOCKED, wall)


def _detect_no_text(evidence: _Evidence) -> OutcomeRecord | None:
    """Detect a body with less than MIN_TEXT_WORDS words, or with a placeholder that a script replaces."""
    if evidence.words < MIN_TEXT_WORDS or (evidence.words < MAX_STUB_WORDS and _PLACEHOLDER.fullmatch(evidence.text) is not None):
        return OutcomeRecord(Outcome.NO_TEXT, f"the page's body says only {evidence.text[:80]!r}")
    return None


def _detect_needs_script(evidence: _Evidence) -> OutcomeRecord | None:
    request = _SCRIPT_REQUEST.search(evidence.text) if evidence.words < MAX_SHORT_WORDS else None
    if request is None and evidence.words < 30:
        noscript_text = " ".join(" ".join(element.itertext()) for element in evidence.page.marks.tree.iter("noscript"))[:5000]
        request = _SCRIPT_REQUEST.search(noscript_text)
    return (
        None if request is None else OutcomeRecord(Outcome.NEEDS_SCRIPT, f"{evidence.words} words, and a request to switch on JavaScript")
    )


def _detect_consent_wall(evidence: _Evidence) -> OutcomeRecord | None:
    """Detect a text about cookies, consent and data: one mention in 25 words, and at least two different mentions."""
    if evidence.is_article or _CONSENT_REQUEST.search(evidence.text) is None:
        return None
    mentions = [match.group().lower() for match in _CONSENT.finditer(" ".join((*_list_h1(evidence.page)[:1], evidence.text)))]
    if len(set(mentions)) >= 2 and len(mentions) * 25 >= evidence.words:
        return OutcomeRecord(Outcome.CONSENT_WALL, f"{evidence.words} words, all about cookies and consent")
    return None


def _detect_paywall(evidence: _Evidence, status: int) -> OutcomeRecord | None:
    return detect_paywall(
        evidence.text,
        evidence.words,
        evidence.ending,
        find_access(evidence.page, status),
        lambda: _read_visible_text(evidence.page.marks.tree),
    )


def _detect_video(evidence: _Evidence) -> OutcomeRecord | None:
    kind = (evidence.page.first("og:type") or "").lower()
    video = kind.startswith("video") or (evidence.page.article is None and "VideoObject" in evidence.page.types())
    return (
        OutcomeRecord(Outcome.NOT_ARTICLE, f"a video with {evidence.words} words of text")
        if video and evidence.words < MAX_STUB_WORDS
        else None
    )


def _detect_list_page(evidence: _Evidence, blocks: Sequence[Block], *, empty: bool) -> OutcomeRecord | None:
    """Detect index, tag, author and search pages: by URL or structured data, or because their text is links and teasers."""
    kinds = evidence.page.types()
    if _SEARCH_URL.search(re.sub(r"^https?://[^/]*", "", evidence.url)):
        return OutcomeRecord(Outcome.NOT_ARTICLE, "a search page, by its URL")
    share, headlines = measure_linked_share(evidence.page.marks.tree, evidence.url, evidence.words, blocks)
    if empty:
        is_index = headlines >= MIN_INDEX_HEADLINES
        return (
            OutcomeRecord(Outcome.NOT_ARTICLE, f"an index page: {headlines} linked headlines and no text of its own") if is_index else None
        )
    max_share = _MAX_LINKED_SHARE_SHORT if evidence.words < MAX_SHORT_WORDS else _MAX_LINKED_SHARE
    reason = f"{share:.0%} of its text are links and teasers ({headlines} linked headlines)"
    listed = sorted(kinds & LIST_TYPES)
    if listed and not kinds & set(ARTICLE_TYPES) and share > _MAX_LINKED_SHARE / 2:
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a list page: JSON-LD calls it {', '.join(listed)}, and {reason}")
    if share > _MAX_LINKED_SHARE / 2 and _LIST_URL.search(evidence.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a tag, author or archive page by its URL, and {reason}")
    if share > _MAX_LINKED_SHARE / 2 and _HOMEPAGE_URL.match(evidence.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"the site's homepage, and {reason}")
    if share > max_share:
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"an index page: {reason}")
    return None
