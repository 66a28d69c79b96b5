"""The evidence that the rules on a page's type share: its visible text, its words and its declarations."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.normalise import normalise_line

MAX_SHORT_WORDS = 150  # words; error pages and empty applications have fewer
MAX_STUB_WORDS = 80  # words; the teaser before a paywall has fewer. Briefs are as short, so length alone is not evidence
MAX_TEXT_CHARACTERS = 20_000  # characters examined; a page with a "word" of a megabyte is not a wall either
_VISIBLE_TEXT = etree.XPath(
    "//body//text()[not(ancestor::script or ancestor::style or ancestor::noscript or ancestor::template or ancestor::svg "
    "or ancestor::nav or ancestor::header or ancestor::footer)]"
)


@dataclass(frozen=True, slots=True)
class Evidence:
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


def read_visible_text(tree: HtmlElement) -> str:
    """Return the visible text of a page between its header and its footer."""
    texts = _VISIBLE_TEXT(tree)
    return normalise_line(" ".join(map(str, texts))[: 2 * MAX_TEXT_CHARACTERS]) if isinstance(texts, list) else ""


def list_h1(page: StructuredData) -> list[str]:
    return [heading.text for heading in page.headings if heading.level == 1]
