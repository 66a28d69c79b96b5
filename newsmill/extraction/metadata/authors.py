"""The authors of a page: people first, organizations where no person is named.

Bylines in the visible page are elements marked as naming an author, and the line "By …" below the headline.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.boilerplate.vocabulary import build_alternation
from newsmill.extraction.metadata.person_names import classify_author, split_names
from newsmill.extraction.metadata.section_names import find_section_names
from newsmill.extraction.metadata.structured_data import StructuredData, as_list, get_types, read_text
from newsmill.extraction.metadata.titles import join_letters
from newsmill.model import Author, AuthorType

MAX_COMPLETED_AUTHORS = 6  # authors by which one source may complete another; longer lists are the site's staff
MAX_AUTHORS = 100  # names looked at; the longest honest byline is that of a consortium's investigation
MAX_BYLINE_CHARACTERS = 120  # characters of a byline; a marked element with more is a biography or a box
MAX_WORDS_BETWEEN = 2  # words between two names of one byline: "and", "together with"
_MAX_LINES_BELOW = 40  # elements after the headline among which a bare "By …" line is a byline; further down it is a quotation's source
_META_NAMES = (
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
_AUTHOR_CLASS = re.compile(r"author|byline|autor(?!i[sz])|redakteur|writer|username", re.IGNORECASE)
# Boxes whose names are not this article's author: other articles', photographers'. Whole words of a class or id only ("vcard" is no card).
_OTHER_BOX = re.compile(
    r"(?:^|[\s_-])(?:related|teasers?|recommend(?:ed|ations)?|sidebar|widgets?|most-?read|cards?|captions?|credits?|photos?|images?|avatar|"
    r"copyright|newsletter|menu|breadcrumbs?|snippet|listposts)(?:$|[\s_-])|(?:^|\s)(?:site-|page-|main-|global-)?footer(?:$|\s)",
    re.IGNORECASE,
)
# Parts of a byline that stand beside the name: what its author is, who gave the picture or the text, and when.
_BESIDE_NAME = re.compile(
    r"(?:^|[\s_-])(?:credits?|roles?|jobs?|job-?titles?|occupation|affiliation|dates?|timestamp)(?:$|[\s_-])",
    re.IGNORECASE,
)
_COMMENT_BOX = re.compile(r"comment|kommentar|reply|respond", re.IGNORECASE)
_OUTSIDE_TAGS = frozenset({"aside", "nav", "figure", "figcaption", "form", "button"})
_NAMELESS_TAGS = frozenset(("button", "label", "time", "script", "style", "svg"))
_BUTTON_ROLES = frozenset(("button", "menuitem", "navigation", "tab"))
_BY_LINE = re.compile(rf"^(?:{build_alternation('byline')})[:：\s]\s*\S", re.IGNORECASE)
_FULL_NAME = re.compile(r"^[^\W\d_a-zß-ÿ][\w.'’-]*(?:\s[\w.'’-]+){1,3}$")
_GAP = "· · ·"
Authors = tuple[Author, ...]


def find_authors(page: StructuredData, site_names: frozenset[str], hint: tuple[str, ...] = ()) -> tuple[Authors, str] | None:
    """The authors in page order and where they came from; None where nobody says.

    JSON-LD, <meta>, the byline and the listing are asked in this order for a person, and only where none of them names one for an
    organisation: sites put their own name into the data of articles that carry a byline. The name of a section is no author's.
    """

    def typed(authors: Iterable[Author]) -> Authors:
        return tuple(_correct_type(author, site_names) for author in _remove_duplicates(authors) if not names_section(author.name))

    def names_section(name: str) -> bool:
        """A single word that the page gives to one of its sections; people's full names head columns as well."""
        return " " not in name and (letters := join_letters(name)) not in site_names and letters in sections()

    sections = cache(partial(find_section_names, page))  # seldom asked for: few authors have one name

    found = [
        (typed(author for value in _find_declared(page) for author in _parse_authors(value)), "json-ld"),
        (typed(Author(name, classify_author(name)) for name in _find_meta_names(page)), "meta"),
    ]
    if not any(_person_names(authors) for authors, _ in found):  # the visible page costs more to ask than the data
        found.append((typed(Author(name, classify_author(name)) for name in find_bylines(page)), "dom"))
        found.append((typed(Author(name, classify_author(name)) for value in hint for name in split_names(value)), "feed"))
    found = [(authors, source) for authors, source in found if authors]
    chosen = next(((authors, source) for authors, source in found if _person_names(authors)), None) or next(iter(found), None)
    return chosen and next(((authors, source) for authors, source in found if source == "meta" and _completes(authors, chosen[0])), chosen)


def _person_names(authors: Authors) -> frozenset[str]:
    return frozenset(author.name.casefold() for author in authors if author.type is AuthorType.PERSON)


def _completes(more: Authors, fewer: Authors) -> bool:
    """True for a source that names the same people and a few besides: JSON-LD often holds only the first of several authors."""
    return (
        len(more) <= MAX_COMPLETED_AUTHORS
        and _person_names(more) > _person_names(fewer) != frozenset()
        and len(_person_names(more)) == len(more)
    )


def _remove_duplicates(authors: Iterable[Author]) -> Authors:
    return tuple({author.name.casefold(): author for author in islice(authors, MAX_AUTHORS)}.values())


def _correct_type(author: Author, site_names: frozenset[str]) -> Author:
    """The site's own name is an organisation, whatever the data call it. It stays: one-person sites bear their author's name."""
    return Author(author.name, AuthorType.ORGANISATION) if join_letters(author.name) in site_names else author


def _find_declared(page: StructuredData) -> list[Any]:
    article = page.article or {}
    return as_list(article.get("author")) or as_list(article.get("creator"))


def _parse_authors(value: Any) -> Iterator[Author]:
    """One author value: a name, a node with a name, or a string of several names."""
    organisation = isinstance(value, dict) and any("Organization" in kind for kind in get_types(value))
    for item in as_list(value.get("name") if isinstance(value, dict) else value):
        for name in split_names(read_text(item) or ""):
            yield Author(name, AuthorType.ORGANISATION if organisation else classify_author(name))


def _find_meta_names(page: StructuredData) -> list[str]:
    """Names from <meta>; Twitter's free field only where its label says that it is the author."""
    for name in _META_NAMES:
        names = [found for value in page.meta.get(name, ()) for found in split_names(value)]
        if names:
            return names
    label = (page.first("twitter:label1") or "").casefold()
    return (
        split_names(page.first("twitter:data1") or "")
        if label in ("written by", "verfasst von", "geschrieben von", "écrit par", "escrito por")
        else []
    )


def find_bylines(page: StructuredData) -> list[str]:
    """The names in the first byline that holds any; microdata and rel=author before class names.

    Then a bare "By …" line below the headline; last, a name that every marked element of the page gives, wherever they stand.
    """
    around = {box for h1 in page.marks.tree.iter("h1") for box in h1.iterancestors()}
    marked = [element for element in page.marks.bylines if not _is_in_comment(element) and not _is_button(element)]
    inside = [element for element in marked if _is_inside(element, around)]
    for chosen in (
        [e for e in inside if e.get("itemprop") in ("author", "creator")],
        [e for e in inside if "author" in e.get("rel", "").split()],
        [e for e in inside if _AUTHOR_CLASS.search(e.get("class", ""))],
        [e for e in inside if "/author/" in e.get("href", "")],
    ):
        names = _find_first_group(chosen)
        if names:
            return names
    return _find_bare_line(page.marks.tree) or _find_only_name(marked)


def _find_only_name(marked: list[HtmlElement]) -> list[str]:
    names = {name for element in marked for name in _read_names(element)}
    return list(names) if len(names) == 1 else []


def _is_in_comment(element: HtmlElement) -> bool:
    return any(
        _COMMENT_BOX.search(f"{box.get('class', '')} {box.get('id', '')}")
        for box in (element, *list(element.iterancestors())[:6])
        if box.tag != "body"
    )


def _is_inside(element: HtmlElement, around: Collection[HtmlElement] = ()) -> bool:
    """False in boxes for other things than this article's byline; boxes that also hold the headline say nothing."""
    for box in (element, *list(element.iterancestors())[:6]):
        if box in around or box.tag in ("body", "html"):
            return True
        if box.tag in _OUTSIDE_TAGS or _is_button(box) or _OTHER_BOX.search(f"{box.get('class', '')} {box.get('id', '')}"):
            return False
    return True


def _find_first_group(elements: list[HtmlElement]) -> list[str]:
    """Names of the first element with any, and of its like beside it (several authors stand in elements of their own)."""
    for index, element in enumerate(elements):
        names = _read_names(element)
        if names:
            like = [
                other
                for other in elements[index + 1 :]
                if _are_near(element, other) and other.tag == element.tag and other.get("class") == element.get("class")
            ]
            return list(dict.fromkeys(names + [name for other in like for name in _read_names(other)]))
    return []


def _are_near(left: HtmlElement, right: HtmlElement) -> bool:
    """Same parent, or same grandparent."""
    a, b = left.getparent(), right.getparent()
    return a is b or (a is not None and b is not None and a.getparent() is b.getparent())


def _find_bare_line(tree: HtmlElement) -> list[str]:
    headline = next(tree.iter("h1"), None)
    if headline is None:
        return []
    seen = 0
    for element in headline.itersiblings():
        for line in element.iter("p", "span", "div", "a", "address", "strong", "em", "li"):
            seen += 1
            text = " ".join((line.text_content() if len(line) < 6 else "").split())
            if 5 < len(text) <= 80 and _BY_LINE.match(text) and _is_inside(line):
                return _read_names(line)
            if seen > _MAX_LINES_BELOW:
                return []
    return []


def _read_names(element: HtmlElement) -> list[str]:
    """Names in one element: all of its first piece with any, and full names in the pieces after it until something else comes."""
    inner = next((e for e in element.iter() if e is not element and e.get("itemprop") == "name"), element)
    pieces = [inner.get("content", "")] if inner.get("content") else list(_list_pieces(inner))
    if sum(map(len, pieces)) > MAX_BYLINE_CHARACTERS:
        return []
    names: list[str] = []
    for piece in pieces:
        found = split_names(piece)
        if names and not all(_FULL_NAME.match(name) for name in found):
            break
        if names and not found and len(piece.split()) > MAX_WORDS_BETWEEN:
            break
        names += found
    return names


def _list_pieces(element: HtmlElement) -> Iterator[str]:
    """Text between element boundaries; single words in a row are one name in several elements."""
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
    """The texts of an element in page order; of a part beside the name only a gap, which ends a row of names."""
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
    return part.tag in _NAMELESS_TAGS or _is_button(part) or _BESIDE_NAME.search(part.get("class", "")) is not None


def _is_button(element: HtmlElement) -> bool:
    """By what it is, not by its class: many sites style the link to an author as a button."""
    return element.tag == "button" or element.get("role") in _BUTTON_ROLES
