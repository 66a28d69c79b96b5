"""Article or not: what a page is when it is no article, in a name and a sentence. When in doubt a page is an article."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urljoin

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.boilerplate.trailing_lines import ending
from newsmill.extraction.boilerplate.vocabulary import any_of
from newsmill.extraction.bot_wall import find_bot_wall
from newsmill.extraction.metadata.access import find_free
from newsmill.extraction.metadata.structured_data import ARTICLE_TYPES, LIST_TYPES, StructuredData, bare_address
from newsmill.extraction.normalise import count_words, normalise_line
from newsmill.model import Block, Outcome, OutcomeRecord

SHORT = 150  # words; error pages and empty applications say no more
WALL = 400  # words; the longest consent dialogue of large German and French sites
NO_WORDS = 5  # words; a text of fewer says nothing, whatever the page is
STUB = 80  # words; the teaser that stands before a paywall. Briefs are as short, so shortness alone is no evidence
MOST_TEXT = 20_000  # characters looked at; a "word" of a megabyte is no wall either
TEASER = 60  # words of the longest teaser below a headline
TEASER_PARAGRAPHS = 3  # of one teaser; a box with more is a text
MAX_HEADLINE = 400  # characters of a headline that are compared
TEASER_LEVELS = 3  # boxes around a headline that are searched for its teaser
_LINKED = 0.6  # share of a body that stands in links and teasers, above which the page is a list
_LINKED_SHORT = 0.5  # the same for a short body, where dates and labels between the links weigh more
_NOT_FOUND = re.compile(any_of("not_found"), re.IGNORECASE)
_CONSENT = re.compile(any_of("consent"), re.IGNORECASE)
_CONSENT_SPEECH = re.compile(rf"\b(?:{any_of('consent_speech')})", re.IGNORECASE)
_WALL = re.compile(any_of("wall"), re.IGNORECASE)
_SCRIPT = re.compile(any_of("script"), re.IGNORECASE)
_PLACEHOLDER = re.compile(rf"\W*(?:(?:{any_of('placeholder')})\W*){{1,3}}", re.IGNORECASE)
_LIST_PATH = re.compile(
    r"/(?:tags?|tagged|topics?|them(?:a|en?)|schlagw[oö]rt(?:e|er)?|stichw[oö]rt(?:e|er)?|etiquetas?|sujets?|temas?|authors?|autor(?:en|es|in)?|auteurs?|autori|"
    r"profiles?|categor(?:y|ies|ias?|ie)|categoría|kategorien?|rubrik(?:en)?|archives?|archiv|page)/[^/]*/?$",
    re.IGNORECASE,
)
_SEARCH = re.compile(r"[?&](?:s|q|query|search|suche)=|/(?:search|suche|buscar|recherche|ricerca|zoeken)(?:[/?]|$)", re.IGNORECASE)
# Pages of the publisher's own, at the top of a site or of a language's folder only: /politik/datenschutz may well be a story.
_HOUSE_PATH = re.compile(
    r"https?://[^/]+/(?:[a-z]{2}/)?(?:impressum|imprint|legal(?:-notice)?|mentions-legales|aviso-legal|note-legali|terms(?:-of-(?:use|service))?|agb|"
    r"nutzungsbedingungen|datenschutz(?:erklaerung)?|privacy(?:-policy)?|confidentialite|privacidad|cookies?(?:-policy)?|kontakt|contact(?:-us|o)?|"
    r"about(?:-us)?|ueber-uns|qui-sommes-nous|newsletters?|mediadaten|advertise|werbung|jobs|faq|login|register|registrieren|anmelden)"
    r"(?:/|\.html?)?(?:[?#].*)?$",
    re.IGNORECASE,
)
_SEEN = etree.XPath(
    "//body//text()[not(ancestor::script or ancestor::style or ancestor::noscript or ancestor::template or ancestor::svg "
    "or ancestor::nav or ancestor::header or ancestor::footer)]"
)
MANY_HEADLINES = 5  # linked headlines on a page without any text, from which it is an index rather than an empty page
_NO_TARGET = re.compile(r"\s*(?:javascript:|#|$)", re.IGNORECASE)  # a link that leads to no other page: a script's, or a place on this one
_HOMEPAGE = re.compile(r"https?://[^/]+/?(?:(?:index|default|home)\.\w{2,5})?(?:[?#].*)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the verdicts look at."""

    page: StructuredData
    text: str
    words: int
    article: bool  # the page calls itself an article
    url: str
    ending: str  # how the body ended before the rules took its last lines


def says_article(page: StructuredData) -> bool:
    """True when the page calls itself one article, for machines."""
    return page.article is not None or (page.first("og:type") or "").strip().lower() == "article" or "article:published_time" in page.meta


def judge(page: StructuredData, blocks: Sequence[Block], text: str, url: str, status: int = 200) -> OutcomeRecord | None:
    """The ending of a page that is no article; None for an article. `text` is the cleaned body, `blocks` what it is made of.

    Where the body layer left no text, the page's visible words tell what it is.
    """
    seen = text or _visible(page.marks.tree)
    found = _Found(page, seen[:MOST_TEXT], count_words(seen), says_article(page), url, ending(blocks) or seen[-STUB:])
    if not found.article and _HOUSE_PATH.match(url):
        return OutcomeRecord(
            Outcome.NOT_ARTICLE, "a page of the publisher's own (legal notice, privacy, newsletter, contact), by its address"
        )
    if found.words < WALL:
        told = (
            _error_page(found)
            or _blocked(found)
            or _needs_script(found)
            or _consent_wall(found)
            or _paywall(found, status)
            or _video(found)
        )
        if told is not None:
            return told
    listed = None if found.article else _list_page(found, blocks, empty=not text)
    return listed or (_no_text(found) if text else OutcomeRecord(Outcome.NO_TEXT, "no text was found in the page's body"))


def _visible(tree: HtmlElement) -> str:
    """What a reader sees of a page between its header and its footer."""
    texts = _SEEN(tree)
    return normalise_line(" ".join(map(str, texts))[: 2 * MOST_TEXT]) if isinstance(texts, list) else ""


def _h1(page: StructuredData) -> list[str]:
    return [heading.text for heading in page.headings if heading.level == 1]


def _error_page(found: _Found) -> OutcomeRecord | None:
    if found.article or found.words >= SHORT:
        return None
    head = " | ".join(filter(None, (found.page.title, *_h1(found.page)[:2])))
    says = head if _NOT_FOUND.search(head) else found.text if found.words < SHORT // 2 and _NOT_FOUND.search(found.text) else None
    return None if says is None else OutcomeRecord(Outcome.SOFT_404, f"the page says {says[:80]!r} under status 200")


def _blocked(found: _Found) -> OutcomeRecord | None:
    if found.article or found.words >= SHORT:
        return None
    page = found.page
    title = next(filter(None, (page.title, *_h1(page)[:1])), "")
    wall = find_bot_wall(page.marks.tree, title, found.text, found.words)
    return None if wall is None else OutcomeRecord(Outcome.BLOCKED, wall)


def _no_text(found: _Found) -> OutcomeRecord | None:
    """A body that holds a word or two, or what stands where a script has not put the text yet."""
    if found.words < NO_WORDS or (found.words < STUB and _PLACEHOLDER.fullmatch(found.text) is not None):
        return OutcomeRecord(Outcome.NO_TEXT, f"the page's body says only {found.text[:80]!r}")
    return None


def _needs_script(found: _Found) -> OutcomeRecord | None:
    asked = _SCRIPT.search(found.text) if found.words < SHORT else None
    if asked is None and found.words < 30:
        hidden = " ".join(" ".join(element.itertext()) for element in found.page.marks.tree.iter("noscript"))[:5000]
        asked = _SCRIPT.search(hidden)
    return None if asked is None else OutcomeRecord(Outcome.NEEDS_SCRIPT, f"{found.words} words, and a request to switch on JavaScript")


def _consent_wall(found: _Found) -> OutcomeRecord | None:
    """A text that speaks to its reader about cookies, consent and data: one mention in 25 words, of two kinds at least."""
    if found.article or _CONSENT_SPEECH.search(found.text) is None:
        return None
    said = [match.group().lower() for match in _CONSENT.finditer(" ".join((*_h1(found.page)[:1], found.text)))]
    if len(set(said)) >= 2 and len(said) * 25 >= found.words:
        return OutcomeRecord(Outcome.CONSENT_WALL, f"{found.words} words, all about cookies and consent")
    return None


def _paywall(found: _Found, status: int) -> OutcomeRecord | None:
    free = find_free(found.page, status)
    locked = free is not None and not free[0]
    stub = found.words < (2 * STUB if locked else STUB)
    match = (_WALL.search(found.ending) or _WALL.search(found.text)) if stub else None
    if match is not None:
        return OutcomeRecord(Outcome.PAYWALL, f"{found.words} words, then {match.group()!r}")
    if locked and found.words < STUB // 2:
        return OutcomeRecord(Outcome.PAYWALL, f"a teaser of {found.words} words; {free[1] if free else ''}")
    return None


def _video(found: _Found) -> OutcomeRecord | None:
    kind = (found.page.first("og:type") or "").lower()
    video = kind.startswith("video") or (found.page.article is None and "VideoObject" in found.page.types())
    return OutcomeRecord(Outcome.NOT_ARTICLE, f"a video with {found.words} words of text") if video and found.words < STUB else None


def _list_page(found: _Found, blocks: Sequence[Block], *, empty: bool) -> OutcomeRecord | None:
    """Index, tag, author and search pages: they say so in address or data, or what was found on them is links and teasers."""
    kinds = found.page.types()
    if _SEARCH.search(re.sub(r"^https?://[^/]*", "", found.url)):
        return OutcomeRecord(Outcome.NOT_ARTICLE, "a search page, by its address")
    share, linked = _linked_share(found, blocks)
    if empty:
        many = linked >= MANY_HEADLINES
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"an index page: {linked} linked headlines and no text of its own") if many else None
    most = _LINKED_SHORT if found.words < SHORT else _LINKED
    seen = f"{share:.0%} of its text are links and teasers ({linked} linked headlines)"
    listed = sorted(kinds & LIST_TYPES)
    if listed and not kinds & set(ARTICLE_TYPES) and share > _LINKED / 2:
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a list page: JSON-LD calls it {', '.join(listed)}, and {seen}")
    if share > _LINKED / 2 and _LIST_PATH.search(found.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"a tag, author or archive page by its address, and {seen}")
    if share > _LINKED / 2 and _HOMEPAGE.match(found.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"the site's homepage, and {seen}")
    if share > most:
        return OutcomeRecord(Outcome.NOT_ARTICLE, f"an index page: {seen}")
    return None


def _linked_share(found: _Found, blocks: Sequence[Block]) -> tuple[float, int]:
    """How much of the body's words stand in links or in teasers below a linked headline, and how many such headlines there are."""
    links = (link for link in found.page.marks.tree.iter("a") if not _NO_TARGET.match(link.get("href", "")))
    written = {link: "".join(link.itertext()) for link in links}
    texts = {link: normalise_line(text) for link, text in written.items()}
    boxes = _TeaserBoxes({link for link, text in written.items() if len(text.split()) > 3})
    headlines, teasers, others = set(), set(), set()
    for link, text in texts.items():
        if text.count(" ") < 3:
            others.add(text)
        elif not _leads_here(link, found.url):
            headlines.add(text)
            teasers.update(boxes.teasers(link, text))
    lines = [normalise_line(line) for block in blocks if block.kept for line in block.text.split("\n")]
    linked = sum(len(line.split()) for line in lines if line in headlines or line in teasers)
    total = sum(len(line.split()) for line in lines) or 1
    if found.words < SHORT:  # nothing but the site's navigation, or a few teasers, run together
        linked = max(linked, total - _words_left(" ".join(lines), headlines | teasers | others))
    return linked / total, len(headlines)


def _words_left(text: str, phrases: set[str]) -> int:
    """Words of a text after every phrase that occurs in it whole was taken out, longest first.

    Only the first MOST_TEXT characters are searched: a page has thousands of phrases, and one "word" may be a megabyte.
    """
    text, rest = f" {text[:MOST_TEXT]} ", text[MOST_TEXT:]
    for phrase in sorted(phrases - {""}, key=len, reverse=True):
        text = text.replace(f" {phrase} ", "  ")
    return len(text.split()) + len(rest.split())


def _leads_here(link: HtmlElement, url: str) -> bool:
    """A headline that links to its own page (blogs do) is no sign of a list."""
    try:
        return bare_address(urljoin(url, link.get("href", "").strip())) == bare_address(url)
    except ValueError:
        return False


class _TeaserBoxes:
    """The paragraphs and linked headlines of the boxes around headlines, each box searched once however many headlines it holds."""

    def __init__(self, headlines: Set[HtmlElement]) -> None:
        self.headlines = headlines  # links of more than three words
        self._paragraphs: dict[HtmlElement, list[HtmlElement]] = {}
        self._targets: dict[HtmlElement, int] = {}
        self._texts: dict[HtmlElement, str] = {}
        self._beginnings: dict[HtmlElement, str] = {}

    def teasers(self, link: HtmlElement, text: str) -> set[str]:
        """The short paragraphs beside a headline that is all link: those of the smallest box that holds it and a paragraph.

        A box with another headline in it is no teaser: "previous" and "next" stand in the article's own box.
        """
        box = link.getparent()
        if box is None or box.tag in ("p", "li", "td") or not self._beginning(box).startswith(text[:MAX_HEADLINE]):
            return set()
        around = []
        for _ in range(TEASER_LEVELS):
            if box is None or box.tag in ("body", "main", "html"):
                return set()
            around.append(box)
            paragraphs = [p for p in self._first_paragraphs(box) if p not in around]
            if paragraphs:
                if len(paragraphs) > TEASER_PARAGRAPHS or self._count_targets(box) != 1:
                    return set()
                return {text for p in paragraphs if len((text := self._text(p)).split()) <= TEASER}
            box = box.getparent()
        return set()

    def _first_paragraphs(self, box: HtmlElement) -> list[HtmlElement]:
        """The first paragraphs of a box: one more than a teaser has, besides those around the headline."""
        if box not in self._paragraphs:
            self._paragraphs[box] = list(islice(box.iter("p"), TEASER_PARAGRAPHS + 1 + TEASER_LEVELS))
        return self._paragraphs[box]

    def _count_targets(self, box: HtmlElement) -> int:
        """How many URLs the headlines in a box lead to; 2 stands for more."""
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
        """The beginning of a box's text, long enough for a headline whatever normalising takes out."""
        if box not in self._beginnings:
            parts, length = list[str](), 0
            for part in box.itertext():
                parts.append(part)
                length += len(part.strip())
                if length > 3 * MAX_HEADLINE:
                    break
            self._beginnings[box] = normalise_line("".join(parts))
        return self._beginnings[box]
