"""The authors of a page: people first, organisations where the page names no person.

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

from newsmill.extraction.metadata.bylines import classify_author, is_agency, split_names
from newsmill.extraction.metadata.structured_data import StructuredData, as_list, get_types, read_text
from newsmill.extraction.metadata.titles import find_section_names, join_letters
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Author, AuthorType

MAX_COMPLETED_AUTHORS = 6  # authors of a source that may complete another source; a longer list is the staff of the site
MAX_AUTHORS = 100  # names examined; the longest real byline is that of the investigation of a consortium
MAX_BYLINE_CHARACTERS = 120  # characters of a byline; a longer marked element is a biography or a box
MAX_BYLINE_NAMES = 10  # names in similar elements beside each other; more are a list of other articles or of the staff
MAX_WORDS_BETWEEN = 2  # words between two names of one byline: "and", "together with"
_MAX_LINES_BELOW = 40  # elements after the headline in which a bare "By …" line is a byline; further down it is the source of a quotation
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
# Boxes with names that are not authors of this article: other articles, photographers. Only whole words of a class or id count
# ("vcard" is not "card").
_OTHER_BOX = re.compile(
    r"(?:^|[\s_-])(?:related|teasers?|recommend(?:ed|ations)?|sidebar|widgets?|most-?read|cards?|captions?|credits?|photos?|images?|avatar|"
    r"copyright|newsletter|menu|breadcrumbs?|snippet|listposts)(?:$|[\s_-])|(?:^|\s)(?:site-|page-|main-|global-)?footer(?:$|\s)",
    re.IGNORECASE,
)
# Parts of a byline beside the name: the role of the author, the source of a picture or text, and the time.
_BESIDE_NAME = re.compile(
    r"(?:^|[\s_-])(?:credits?|roles?|jobs?|job-?titles?|occupation|affiliation|dates?|timestamp)(?:$|[\s_-])",
    re.IGNORECASE,
)
_COMMENT_BOX = re.compile(r"comment|kommentar|reply|respond", re.IGNORECASE)
_OUTSIDE_TAGS = frozenset({"aside", "nav", "figure", "figcaption", "form", "button"})
_LINE_TAGS = frozenset(("p", "span", "div", "a", "address", "strong", "em", "li"))
_NAMELESS_TAGS = frozenset(("button", "label", "time", "script", "style", "svg"))
_BUTTON_ROLES = frozenset(("button", "menuitem", "navigation", "tab"))
_BY_LINE = re.compile(rf"^(?:{build_alternation('byline')})[:：\s]\s*\S", re.IGNORECASE)
_FULL_NAME = re.compile(r"^[^\W\d_a-zß-ÿ][\w.'’-]*(?:\s[\w.'’-]+){1,3}$")
_USER_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_GAP = "· · ·"
Authors = tuple[Author, ...]


def find_authors(page: StructuredData, site_names: frozenset[str], hint: tuple[str, ...] = ()) -> tuple[Authors, str] | None:
    """Return the authors in page order and their provenance, or None if no source names one.

    JSON-LD, <meta>, the byline and the listing are searched in this order for a person, and for an organisation only if none names a
    person: sites put their own name into the data of articles with a byline. The name of a section is not an author.
    """

    def select_authors(authors: Iterable[Author]) -> Authors:
        """Return each author once, without names of sections; an author with the name of the site is an organisation."""
        return tuple(_correct_type(author, site_names) for author in _remove_duplicates(authors) if not is_section_name(author.name))

    def is_section_name(name: str) -> bool:
        """True for a single word that names a section of the page; full names of people are titles of columns as well."""
        return " " not in name and (letters := join_letters(name)) not in site_names and letters in find_sections()

    find_sections = cache(partial(find_section_names, page))  # computed on demand, because few authors have only one name

    found = [
        (select_authors(author for value in _find_declared(page) for author in _parse_authors(value)), "json-ld"),
        (select_authors(Author(name, classify_author(name)) for name in _find_meta_names(page)), "meta"),
    ]
    if not any(_has_names(authors) for authors, _ in found):  # a search in the visible page costs more than one in the data
        found.append((select_authors(Author(name, classify_author(name)) for name in find_bylines(page)), "dom"))
        found.append((select_authors(Author(name, classify_author(name)) for value in hint for name in split_names(value)), "feed"))
    found = [(authors, source) for authors, source in found if authors]
    found = [(_drop_publishers(authors), source) for authors, source in found]
    kinds = (_has_names, _list_person_names, bool)
    chosen = next(((authors, source) for is_kind in kinds for authors, source in found if is_kind(authors)), None)
    return chosen and next(((authors, source) for authors, source in found if source == "meta" and _completes(authors, chosen[0])), chosen)


def _drop_publishers(authors: Authors) -> Authors:
    """Return the authors without the publisher or site that stands beside a person; an agency stays, because it wrote the text too."""
    if not _list_person_names(authors):
        return authors
    return tuple(author for author in authors if author.type is AuthorType.PERSON or is_agency(author.name))


def _has_names(authors: Authors) -> bool:
    """True if a person is named, and not only by a user name such as "jdoe"."""
    return any(author.type is AuthorType.PERSON and not _USER_NAME.fullmatch(author.name) for author in authors)


def _list_person_names(authors: Authors) -> frozenset[str]:
    return frozenset(author.name.casefold() for author in authors if author.type is AuthorType.PERSON)


def _completes(more: Authors, fewer: Authors) -> bool:
    """True if one source names the same people as the other and more: JSON-LD often has only the first of several authors."""
    return (
        len(more) <= MAX_COMPLETED_AUTHORS
        and _list_person_names(more) > _list_person_names(fewer) != frozenset()
        and len(_list_person_names(more)) == len(more)
    )


def _remove_duplicates(authors: Iterable[Author]) -> Authors:
    return tuple({author.name.casefold(): author for author in islice(authors, MAX_AUTHORS)}.values())


def _correct_type(author: Author, site_names: frozenset[str]) -> Author:
    """Make an author with the name of the site an organisation. The author is kept, because a site may have the name of its only author."""
    return Author(author.name, AuthorType.ORGANISATION) if join_letters(author.name) in site_names else author


def _find_declared(page: StructuredData) -> list[Any]:
    article = page.article or {}
    return as_list(article.get("author")) or as_list(article.get("creator"))


def _parse_authors(value: Any) -> Iterator[Author]:
    """Read one author value: a name, a node with a name, or a string with several names."""
    organisation = isinstance(value, dict) and any("Organization" in kind for kind in get_types(value))
    for item in as_list(value.get("name") if isinstance(value, dict) else value):
        for name in split_names(read_text(item) or ""):
            yield Author(name, AuthorType.ORGANISATION if organisation else classify_author(name))


def _find_meta_names(page: StructuredData) -> list[str]:
    """Return the names in <meta>; the free field of Twitter counts only with a label for authors."""
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
    """Return the names in the byline nearest to the headline: that in the smallest box around both.

    Menus and lists of other articles have bylines too. Where no element is marked, a bare "By …" line below the headline counts, and then
    a name that all marked elements of the page share.
    """
    tree = page.marks.tree
    around = {box for h1 in tree.iter("h1") for box in h1.iterancestors()}
    marked = [element for element in page.marks.bylines if not _is_in_comment(element) and not _is_button(element)]
    headline = next(tree.iter("h1"), None)
    distance = {} if headline is None else {box: number for number, box in enumerate(headline.iterancestors())}
    by_distance: dict[int, list[HtmlElement]] = {}
    for element in marked:
        if _is_inside(element, around):
            nearest = next((distance[box] for box in element.iterancestors() if box in distance), len(distance))
            by_distance.setdefault(nearest, []).append(element)
    names = next(filter(None, (_find_marked_names(by_distance[number]) for number in sorted(by_distance))), [])
    return names or _find_bare_line(tree) or _find_only_name(marked)


def _find_marked_names(marked: list[HtmlElement]) -> list[str]:
    """Return the names of the first marked element with any; microdata and rel=author come before class names."""
    groups = (
        [e for e in marked if e.get("itemprop") in ("author", "creator")],
        [e for e in marked if "author" in e.get("rel", "").split()],
        [e for e in marked if _AUTHOR_CLASS.search(e.get("class", ""))],
        [e for e in marked if "/author/" in e.get("href", "")],
    )
    return next(filter(None, map(_find_first_group, groups)), [])


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
    """False in boxes for other content than the byline of this article; boxes that also contain the headline do not count."""
    for box in (element, *list(element.iterancestors())[:6]):
        if box in around or box.tag in ("body", "html"):
            return True
        if box.tag in _OUTSIDE_TAGS or _is_button(box) or _OTHER_BOX.search(f"{box.get('class', '')} {box.get('id', '')}"):
            return False
    return True


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


def _find_bare_line(tree: HtmlElement) -> list[str]:
    headline = next(tree.iter("h1"), None)
    if headline is None:
        return []
    below = (element for element in headline.xpath("following::*") if element.tag in _LINE_TAGS)
    for line in islice(below, _MAX_LINES_BELOW):
        text = " ".join((line.text_content() if len(line) < 6 else "").split())
        if 5 < len(text) <= 80 and _BY_LINE.match(text) and _is_inside(line) and not _is_in_sentence(line):
            return [name for name in _read_names(line) if " " not in name or not name.islower()]
    return []


def _is_in_sentence(element: HtmlElement) -> bool:
    """True for an element that a word stands directly before, such as the link in "On our <a>About page</a>"."""
    before = element.getprevious()
    text = element.getparent().text if before is None else before.tail
    return any(char.isalnum() for char in text or "")


def _read_names(element: HtmlElement) -> list[str]:
    """Return the names in one element: all names of its first piece with any, and full names in the next pieces up to other text."""
    inner = next((e for e in element.iter() if e is not element and e.get("itemprop") == "name"), element)
    pieces = [inner.get("content", "")] if inner.get("content") else list(_list_pieces(inner))
    if sum(map(len, pieces)) > MAX_BYLINE_CHARACTERS:
        return []
    names: list[str] = []
    for piece in pieces:
        found = [] if _is_prose(piece) else split_names(piece)
        if names and not all(_FULL_NAME.match(name) for name in found):
            break
        if names and not found and len(piece.split()) > MAX_WORDS_BETWEEN:
            break
        names += found
    return names


def _is_prose(piece: str) -> bool:
    """True for a sentence about an author ("Jane Doe is a reporter."), in which a name would end with a word in lower case."""
    return piece.rstrip().endswith((".", "!", "?")) and any(name.split()[-1].islower() for name in split_names(piece))


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
    return part.tag in _NAMELESS_TAGS or _is_button(part) or _BESIDE_NAME.search(part.get("class", "")) is not None


def _is_button(element: HtmlElement) -> bool:
    """True for a button by tag or role; the class does not count, because many sites style the link to an author as a button."""
    return element.tag == "button" or element.get("role") in _BUTTON_ROLES
