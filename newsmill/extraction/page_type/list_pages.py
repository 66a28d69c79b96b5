"""Pages that list articles: most of their text is links and teasers."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from itertools import islice
from urllib.parse import urljoin

from lxml.html import HtmlElement

from newsmill.extraction.metadata.marked_elements import ARTICLE_TYPES
from newsmill.extraction.metadata.structured_data import LIST_TYPES, make_comparable
from newsmill.extraction.normalise import count_line_words, normalise_line
from newsmill.extraction.page_type.evidence import MAX_SHORT_WORDS, MAX_TEXT_CHARACTERS, Evidence
from newsmill.model import Block, Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence

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


def detect_list_page(evidence: Evidence, blocks: Sequence[Block], *, empty: bool) -> OutcomeRecord | None:
    """Detect index, tag, author and search pages: by URL or structured data, or because their text is links and teasers."""
    kinds = evidence.page.types()
    if _SEARCH_URL.search(re.sub(r"^https?://[^/]*", "", evidence.url)):
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("a search page, by its URL"))
    share, headlines = _measure_linked_share(evidence.page.marks.tree, evidence.url, evidence.words, blocks)
    if empty:
        if headlines < MIN_INDEX_HEADLINES:
            return None
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("an index page: {n} linked headlines and no text of its own", n=headlines))
    max_share = _MAX_LINKED_SHARE_SHORT if evidence.words < MAX_SHORT_WORDS else _MAX_LINKED_SHARE
    reason = Sentence("{share:.0%} of its text are links and teasers ({n} linked headlines)", share=share, n=headlines)
    listed = sorted(kinds & LIST_TYPES)
    if listed and not kinds & set(ARTICLE_TYPES) and share > _MAX_LINKED_SHARE / 2:
        return OutcomeRecord(
            Outcome.NOT_ARTICLE, Sentence("a list page: JSON-LD calls it {kind}, and {reason}", kind=", ".join(listed), reason=reason)
        )
    if share > _MAX_LINKED_SHARE / 2 and _LIST_URL.search(evidence.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("a tag, author or archive page by its URL, and {reason}", reason=reason))
    if share > _MAX_LINKED_SHARE / 2 and _HOMEPAGE_URL.match(evidence.url):
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("the site's homepage, and {reason}", reason=reason))
    if share > max_share:
        return OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("an index page: {reason}", reason=reason))
    return None


def _measure_linked_share(tree: HtmlElement, url: str, words: int, blocks: Sequence[Block]) -> tuple[float, int]:
    """Return the share of the body's words in links and teasers, and the number of linked headlines. `blocks`: all of the page."""
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
