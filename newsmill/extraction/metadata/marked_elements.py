"""The elements of a page that its markup names as date, author, tag, title or link."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.blocks import Layout
from newsmill.extraction.metadata.other_articles import MicrodataItems, find_items, find_teaser_parts
from newsmill.extraction.normalise import normalise_line

# schema.org types of one article, by priority; a page without them may still be an article.
ARTICLE_TYPES = (
    "NewsArticle",
    "ReportageNewsArticle",
    "AnalysisNewsArticle",
    "OpinionNewsArticle",
    "BackgroundNewsArticle",
    "AskPublicNewsArticle",
    "ReviewNewsArticle",
    "AdvertiserContentArticle",
    "SatiricalArticle",
    "LiveBlogPosting",
    "Article",
    "BlogPosting",
    "Report",
    "ScholarlyArticle",
    "TechArticle",
    "SocialMediaPosting",
    "Review",
    "Recipe",
    "Claim",
    "ClaimReview",
)
MAX_TITLE_CHARACTERS = 1_000  # characters of a title or heading; longer texts are neither
MAX_LINKS = 5_000  # links examined for tags; the largest of 1,582 measured pages has 3,400
# Words in the class of elements that name an author, without a first letter that may be a capital.
_AUTHOR_CLASS = re.compile("uthor|utor|yline|writer|redakteur|username")
_DATE_ELEMENTS = etree.XPath('//@itemprop[contains(., "datePublished")]/..')
_BEFORE_DATE_NAME = re.compile(rb"(?i:itemprop)\s*+=\s*+[\"']?[^\"'>]{0,100}\Z")  # the text before the name of the date
_DATE_NAME, _MAX_ATTRIBUTE_BYTES = b"datePublished", 200  # and the maximum bytes from the start of its attribute to the name
_ITEM_WORDS = (b"itemscope", b"itemScope", b"ITEMSCOPE")
_TAG_LINK = re.compile(rb"rel=[\"']?(?:\w{1,20} ){0,5}tag\b")


class MarkedElements:
    """The elements of a page that are marked as author or date. They are searched on first use, because most pages do not need them."""

    def __init__(
        self, part: HtmlElement, tree: Callable[[], HtmlElement] | None = None, html: bytes | None = None, titles: tuple[str, ...] = ()
    ) -> None:
        self.part = part  # the part of the page that is already parsed
        self.titles = titles  # what the page calls itself
        self._make = tree
        self._html = html  # the HTML of the whole page

    @cached_property
    def tree(self) -> HtmlElement:
        """The tree of the whole page, for searches outside the structured data. It may be parsed on first use."""
        return self.part if self._make is None else self._make()

    @cached_property
    def layout(self) -> Layout:
        """The text blocks of `part`. They are shared, because they cost a twentieth of the extraction of an unknown page."""
        return segment(self.part)

    @cached_property
    def items(self) -> MicrodataItems:
        """The microdata items of the article of the page and of others."""
        return find_article_items(self.tree, self._html, self.titles)

    @cached_property
    def dated(self) -> tuple[HtmlElement, ...]:
        """Microdata: elements with itemprop="datePublished" of the article."""
        if self._html is not None and not _may_have_dates(self._html):
            return ()
        found = _DATE_ELEMENTS(self.tree)
        elements = found if isinstance(found, list) else []
        dated = [element for element in elements if isinstance(element, HtmlElement) and _is_date(element)]
        return tuple(element for element in dated if not self.items.is_in_other(element))

    @cached_property
    def dates(self) -> tuple[str, ...]:
        """The content, datetime or text of the elements in `dated`."""
        return tuple(map(_read_item_date, self.dated))

    @cached_property
    def bylines(self) -> tuple[HtmlElement, ...]:
        """Elements marked as naming an author of the article: by itemprop, rel or class."""
        found = [element for element in self.tree.iter(etree.Element) if names_author(element) and not _is_date(element)]
        teaser_parts = find_teaser_parts(self.tree, found, self.titles) if found else frozenset()
        return tuple(element for element in found if element not in teaser_parts and not self.items.is_in_other(element))

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The texts of links with rel="tag" (HTML standard 4.6.7.15), without categories, tag clouds and the tags of other articles."""
        if self._html is not None and _TAG_LINK.search(self._html) is None:
            return ()
        links = [link for link in islice(self.tree.iter("a"), MAX_LINKS) if _is_tag(link)]
        teaser_parts = find_teaser_parts(self.tree, links, self.titles) if links else frozenset()
        return tuple(normalise_line(link.text_content()[:MAX_TITLE_CHARACTERS]) for link in links if link not in teaser_parts)


def find_article_items(tree: HtmlElement, html: bytes | None, titles: tuple[str, ...]) -> MicrodataItems:
    """Find the microdata items, unless the HTML shows that there are none, which is faster than a search in the tree."""
    if html is not None and not any(word in html for word in _ITEM_WORDS):
        return MicrodataItems(None, frozenset())
    return find_items(tree, ARTICLE_TYPES, titles)


def _may_have_dates(html: bytes) -> bool:
    """Whether the HTML may have a date in microdata. This check takes a tenth of the time of a search in the tree."""
    at = html.find(_DATE_NAME)
    while at >= 0:
        if _BEFORE_DATE_NAME.search(html, max(0, at - _MAX_ATTRIBUTE_BYTES), at) is not None:
            return True
        at = html.find(_DATE_NAME, at + 1)
    return False


def names_author(element: HtmlElement) -> bool:
    """Whether an element is marked as naming an author: by class, by microdata, or as a link."""
    classes = element.get("class")
    if classes and _AUTHOR_CLASS.search(classes) is not None:
        return True
    if element.get("itemprop") in ("author", "creator"):
        return True
    return element.tag == "a" and (element.get("rel") == "author" or "/author/" in element.get("href", ""))


def _is_date(element: HtmlElement) -> bool:
    return "datePublished" in element.get("itemprop", "").split()


def _is_tag(link: HtmlElement) -> bool:
    rel = link.get("rel", "").lower().split()
    return "tag" in rel and "category" not in rel and next(link.iterancestors("aside", "nav"), None) is None


def _read_item_date(element: HtmlElement) -> str:
    return element.get("content") or element.get("datetime") or normalise_line(element.text_content()[:200])
