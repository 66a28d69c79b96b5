"""Microdata items of a page, and what stands below headlines of other articles: their authors and dates are not those of the page. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import HEADING_TAGS
from newsmill.extraction.normalise import count_words

MIN_HEADLINE_WORDS = 5  # words of a linked heading that is the headline of another article; the names of authors and sections are shorter
MAX_VALUE_CHARACTERS = 60  # characters of a section, keyword or date; longer texts are others, which templates mark so by mistake
MIN_HEADLINE_LETTERS = 8  # letters of a headline that is found in a title of the page
_ITEMS = etree.XPath("//*[@itemscope and @itemtype]")
_COMMENT_TYPES = frozenset(("Comment", "UserComments"))
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class MicrodataItems:
    """The elements that begin a microdata item: `own` for the article of the page, `others` for comments and other articles."""

    own: HtmlElement | None
    others: frozenset[HtmlElement]

    def is_in_other(self, element: HtmlElement) -> bool:
        """Whether an element is part of a comment or of another article."""
        return bool(self.others) and any(box in self.others for box in element.iterancestors())

    def list_properties(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, value) of the properties of the own article with these names, in page order, without those of <meta>."""
        for part in () if self.own is None else self.own.iter(etree.Element):
            if part.get("itemprop") in names and part.tag != "meta" and _find_item(part) is self.own:
                value = part.get("content") or part.get("datetime") or _read_text(part)
                if len(value) <= MAX_VALUE_CHARACTERS:
                    yield part.get("itemprop", ""), value


def find_items(tree: HtmlElement, article_types: Collection[str], titles: Collection[str]) -> MicrodataItems:
    """Find the microdata items of a page that are of one of `article_types` (schema.org) or a comment.

    The article of the page is the item with the first <h1> in an item, or the first whose headline is in one of the `titles` of the page.
    If no item is, it is the only one. An article whose headline is a link is then another one.
    """
    found = _ITEMS(tree)
    items = [item for item in found if isinstance(item, HtmlElement)] if isinstance(found, list) else []
    comments = [item for item in items if not _COMMENT_TYPES.isdisjoint(_list_types(item))]
    articles = [item for item in items if not _list_types(item).isdisjoint(article_types)]
    own = _find_own_item(tree, articles, titles)
    if own is None:
        linked = [item for item in articles if _has_linked_headline(item)]
        only = articles[0] if len(articles) == 1 and not linked else None
        return MicrodataItems(only, frozenset((*comments, *linked)))
    kept = {own, *own.iterancestors()}
    return MicrodataItems(own, frozenset((*comments, *(item for item in articles if item not in kept))))


def find_teaser_parts(tree: HtmlElement, elements: Collection[HtmlElement], titles: Collection[str]) -> frozenset[HtmlElement]:
    """Return the elements that stand below the headline of another article, in one box with it.

    A heading that is a link leads to another article, unless its text is one of the `titles` of the page. A box with an <h1> is the page;
    without an <h1>, a box with several headings may be.
    """
    around = {box for h1 in tree.iter("h1") for box in h1.iterancestors()}
    has_one_heading = cache(lambda box: len([*islice(box.iter(*HEADING_TAGS), 2)]) == 1)
    wanted, found = frozenset(elements), set[HtmlElement]()
    own = tuple(map(_join_letters, titles))
    heading = None  # the heading above, if it is a link
    for element in tree.iter(etree.Element):
        if heading is not None and element in wanted:
            boxes = {box for box in element.iterancestors() if box not in around}
            shared = next((box for box in heading.iterancestors() if box in boxes), None)
            if shared is not None and (around or has_one_heading(shared)):
                found.add(element)
        if element.tag in HEADING_TAGS:
            heading = element if element.tag != "h1" and _leads_elsewhere(element, own) else None
    return frozenset(found)


def find_headline(tree: HtmlElement, titles: Collection[str]) -> HtmlElement | None:
    """Return the <h1> with the most letters of those that are part of `titles` (<title>, og:title), otherwise the first, or None.

    Requests for consent and the name of the site have an <h1> too.
    """
    headings = [*tree.iter("h1")]
    own = tuple(map(_join_letters, titles))
    named = (heading for heading in headings if len(headings) > 1 and _is_own_headline(_read_text(heading), own))
    return max(named, key=lambda heading: len(_join_letters(_read_text(heading))), default=next(iter(headings), None))


def _list_types(item: HtmlElement) -> frozenset[str]:
    return frozenset(kind.rstrip("/").rpartition("/")[2] for kind in item.get("itemtype", "").split())


def _find_own_item(tree: HtmlElement, articles: list[HtmlElement], titles: Collection[str]) -> HtmlElement | None:
    known = frozenset(articles)
    inside_h1 = (box for h1 in tree.iter("h1") for box in h1.iterancestors() if box in known)
    own = tuple(map(_join_letters, titles))
    named = (item for item in articles if any(_is_own_headline(_read_text(part), own) for part in _list_headlines(item)))
    return next(chain(inside_h1, named), None)


def _list_headlines(item: HtmlElement) -> Iterator[HtmlElement]:
    """Yield the elements with the headline or the name of an item, not those of an item in it, such as the author."""
    named = (part for part in item.iter(etree.Element) if part.get("itemprop") in ("headline", "name"))
    return (part for part in named if _find_item(part) is item)


def _find_item(part: HtmlElement) -> HtmlElement | None:
    """Return the item that a property belongs to."""
    return next((box for box in part.iterancestors() if "itemscope" in box.attrib), None)


def _has_linked_headline(item: HtmlElement) -> bool:
    headline = next(_list_headlines(item), None)
    return headline is not None and _find_link(headline) is not None


def _leads_elsewhere(heading: HtmlElement, own: Collection[str]) -> bool:
    if _find_link(heading) is None:
        return False
    text = _read_text(heading)
    return count_words(text) >= MIN_HEADLINE_WORDS and not _is_own_headline(text, own)


def _is_own_headline(text: str, own: Collection[str]) -> bool:
    letters = _join_letters(text)
    return len(letters) >= MIN_HEADLINE_LETTERS and any(letters in title for title in own)


def _find_link(heading: HtmlElement) -> HtmlElement | None:
    inside = next(heading.iter("a"), None)
    return next(heading.iterancestors("a"), None) if inside is None else inside


def _read_text(element: HtmlElement) -> str:
    return element.get("content") or "".join(element.itertext())[:1000]


def _join_letters(text: str) -> str:
    return _NOT_LETTERS.sub("", text.casefold())
