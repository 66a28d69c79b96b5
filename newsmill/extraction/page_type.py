"""Classification of pages that are not articles, with an outcome and a reason. A page without clear evidence is an article."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import accumulate, islice
from urllib.parse import urljoin

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.prompts import CONSENT_REQUEST_WORDS, CONSENT_WORDS
from newsmill.extraction.body.trailing_lines import read_ending
from newsmill.extraction.metadata.fields import PAYWALL_NOTICE, find_access
from newsmill.extraction.metadata.structured_data import (
    ARTICLE_TYPES,
    LIST_TYPES,
    StructuredData,
    make_comparable,
)
from newsmill.extraction.normalise import count_line_words, count_words, normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Block, Outcome, OutcomeRecord

MAX_SHORT_WORDS = 150  # words; error pages and empty applications have fewer
MAX_WALL_WORDS = 400  # words; the longest consent dialogue of large German and French sites has fewer
MAX_STUB_WORDS = 80  # words; the teaser before a paywall has fewer. Briefs are as short, so length alone is not evidence
MIN_TEXT_WORDS = 5  # words; a shorter text has no content on any kind of page
MIN_LABELS = 10  # labels or table cells; a flash of an agency has fewer lines
MAX_LABEL_WORDS = 8  # words of the longest label
MAX_MEAN_LABEL_WORDS = 3.5  # words of a label; verses have five or more
MAX_TITLE_CHARACTERS = 500  # characters examined of the title and the headlines of a page
MAX_TEXT_CHARACTERS = 20_000  # characters examined; a page with a "word" of a megabyte is not a wall either
_NOT_FOUND = re.compile(build_alternation("not_found"), re.IGNORECASE)
_SITE_ERROR = re.compile(rf"\W*(?:{build_alternation('site_error')})\W*", re.IGNORECASE)
_SITE_NAME = re.compile(r"\s[–—·:-]\s.*|\|.*", re.DOTALL)  # or a section, behind the headline in a title
_SCRIPT_REQUEST = re.compile(build_alternation("script_request"), re.IGNORECASE)
_PLACEHOLDER = re.compile(rf"\W*(?:(?:{build_alternation('placeholder')})\W*){{1,3}}", re.IGNORECASE)
# Pages about the publisher, only at the top of a site or of a language folder: /politik/datenschutz may be an article.
_PUBLISHER_URL = re.compile(
    r"https?://[^/]+/(?:[a-z]{2}/)?(?:impressum|imprint|legal(?:-notice)?|mentions-legales|aviso-legal|note-legali|terms(?:-of-(?:use|service))?|agb|"
    r"nutzungsbedingungen|datenschutz(?:erklaerung)?|privacy(?:-policy)?|confidentialite|privacidad|cookies?(?:-policy)?|kontakt|contact(?:-us|o)?|"
    r"about(?:-us)?|ueber-uns|qui-sommes-nous|newsletters?|mediadaten|advertise|werbung|jobs|faq|login|register|registrieren|anmelden)"
    r"(?:/|\.html?)?(?:[?#].*)?$",
    re.IGNORECASE,
)
_NEWSLETTER_URL = re.compile(r"https?://[^?#]{0,500}/newsletters?/[^/?#]", re.IGNORECASE)  # an issue of a newsletter is longer
_AUDIO_TYPES = frozenset({"AudioObject", "PodcastEpisode", "RadioEpisode"})
_VISIBLE_TEXT = etree.XPath(
    "//body//text()[not(ancestor::script or ancestor::style or ancestor::noscript or ancestor::template or ancestor::svg "
    "or ancestor::nav or ancestor::header or ancestor::footer)]"
)
# Nothing is shown but an element that is empty until a script finds it, by its id, its class or the name of a custom element.
_IS_APPLICATION = etree.XPath(
    "//script[@src] and //body//*[@id or @class][not(self::script or self::noscript or *)][not(normalize-space())] "
    "and not(//body//*[self::img or self::picture or self::video or self::audio or self::iframe or self::object or self::embed]"
    "[not(ancestor::noscript)])"
)


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
    if not evidence.is_article and evidence.words < MAX_STUB_WORDS and _NEWSLETTER_URL.match(url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a page of {evidence.words} words about a newsletter, by its URL")
    if _is_locked_by_ghost(page):
        return OutcomeRecord(Outcome.PAYWALL, f"{evidence.words} words, then Ghost's notice for subscribers")
    if evidence.words < MAX_WALL_WORDS:
        outcome = (
            _detect_error_page(evidence)
            or _detect_bot_wall(evidence)
            or _detect_needs_script(evidence)
            or _detect_consent_wall(evidence)
            or _detect_paywall(evidence, status)
            or _detect_recording(evidence)
        )
        if outcome is not None:
            return outcome
    if not text:
        list_page = None if evidence.is_article else _detect_list_page(evidence, blocks, empty=True)
        return list_page or OutcomeRecord(Outcome.NO_TEXT, "no text was found in the page's body")
    if evidence.is_article:
        return _detect_no_text(evidence)
    return _detect_list_page(evidence, blocks, empty=False) or _detect_labels(evidence) or _detect_no_text(evidence)


def _read_visible_text(tree: HtmlElement) -> str:
    """Return the visible text of a page between its header and its footer."""
    texts = _VISIBLE_TEXT(tree)
    return normalise_line(" ".join(map(str, texts))[: 2 * MAX_TEXT_CHARACTERS]) if isinstance(texts, list) else ""


def _list_h1(page: StructuredData) -> list[str]:
    return [heading.text for heading in page.headings if heading.level == 1]


def _detect_error_page(evidence: _Evidence) -> OutcomeRecord | None:
    if evidence.is_article or evidence.words >= MAX_SHORT_WORDS:
        return None
    title, headlines = evidence.page.title or "", _list_h1(evidence.page)[:2]
    titles = " | ".join(filter(None, (title, *headlines)))
    is_error = any(_SITE_ERROR.fullmatch(text[:MAX_TITLE_CHARACTERS]) for text in (_SITE_NAME.sub("", title), *headlines))
    if is_error or _NOT_FOUND.search(titles):
        message = titles
    elif evidence.words < MAX_SHORT_WORDS // 2 and _NOT_FOUND.search(evidence.text):
        message = evidence.text
    else:
        return None
    return OutcomeRecord(Outcome.SOFT_404, f"the page says {message[:80]!r} under status 200")


def _detect_no_text(evidence: _Evidence) -> OutcomeRecord | None:
    """Detect a body with less than MIN_TEXT_WORDS words, or with a placeholder that a script replaces."""
    if evidence.words < MIN_TEXT_WORDS or (evidence.words < MAX_STUB_WORDS and _PLACEHOLDER.fullmatch(evidence.text) is not None):
        return OutcomeRecord(Outcome.NO_TEXT, f"the page's body says only {evidence.text[:80]!r}")
    return None


def _detect_labels(evidence: _Evidence) -> OutcomeRecord | None:
    """Detect a text without a sentence: the rows of a table, the fields of a form, the captions of pictures.

    Verses are longer than labels. Each of 350 measured articles that declare nothing has a line of 20 words or more.
    """
    cells = [cell for line in evidence.text.split("\n") for cell in line.split(" | ") if cell.strip()]
    if len(cells) < MIN_LABELS or evidence.words > MAX_MEAN_LABEL_WORDS * len(cells):
        return None
    if max(map(count_words, cells)) > MAX_LABEL_WORDS:
        return None
    return OutcomeRecord(Outcome.NOT_ARTICLE, f"{evidence.words} words in {len(cells)} labels or table cells, and no sentence")


def _detect_needs_script(evidence: _Evidence) -> OutcomeRecord | None:
    if not evidence.words and _IS_APPLICATION(evidence.page.marks.tree):
        return OutcomeRecord(Outcome.NEEDS_SCRIPT, "an empty element that a script fills")
    request = _SCRIPT_REQUEST.search(evidence.text) if evidence.words < MAX_SHORT_WORDS else None
    if request is None and evidence.words < 30:
        noscript_text = " ".join(" ".join(element.itertext()) for element in evidence.page.marks.tree.iter("noscript"))[:5000]
        request = _SCRIPT_REQUEST.search(noscript_text)
    return (
        None if request is None else OutcomeRecord(Outcome.NEEDS_SCRIPT, f"{evidence.words} words, and a request to switch on JavaScript")
    )


def _detect_consent_wall(evidence: _Evidence) -> OutcomeRecord | None:
    """Detect a text about cookies, consent and data: one mention in 25 words, and at least two different mentions."""
    if evidence.is_article or CONSENT_REQUEST_WORDS.search(evidence.text) is None:
        return None
    mentions = [match.group().lower() for match in CONSENT_WORDS.finditer(" ".join((*_list_h1(evidence.page)[:1], evidence.text)))]
    if len(set(mentions)) >= 2 and len(mentions) * 25 >= evidence.words:
        return OutcomeRecord(Outcome.CONSENT_WALL, f"{evidence.words} words, all about cookies and consent")
    return None


def _detect_recording(evidence: _Evidence) -> OutcomeRecord | None:
    """Detect the page of a video or a podcast that has only a description."""
    if evidence.words >= MAX_STUB_WORDS:
        return None
    kind = (evidence.page.first("og:type") or "").lower()
    types = evidence.page.types()
    if kind.startswith("video") or (evidence.page.article is None and "VideoObject" in types):
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a video with {evidence.words} words of text")
    if not evidence.is_article and (kind.startswith(("music", "audio")) or types & _AUDIO_TYPES):  # many articles are read aloud
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a podcast with {evidence.words} words of text")
    return None


# ---- paywalls -----------------------------------------------------------------------------------------------------------------

MAX_NOTICE_WORDS = 25  # words of the line with the notice; a longer line is prose
MAX_OFFER_WORDS = 60  # words of the offer below the notice; more is the rest of an article
MAX_BEHIND_CHARACTERS = 200  # characters behind the body in which the page shows the notice, with labels and names in between
MAX_ANCHOR_CHARACTERS = 60  # characters at the end of the body by which it is found in the visible text
_GHOST_NOTICE = etree.XPath("//*[contains(concat(' ', normalize-space(@class), ' '), ' gh-post-upgrade-cta ')]")
_LOG_IN = re.compile(build_alternation("subscriber_question"), re.IGNORECASE)


def _detect_paywall(evidence: _Evidence, status: int) -> OutcomeRecord | None:
    """Detect the beginning of an article.

    A notice outside the body counts anywhere if the page declares not to be free, and directly behind the body if it declares nothing.
    A page that declares to be free, or that only asks whether the reader is a subscriber, has no such notice: its text may be a complete
    brief.
    """
    text, words = evidence.text, evidence.words
    access = find_access(evidence.page, status)
    locked = access is not None and not access[0]
    most = 2 * MAX_STUB_WORDS if locked else MAX_STUB_WORDS
    if words < most:
        match = PAYWALL_NOTICE.search(evidence.ending) or PAYWALL_NOTICE.search(text)
        if match is None and access is None:
            match = _find_notice_behind(text, _read_visible_text(evidence.page.marks.tree))
        elif match is None and locked and words < MAX_STUB_WORDS:
            match = _find_notice(_read_visible_text(evidence.page.marks.tree), 0)
        if match is not None:
            return OutcomeRecord(Outcome.PAYWALL, f"{words} words, then {match.group()!r}")
    elif (found := _find_notice_line(text, most)) is not None:
        return OutcomeRecord(Outcome.PAYWALL, f"{found[0]} words, then {found[1]!r}")
    if locked and words < MAX_STUB_WORDS // 2:
        return OutcomeRecord(Outcome.PAYWALL, f"a teaser of {words} words; {access[1] if access else ''}")
    return None


def _is_locked_by_ghost(page: StructuredData) -> bool:
    """Return True for a post of Ghost, the publishing program, of which only the free part is shown; only then it has this notice."""
    return (page.first("generator") or "").startswith("Ghost") and bool(_GHOST_NOTICE(page.marks.tree))


def _find_notice_line(text: str, most: int) -> tuple[int, str] | None:
    """Return (words before it, notice) for a notice in a short line, with fewer than `most` words before it and only an offer below."""
    lines = text.split("\n")
    before = list(accumulate(map(count_words, lines), initial=0))
    for number, line in enumerate(lines):
        if before[number] >= most:
            return None
        match = PAYWALL_NOTICE.search(line)
        if match is not None and count_words(line) <= MAX_NOTICE_WORDS and before[-1] - before[number + 1] <= MAX_OFFER_WORDS:
            return before[number], match.group()
    return None


def _find_notice_behind(text: str, visible: str) -> re.Match[str] | None:
    """Return the notice that the page shows directly behind the body, where no rule counts it to the body."""
    anchor = "".join(normalise_line(text.rstrip().rpartition("\n")[2]).split())[-MAX_ANCHOR_CHARACTERS:]
    places = [at for at, char in enumerate(visible) if not char.isspace()]
    start = "".join(visible.split()).find(anchor)
    if not anchor or start < 0:
        return None
    end = places[start + len(anchor) - 1] + 1
    return _find_notice(visible[: end + MAX_BEHIND_CHARACTERS], end)


def _find_notice(visible: str, start: int) -> re.Match[str] | None:
    """Return the first notice from `start` on that does more than ask whether the reader is a subscriber."""
    return next((match for match in PAYWALL_NOTICE.finditer(visible, start) if _LOG_IN.fullmatch(match.group()) is None), None)


# ---- bot walls: pages that a bot filter sends with HTTP 200 instead of the requested page -------------------------------------

MAX_MARKUP_CHARACTERS = (
    100_000  # characters of a wall page; the largest known one (Cloudflare) has 30,000, and few article pages are as short
)
MIN_WALL_WORDS = 5  # a page with fewer words consists of the script of a filter only
MAX_SCRIPT_PAGE_LINKS = 3  # of a page that consists of the script of a filter; a gallery or an application has a menu
MAX_SENTENCE_WORDS = 12  # words of a page with one sentence
MIN_PHRASE_SHARE = 1 / 3  # of the characters of such a page, above which the phrases are its whole message
MAX_TITLED_WORDS = 75  # words of a page that has the title of a wall

# Markup of the wall of a filter that does not occur on pages behind the filter.
_WALL_SIGNS = {
    "Cloudflare": r"_cf_chl_opt|cf-browser-verification|cf-error-details|id=\"challenge-(?:form|running|error)",
    "Akamai": r"[?&]bm-verify=|/_sec/(?:verify|cp_challenge)|sec-if-cpt-container|errors\.edgesuite\.net",
    "DataDome": r"(?:geo|ct)\.captcha-delivery\.com",
    "HUMAN (PerimeterX)": r"id=\"px-captcha|captcha\.(?:px-cdn\.net|px-cloud\.net|perimeterx\.net)",
    "Imperva": r"_Incapsula_Resource[^\"]{0,500}?(?:incident_id|CWUDNSAI|edet)|Incapsula incident ID",
    "AWS WAF": r"gokuProps|AwsWafIntegration\.|AwsWafCaptcha",
    "Sucuri": r"sucuri_cloudproxy_js|Sucuri WebSite Firewall",
    "F5": r"window\[\"bobcmn\"\]",
    "Radware": r"validate\.perfdrive\.com",
    "Fastly": r"/_fs-ch-\w+/",
    "Vercel": r"/\.well-known/vercel/security/",
    "SiteGround": r"/\.well-known/sgcaptcha/",
    "Anubis": r"\.within\.website/x/cmd/anubis",
    "Qrator": r"/__qrator/",
    "Wordfence": r"Generated by Wordfence",
    "Alibaba Cloud": r"acw_sc__v2",
    "Knownsec": r"__jsl_clearance",
}
# Markup of every page behind a filter; it indicates a wall only where the page has nothing else.
_SCRIPT_SIGNS = {
    "Imperva": r"/_Incapsula_Resource\?",
    "Cloudflare": r"/cdn-cgi/challenge-platform/",
    "AWS WAF": r"\.awswaf\.com/",
    "F5": r"/TSPD/",
    "HUMAN (PerimeterX)": r"_pxAppId",
    "Kasada": r"KPSDK",
    "DDoS-Guard": r"/\.well-known/ddos-guard/",
}


def _compile_signs(signs: dict[str, str]) -> tuple[re.Pattern[str], tuple[str, ...]]:
    return re.compile("|".join(f"({expression})" for expression in signs.values())), tuple(signs)


_WALL_MARKUP, _WALL_FILTERS = _compile_signs(_WALL_SIGNS)
_SCRIPT_MARKUP, _SCRIPT_FILTERS = _compile_signs(_SCRIPT_SIGNS)
_WALL_PHRASES = build_alternation("bot_wall")
_WALL_PHRASE = re.compile(rf"\b(?:{_WALL_PHRASES})", re.IGNORECASE)
_WALL_TITLE = re.compile(rf"\W*(?:error |fehler )?(?:\d{{3}}\W+)?(?:{_WALL_PHRASES})\W*(?:$|[|–—-]\s)", re.IGNORECASE)


def _detect_bot_wall(evidence: _Evidence) -> OutcomeRecord | None:
    if evidence.is_article or evidence.words >= MAX_SHORT_WORDS:
        return None
    page = evidence.page
    title = next(filter(None, (page.title, *_list_h1(page)[:1])), "")
    wall = _find_bot_wall(page.marks.tree, title, evidence.text, evidence.words)
    return None if wall is None else OutcomeRecord(Outcome.BLOCKED, wall)


def _find_bot_wall(tree: HtmlElement, title: str, text: str, words: int) -> str | None:
    """Return the reason why the page is a bot wall, as text, or None for any other page.

    `title` is the title or headline of the page, `text` its visible text, and `words` the number of words of `text`.
    The caller excludes pages that declare themselves articles. The text needs two phrases, unless one phrase is most of the page.
    """
    if words < 2 * MAX_TITLED_WORDS and (filter_name := _find_filter(tree, words)) is not None:
        return f"the markup of a wall of {filter_name}, and {words} words"
    phrases = {match.group().lower() for match in _WALL_PHRASE.finditer(text)} if words < 2 * MAX_TITLED_WORDS else set()
    is_whole_message = words <= MAX_SENTENCE_WORDS and sum(map(len, phrases)) > MIN_PHRASE_SHARE * len(text)
    if _WALL_TITLE.match(title) is not None and words < MAX_TITLED_WORDS:
        return f"a page of {words} words with the title {title[:80]!r}"
    if len(phrases) >= 2 or is_whole_message:
        return f"{words} words, among them {' and '.join(map(repr, sorted(phrases)[:2]))}"
    return None


def _find_filter(tree: HtmlElement, words: int) -> str | None:
    """Return the name of the filter whose markup the page contains."""
    markup = etree.tostring(tree, encoding="unicode")
    if len(markup) > MAX_MARKUP_CHARACTERS:
        return None
    found = _WALL_MARKUP.search(markup)
    if found is not None:
        return _WALL_FILTERS[(found.lastindex or 1) - 1]
    found = _SCRIPT_MARKUP.search(markup) if words < MIN_WALL_WORDS and markup.count("<a ") <= MAX_SCRIPT_PAGE_LINKS else None
    return None if found is None else _SCRIPT_FILTERS[(found.lastindex or 1) - 1]


# ---- pages that list articles: most of their text is links and teasers --------------------------------------------------------

_MAX_LINKED_SHARE = 0.6  # share of a body in links and teasers, above which the page is a list
_MAX_LINKED_SHARE_SHORT = 0.5  # the same for a short body, where dates and labels between the links are a larger part
MIN_INDEX_HEADLINES = 5  # linked headlines on a page without text, from which it is an index and not an empty page
_LIST_URL = re.compile(
    r"/(?:tags?|tagged|topics?|them(?:a|en?)|schlagw[oö]rt(?:e|er)?|stichw[oö]rt(?:e|er)?|etiquetas?|sujets?|temas?|authors?|autor(?:en|es|in)?|auteurs?|autori|"
    r"profiles?|categor(?:y|ies|ias?|ie)|categoría|kategorien?|rubrik(?:en)?|archives?|archiv|page)/[^/]*/?$",
    re.IGNORECASE,
)
_SEARCH_URL = re.compile(r"[?&](?:s|q|query|search|suche)=|/(?:search|suche|buscar|recherche|ricerca|zoeken)(?:[/?]|$)", re.IGNORECASE)
_HOMEPAGE_URL = re.compile(r"https?://[^/]+/?(?:(?:index|default|home)\.\w{2,5})?(?:[?#].*)?$", re.IGNORECASE)
MAX_ITEM_WORDS = 4  # words beside the headline in an item of a list: a date, a section
MAX_ITEM_ELEMENTS = 8  # elements in such an item; an item with many links must not be read for each of them
MIN_HEADLINE_WORDS = 4  # words of a link that is a headline; a shorter one is a label
MAX_TEASER_WORDS = 60  # words of the longest teaser below a headline
MAX_TEASER_PARAGRAPHS = 3  # of one teaser; a box with more is text
MAX_HEADLINE_CHARACTERS = 400  # characters of a headline that are compared
MAX_TEASER_LEVELS = 3  # ancestor elements of a headline in which its teaser is searched
_NO_TARGET = re.compile(r"\s*(?:javascript:|#|$)", re.IGNORECASE)  # a link to no other page: a script, or an anchor on this page


def _detect_list_page(evidence: _Evidence, blocks: Sequence[Block], *, empty: bool) -> OutcomeRecord | None:
    """Detect index, tag, author and search pages: by URL or structured data, or because their text is links and teasers."""
    kinds = evidence.page.types()
    if _SEARCH_URL.search(re.sub(r"^https?://[^/]*", "", evidence.url)):
        return OutcomeRecord(Outcome.NOT_ARTICLE, "a search page, by its URL")
    share, headlines = _measure_linked_share(evidence.page.marks.tree, evidence.url, evidence.words, blocks)
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


def _measure_linked_share(tree: HtmlElement, url: str, words: int, blocks: Sequence[Block]) -> tuple[float, int]:
    """Return the share of the words of the body in links and teasers, and the number of linked headlines.

    `words` is the number of words of the body, `blocks` are all blocks of the page.
    """
    links = (link for link in tree.iter("a") if not _NO_TARGET.match(link.get("href", "")))
    written = {link: "".join(link.itertext()) for link in links}
    texts = {link: normalise_line(text) for link, text in written.items()}
    boxes = _TeaserBoxes({link for link, text in written.items() if count_line_words(text) >= MIN_HEADLINE_WORDS})
    headlines, teasers, others = set[str](), set[str](), set[str]()
    for link, text in texts.items():
        if count_line_words(text) < MIN_HEADLINE_WORDS:
            others.add(text)
        elif not _is_own_link(link, url):
            headlines.update((text, _read_item(link, text)))
            teasers.update(boxes.teasers(link, text))
    lines = [normalise_line(line) for block in blocks if block.kept for line in block.text.split("\n")]
    linked = sum(count_line_words(line) for line in lines if line in headlines or line in teasers)
    total = sum(count_line_words(line) for line in lines) or 1
    if words < MAX_SHORT_WORDS:
        linked = max(linked, total - _count_other_words(" ".join(lines), headlines | teasers | others))
    return linked / total, len(headlines)


def _read_item(link: HtmlElement, text: str) -> str:
    """Return the text of the list item of a headline if it has little else: the date. Otherwise return the headline."""
    item = link.getparent()
    if item is None or item.tag != "li" or len(item) > MAX_ITEM_ELEMENTS:
        return text
    whole = normalise_line("".join(item.itertext()))
    return whole if text in whole and count_line_words(whole) - count_line_words(text) <= MAX_ITEM_WORDS else text


def _count_other_words(text: str, phrases: set[str]) -> int:
    """Count the words of a text that remain after each phrase in it is removed, longest phrase first.

    Only the first MAX_TEXT_CHARACTERS characters are searched, because a page has thousands of phrases and a "word" may be a megabyte.
    """
    text, rest = f" {text[:MAX_TEXT_CHARACTERS]} ", text[MAX_TEXT_CHARACTERS:]
    for phrase in sorted(phrases - {""}, key=len, reverse=True):
        text = text.replace(f" {phrase} ", "  ")
    return count_line_words(text) + count_line_words(rest)


def _is_own_link(link: HtmlElement, url: str) -> bool:
    """True for a headline that links to its own page, as in blogs; it is not a sign of a list."""
    try:
        return make_comparable(urljoin(url, link.get("href", "").strip())) == make_comparable(url)
    except ValueError:
        return False


class _TeaserBoxes:
    """Teasers of linked headlines. Each ancestor element is searched once, even with many headlines in it."""

    def __init__(self, headlines: Set[HtmlElement]) -> None:
        self.headlines = headlines  # links of at least MIN_HEADLINE_WORDS words
        self._paragraphs: dict[HtmlElement, list[HtmlElement]] = {}
        self._targets: dict[HtmlElement, int] = {}
        self._texts: dict[HtmlElement, str] = {}
        self._beginnings: dict[HtmlElement, str] = {}

    def teasers(self, link: HtmlElement, text: str) -> set[str]:
        """Return the short paragraphs beside a headline that is wholly a link: those of its nearest ancestor with a paragraph.

        An ancestor with another headline is not a teaser, because "previous" and "next" are in the box of the article.
        """
        box = link.getparent()
        if box is None or box.tag in ("p", "li", "td") or not self._beginning(box).startswith(text[:MAX_HEADLINE_CHARACTERS]):
            return set()
        around = []
        for _ in range(MAX_TEASER_LEVELS):
            if box is None or box.tag in ("body", "main", "html"):
                return set()
            around.append(box)
            paragraphs = [p for p in self._first_paragraphs(box) if p not in around]
            if paragraphs:
                if len(paragraphs) > MAX_TEASER_PARAGRAPHS or self._count_targets(box) != 1:
                    return set()
                return {text for p in paragraphs if count_line_words(text := self._text(p)) <= MAX_TEASER_WORDS}
            box = box.getparent()
        return set()

    def _first_paragraphs(self, box: HtmlElement) -> list[HtmlElement]:
        """Return the first paragraphs of a box: one more than a teaser has, plus those around the headline."""
        if box not in self._paragraphs:
            self._paragraphs[box] = list(islice(box.iter("p"), MAX_TEASER_PARAGRAPHS + 1 + MAX_TEASER_LEVELS))
        return self._paragraphs[box]

    def _count_targets(self, box: HtmlElement) -> int:
        """Count the URLs of the headlines in a box; 2 means two or more."""
        if box not in self._targets:
            targets = set[str | None]()
            for link in box.iter("a"):
                if link in self.headlines:
                    targets.add(link.get("href"))
                if len(targets) > 1:
                    break
            self._targets[box] = len(targets)
        return self._targets[box]

    def _text(self, paragraph: HtmlElement) -> str:
        if paragraph not in self._texts:
            self._texts[paragraph] = normalise_line("".join(paragraph.itertext()))
        return self._texts[paragraph]

    def _beginning(self, box: HtmlElement) -> str:
        """Return the beginning of the text of a box, long enough to contain a headline after normalisation."""
        if box not in self._beginnings:
            parts, length = list[str](), 0
            for part in box.itertext():
                parts.append(part)
                length += len(part.strip())
                if length > 3 * MAX_HEADLINE_CHARACTERS:
                    break
            self._beginnings[box] = normalise_line("".join(parts))
        return self._beginnings[box]
