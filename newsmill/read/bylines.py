"""Bylines in the visible page: elements marked as naming the author, and the line "By …" below the headline."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.html import HtmlElement

from newsmill.read.names import names_of
from newsmill.read.structured import Structured
from newsmill.read.vocabulary import any_of

LONGEST = 120  # characters of a byline; a marked element with more is a biography or a box
_CLASS = re.compile(r"(?:^|[\s_-])(?:author|authors|byline|autor|autoren|auteur|writer|redakteur|textauthor|contributor|verfasser)(?:$|[\s_-])", re.IGNORECASE)
# Names that are not this article's author: commenters, other articles', photographers', the biography below.
_OTHER = re.compile(
    r"comment|kommentar|avatar|related|teaser|recommend|sidebar|footer|widget|most-?read|card|caption|credit|photo|image|copyright|newsletter|bio\b|listposts|snippet|menu|breadcrumb",
    re.IGNORECASE,
)
_OUTSIDE = frozenset({"aside", "nav", "footer", "figure", "figcaption", "form"})
_BY_LINE = re.compile(rf"^(?:{any_of('byline')})[:：\s]\s*\S", re.IGNORECASE)
_NEAR = 40  # elements after the headline among which a bare "By …" line is a byline; further down it is a quotation's source


def find_bylines(page: Structured, tree: HtmlElement) -> list[str]:
    """The names in the first byline that holds any; microdata and rel=author before class names, a bare "By …" line last."""
    marked = [element for element in page.bylines if _is_inside(element)]
    for chosen in (
        [e for e in marked if e.get("itemprop") in ("author", "creator")],
        [e for e in marked if "author" in e.get("rel", "").split()],
        [e for e in marked if _CLASS.search(e.get("class", ""))],
    ):
        names = _first_group(chosen)
        if names:
            return names
    return _bare_line(tree)


def _is_inside(element: HtmlElement) -> bool:
    boxes = [element, *list(element.iterancestors())[:6]]
    return not any(box.tag in _OUTSIDE or _OTHER.search(f"{box.get('class', '')} {box.get('id', '')}") for box in boxes if box.tag not in ("body", "html"))


def _first_group(elements: list[HtmlElement]) -> list[str]:
    """Names of the first element with any, and of its like beside it (several authors stand in elements of their own)."""
    for index, element in enumerate(elements):
        names = _names(element)
        if names:
            like = [other for other in elements[index + 1 :] if _near(element, other) and other.tag == element.tag and other.get("class") == element.get("class")]
            return list(dict.fromkeys(names + [name for other in like for name in _names(other)]))
    return []


def _near(left: HtmlElement, right: HtmlElement) -> bool:
    """Same parent, or same grandparent."""
    a, b = left.getparent(), right.getparent()
    return a is b or (a is not None and b is not None and a.getparent() is b.getparent())


def _names(element: HtmlElement) -> list[str]:
    inner = next((e for e in element.iter() if e is not element and e.get("itemprop") == "name"), element)
    text = inner.get("content") or "\u2028".join(_pieces(inner))
    return names_of(text) if len(text) <= LONGEST else []


def _pieces(element: HtmlElement) -> Iterator[str]:
    """Text between element boundaries; single words in a row are one name in several elements."""
    pieces = [" ".join(text.split()) for text in element.itertext()]
    held = ""
    for piece in filter(None, pieces):
        if held and " " not in held and " " not in piece and piece[:1].isupper() and held[:1].isupper():
            yield f"{held} {piece}"
            held = ""
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _bare_line(tree: HtmlElement) -> list[str]:
    headline = next(tree.iter("h1"), None)
    if headline is None:
        return []
    seen = 0
    for element in headline.itersiblings():
        for line in element.iter("p", "span", "div", "a", "address", "strong", "em", "li"):
            seen += 1
            text = " ".join((line.text_content() if len(line) < 6 else "").split())
            if 5 < len(text) <= 80 and _BY_LINE.match(text) and _is_inside(line):
                return names_of("\u2028".join(_pieces(line)))
            if seen > _NEAR:
                return []
    return []
