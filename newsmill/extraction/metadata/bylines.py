"""The byline in the visible page: elements marked as naming an author, or the line "By …" below the headline."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.metadata.author_names import JOB_TITLE, split_names
from newsmill.extraction.metadata.other_articles import find_headline, find_teaser_parts
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.vocabulary import compile_words
from newsmill.text import lazy_re as re

MAX_BYLINE_CHARACTERS = 120  # characters of a byline; a longer marked element is a biography or a box
MAX_BYLINE_NAMES = 10  # names in similar elements beside each other; more are a list of other articles or of the staff
MAX_WORDS_BETWEEN = 2  # words between two names of one byline: "and", "together with"
_MAX_LINES_BELOW = 40  # elements after the headline in which a bare "By …" line is a byline; further down it is the source of a quotation
_AUTHOR_CLASS = re.compile(r"author|byline|autor(?!i[sz])|redakteur|writer|username", re.IGNORECASE)
# Parts of a byline beside the name: the role of the author, the source of a picture or text, and the time.
_BESIDE_NAME = re.compile(
    r"(?:^|[\s_-])(?:credits?|roles?|jobs?|job-?titles?|occupation|affiliation|dates?|timestamp)(?:$|[\s_-])",
    re.IGNORECASE,
)
_COMMENT_BOX = re.compile(r"comment|kommentar|reply|respond", re.IGNORECASE)
_LINE_TAGS = frozenset(("p", "span", "div", "a", "address", "strong", "em", "li"))
_NAMELESS_TAGS = frozenset(("button", "label", "time", "script", "style", "svg"))
_BY_LINE = compile_words(r"^(?:{byline}[:：\s]\s*\S|{joined_byline})")
_FULL_NAME = re.compile(r"^[^\W\d_a-zß-ÿ][\w.'’-]*(?:\s[\w.'’-]+){1,3}$")
_GAP = "· · ·"


def find_bylines(page: StructuredData) -> list[str]:
    """Return the names in the byline nearest to the headline: that in the smallest box around both.

    Menus and lists of other articles have bylines too. Where no element is marked, a bare "By …" line below the headline counts.
    """
    tree = page.marks.tree
    marked = [element for element in page.marks.bylines if not _is_in_comment(element)]
    headline = find_headline(tree, [title for title in (page.title, page.first("og:title")) if title])
    distance = {} if headline is None else {box: number for number, box in enumerate(headline.iterancestors())}
    by_distance: dict[int, list[HtmlElement]] = {}
    for element in marked:
        nearest = next((distance[box] for box in element.iterancestors() if box in distance), len(distance))
        by_distance.setdefault(nearest, []).append(element)
    names = next(filter(None, (_find_marked_names(by_distance[number]) for number in sorted(by_distance))), [])
    return names or _find_bare_line(headline, tree, page.marks.titles)


def _find_marked_names(marked: list[HtmlElement]) -> list[str]:
    """Return the names of the first marked element with any; microdata and rel=author come before class names."""
    groups = (
        [e for e in marked if e.get("itemprop") in ("author", "creator")],
        [e for e in marked if "author" in e.get("rel", "").split()],
        [e for e in marked if _AUTHOR_CLASS.search(e.get("class", ""))],
        [e for e in marked if "/author/" in e.get("href", "")],
    )
    return next(filter(None, map(_find_first_group, groups)), [])


def _is_in_comment(element: HtmlElement) -> bool:
    return any(
        _COMMENT_BOX.search(f"{box.get('class', '')} {box.get('id', '')}")
        for box in (element, *list(element.iterancestors())[:6])
        if box.tag != "body"
    )


def _find_first_group(elements: list[HtmlElement]) -> list[str]:
    """Return the names of the first element with any, and of similar elements beside it (several authors have separate elements)."""
    for index, element in enumerate(elements):
        names = _read_names(element)
        if names:
            like = [
                other
                for other in elements[index + 1 :]
                if _are_near(element, other) and other.tag == element.tag and other.get("class") == element.get("class")
            ]
            found = list(dict.fromkeys(names + [name for other in like for name in _read_names(other)]))
            return found if len(found) <= MAX_BYLINE_NAMES else []
    return []


def _are_near(left: HtmlElement, right: HtmlElement) -> bool:
    """True for elements with the same parent or the same grandparent."""
    a, b = left.getparent(), right.getparent()
    return a is b or (a is not None and b is not None and a.getparent() is b.getparent())


def _find_bare_line(headline: HtmlElement | None, tree: HtmlElement, titles: Collection[str]) -> list[str]:
    if headline is None:
        return []
    below = (element for element in headline.xpath("following::*") if element.tag in _LINE_TAGS)
    for line in islice(below, _MAX_LINES_BELOW):
        text = " ".join((line.text_content() if len(line) < 6 else "").split())
        if (3 if not text.isascii() else 5) < len(text) <= 80 and _BY_LINE.match(text):
            if line in find_teaser_parts(tree, (line,), titles):
                continue
            return [name for name in _read_names(line) if " " not in name or not name.islower()]
    return []


def _read_names(element: HtmlElement) -> list[str]:
    """Return the names in one element: all names of its first piece with any, and full names in the next pieces up to other text."""
    inner = next((e for e in element.iter() if e is not element and e.get("itemprop") == "name"), element)
    pieces = [inner.get("content", "")] if inner.get("content") else list(_list_pieces(inner))
    if sum(map(len, pieces)) > MAX_BYLINE_CHARACTERS:
        return []
    names: list[str] = []
    for piece in pieces:
        found = [name for name in split_names(piece) if not (names and JOB_TITLE.search(name))]
        if names and not all(_FULL_NAME.match(name) for name in found):
            break
        if names and not found and len(piece.split()) > MAX_WORDS_BETWEEN:
            break
        names += found
    return names


def _list_pieces(element: HtmlElement) -> Iterator[str]:
    """Yield the texts between element boundaries; two consecutive single words are one name in two elements."""
    pieces = [" ".join(text.split()) for text in _list_texts(element)]
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


def _list_texts(element: HtmlElement) -> Iterator[str]:
    """Yield the texts of an element in page order; a longer part beside the name becomes a gap, which ends a row of names."""
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, part in walk:
        if event == "start":
            if part is not element and _is_beside(part):
                walk.skip_subtree()
                yield _GAP if len("".join(part.itertext()).split()) > MAX_WORDS_BETWEEN else ""
            elif part.text:
                yield part.text
        elif part is not element and part.tail:
            yield part.tail


def _is_beside(part: HtmlElement) -> bool:
    return part.tag in _NAMELESS_TAGS or _BESIDE_NAME.search(part.get("class", "")) is not None
