"""Bylines in the visible page: elements marked as naming the author, and the line "By …" below the headline."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.boilerplate.vocabulary import any_of
from newsmill.extraction.metadata.person_names import names_of, type_of
from newsmill.extraction.metadata.section_names import find_section_names
from newsmill.extraction.metadata.structured_data import StructuredData, node_types, text_of
from newsmill.extraction.metadata.titles import letters_of
from newsmill.model import Author, AuthorType

LONGEST = 120  # characters of a byline; a marked element with more is a biography or a box
_CLASS = re.compile(r"author|byline|autor(?!i[sz])|redakteur|writer|username", re.IGNORECASE)
# Boxes whose names are not this article's author: other articles', photographers'. Whole words of a class or id only ("vcard" is no card).
_OTHER = re.compile(
    r"(?:^|[\s_-])(?:related|teasers?|recommend(?:ed|ations)?|sidebar|widgets?|most-?read|cards?|captions?|credits?|photos?|images?|avatar|"
    r"copyright|newsletter|menu|breadcrumbs?|snippet|listposts)(?:$|[\s_-])|(?:^|\s)(?:site-|page-|main-|global-)?footer(?:$|\s)",
    re.IGNORECASE,
)
# Parts of a byline that stand beside the name: what its author is, who gave the picture or the text, and when.
_BESIDE = re.compile(
    r"(?:^|[\s_-])(?:credits?|roles?|jobs?|job-?titles?|occupation|affiliation|dates?|timestamp)(?:$|[\s_-])",
    re.IGNORECASE,
)
MAX_BETWEEN = 2  # words between two names of one byline: "and", "together with"
_GAP = "· · ·"
_NO_NAMES = frozenset(("button", "label", "time", "script", "style", "svg"))
_BUTTON_ROLES = frozenset(("button", "menuitem", "navigation", "tab"))
_COMMENT = re.compile(r"comment|kommentar|reply|respond", re.IGNORECASE)
_OUTSIDE = frozenset({"aside", "nav", "figure", "figcaption", "form", "button"})
_BY_LINE = re.compile(rf"^(?:{any_of('byline')})[:：\s]\s*\S", re.IGNORECASE)
_FULL_NAME = re.compile(r"^[^\W\d_a-zß-ÿ][\w.'’-]*(?:\s[\w.'’-]+){1,3}$")
_NEAR = 40  # elements after the headline among which a bare "By …" line is a byline; further down it is a quotation's source


def find_bylines(page: StructuredData) -> list[str]:
    """The names in the first byline that holds any; microdata and rel=author before class names.

    Then a bare "By …" line below the headline; last, a name that every marked element of the page gives, wherever they stand.
    """
    around = {box for h1 in page.marks.tree.iter("h1") for box in h1.iterancestors()}
    marked = [element for element in page.marks.bylines if not _is_comment(element) and not _is_button(element)]
    inside = [element for element in marked if _is_inside(element, around)]
    for chosen in (
        [e for e in inside if e.get("itemprop") in ("author", "creator")],
        [e for e in inside if "author" in e.get("rel", "").split()],
        [e for e in inside if _CLASS.search(e.get("class", ""))],
        [e for e in inside if "/author/" in e.get("href", "")],
    ):
        names = _first_group(chosen)
        if names:
            return names
    return _bare_line(page.marks.tree) or _only_name(marked)


def _only_name(marked: list[HtmlElement]) -> list[str]:
    names = {name for element in marked for name in _names(element)}
    return list(names) if len(names) == 1 else []


def _is_comment(element: HtmlElement) -> bool:
    return any(
        _COMMENT.search(f"{box.get('class', '')} {box.get('id', '')}")
        for box in (element, *list(element.iterancestors())[:6])
        if box.tag != "body"
    )


def _is_inside(element: HtmlElement, around: Collection[HtmlElement] = ()) -> bool:
    """False in boxes for other things than this article's byline; boxes that also hold the headline say nothing."""
    for box in (element, *list(element.iterancestors())[:6]):
        if box in around or box.tag in ("body", "html"):
            return True
        if box.tag in _OUTSIDE or _is_button(box) or _OTHER.search(f"{box.get('class', '')} {box.get('id', '')}"):
            return False
    return True


def _first_group(elements: list[HtmlElement]) -> list[str]:
    """Names of the first element with any, and of its like beside it (several authors stand in elements of their own)."""
    for index, element in enumerate(elements):
        names = _names(element)
        if names:
            like = [
                other
                for other in elements[index + 1 :]
                if _near(element, other) and other.tag == element.tag and other.get("class") == element.get("class")
            ]
            return list(dict.fromkeys(names + [name for other in like for name in _names(other)]))
    return []


def _near(left: HtmlElement, right: HtmlElement) -> bool:
    """Same parent, or same grandparent."""
    a, b = left.getparent(), right.getparent()
    return a is b or (a is not None and b is not None and a.getparent() is b.getparent())


def _names(element: HtmlElement) -> list[str]:
    """Names in one element: all of its first piece with any, and full names in the pieces after it until something else comes."""
    inner = next((e for e in element.iter() if e is not element and e.get("itemprop") == "name"), element)
    pieces = [inner.get("content", "")] if inner.get("content") else list(_pieces(inner))
    if sum(map(len, pieces)) > LONGEST:
        return []
    names: list[str] = []
    for piece in pieces:
        found = names_of(piece)
        if names and not all(_FULL_NAME.match(name) for name in found):
            break
        if names and not found and len(piece.split()) > MAX_BETWEEN:
            break
        names += found
    return names


def _texts(element: HtmlElement) -> Iterator[str]:
    """The texts of an element in page order; of a part beside the name only a gap, which ends a row of names."""
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, part in walk:
        if event == "start":
            if part is not element and _is_beside(part):
                walk.skip_subtree()
                yield _GAP if len("".join(part.itertext()).split()) > MAX_BETWEEN else ""
            elif part.text:
                yield part.text
        elif part is not element and part.tail:
            yield part.tail


def _is_beside(part: HtmlElement) -> bool:
    return part.tag in _NO_NAMES or _is_button(part) or _BESIDE.search(part.get("class", "")) is not None


def _is_button(element: HtmlElement) -> bool:
    """By what it is, not by its class: many sites style the link to an author as a button."""
    return element.tag == "button" or element.get("role") in _BUTTON_ROLES


def _pieces(element: HtmlElement) -> Iterator[str]:
    """Text between element boundaries; single words in a row are one name in several elements."""
    pieces = [" ".join(text.split()) for text in _texts(element)]
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
                return _names(line)
            if seen > _NEAR:
                return []
    return []


# Who wrote it: people first, organisations where no person is named, each typed.

_META = (
    "author",
    "article:author",
    "dc.creator",
    "dcterms.creator",
    "parsely-author",
    "sailthru.author",
    "byl",
    "cxenseparse:author",
    "og:author",
    "article:author_name",
)
MOST = 6  # authors by which one source may complete another; longer lists are the site's staff
MOST_NAMED = 100  # names looked at; the longest honest byline is that of a consortium's investigation
Authors = tuple[Author, ...]


def find_authors(page: StructuredData, site_names: frozenset[str], hint: tuple[str, ...] = ()) -> tuple[Authors, str] | None:
    """The authors in page order and where they came from; None where nobody says.

    JSON-LD, <meta>, the byline and the listing are asked in this order for a person, and only where none of them names one for an
    organisation: sites put their own name into the data of articles that carry a byline. The name of a section is no author's.
    """

    def typed(authors: Iterable[Author]) -> Authors:
        return tuple(_typed(author, site_names) for author in _unique(authors) if not names_section(author.name))

    def names_section(name: str) -> bool:
        """A single word that the page gives to one of its sections; people's full names head columns as well."""
        return " " not in name and (letters := letters_of(name)) not in site_names and letters in sections()

    sections = cache(partial(find_section_names, page))  # seldom asked for: few authors have one name

    found = [
        (typed(author for value in _stated(page) for author in _read(value)), "json-ld"),
        (typed(Author(name, type_of(name)) for name in _named(page)), "meta"),
    ]
    if not any(_people(authors) for authors, _ in found):  # the visible page costs more to ask than the data
        found.append((typed(Author(name, type_of(name)) for name in find_bylines(page)), "dom"))
        found.append((typed(Author(name, type_of(name)) for value in hint for name in names_of(value)), "feed"))
    found = [(authors, source) for authors, source in found if authors]
    chosen = next(((authors, source) for authors, source in found if _people(authors)), None) or next(iter(found), None)
    return chosen and next(((authors, source) for authors, source in found if source == "meta" and _completes(authors, chosen[0])), chosen)


def _people(authors: Authors) -> frozenset[str]:
    return frozenset(author.name.casefold() for author in authors if author.type is AuthorType.PERSON)


def _completes(more: Authors, fewer: Authors) -> bool:
    """True for a source that names the same people and a few besides: JSON-LD often holds only the first of several authors."""
    return len(more) <= MOST and _people(more) > _people(fewer) != frozenset() and len(_people(more)) == len(more)


def _unique(authors: Iterable[Author]) -> Authors:
    return tuple({author.name.casefold(): author for author in islice(authors, MOST_NAMED)}.values())


def _typed(author: Author, site_names: frozenset[str]) -> Author:
    """The site's own name is an organisation, whatever the data call it. It stays: one-person sites bear their author's name."""
    return Author(author.name, AuthorType.ORGANISATION) if letters_of(author.name) in site_names else author


def _stated(page: StructuredData) -> list[Any]:
    article = page.article or {}
    return _as_list(article.get("author")) or _as_list(article.get("creator"))


def _named(page: StructuredData) -> list[str]:
    """Names from <meta>; Twitter's free field only where its label says that it is the author."""
    for name in _META:
        names = [found for value in page.meta.get(name, ()) for found in names_of(value)]
        if names:
            return names
    label = (page.first("twitter:label1") or "").casefold()
    return (
        names_of(page.first("twitter:data1") or "")
        if label in ("written by", "verfasst von", "geschrieben von", "écrit par", "escrito por")
        else []
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _read(value: Any) -> Iterator[Author]:
    """One author value: a name, a node with a name, or a string of several names."""
    organisation = isinstance(value, dict) and any("Organization" in kind for kind in node_types(value))
    for item in _as_list(value.get("name") if isinstance(value, dict) else value):
        for name in names_of(text_of(item) or ""):
            yield Author(name, AuthorType.ORGANISATION if organisation else type_of(name))
