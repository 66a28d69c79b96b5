"""The authors of a page: people first, and organisations where the page names no person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from newsmill.extraction.metadata.author_names import classify_author, is_agency, split_names
from newsmill.extraction.metadata.bylines import find_bylines
from newsmill.extraction.metadata.json_ld import as_list, get_types, read_text
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.metadata.titles import join_letters
from newsmill.extraction.vocabulary import compile_words
from newsmill.model import Author, AuthorType
from newsmill.text import lazy_re as re

MAX_COMPLETED_AUTHORS = 6  # authors of a source that may complete another source; a longer list is the staff of the site
MAX_AUTHORS = 100  # names examined; the longest real byline is that of the investigation of a consortium
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
    "citation_author",
)
_SURNAME_FIRST = re.compile(r"\s*([^,;]+),\s*([^,;]+)$")  # "Doe, Jane", one author in each <meta> of Highwire Press
_WRITTEN_BY = compile_words("^{written_by}$")
_USER_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
Authors = tuple[Author, ...]


def find_authors(page: StructuredData, site_names: frozenset[str], hint: tuple[str, ...] = ()) -> tuple[Authors, str] | None:
    """Return the authors in page order and their provenance, or None if no source names one.

    JSON-LD, <meta>, the byline and the listing are searched in this order for a person, and for an organisation only if none names a
    person: sites put their own name into the data of articles with a byline.
    """

    def select_authors(authors: Iterable[Author]) -> Authors:
        """Return each author once; an author with the name of the site is an organisation."""
        return tuple(_correct_type(author, site_names) for author in _remove_duplicates(authors))

    found = [
        (select_authors(author for value in _find_declared(page) for author in _parse_authors(value)), "json-ld"),
        (select_authors(Author(name, classify_author(name)) for name in _find_meta_names(page)), "meta"),
    ]
    if not any(_has_names(authors) for authors, _ in found):  # a search in the visible page costs more than one in the data
        found.append((select_authors(Author(name, classify_author(name)) for name in find_bylines(page)), "dom"))
        found.append((select_authors(Author(name, classify_author(name)) for value in hint for name in split_names(value)), "feed"))
    found = [(authors, source) for authors, source in found if authors]
    found = [(_drop_publishers(authors), source) for authors, source in found]
    kinds: tuple[Callable[[Authors], object], ...] = (_has_names, _list_person_names, bool)
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
    """Return the names in <meta>: the first list, or a later one with all its names. Twitter's free field counts only if labelled."""
    lists = [names for name in _META_NAMES if (names := [found for value in page.meta.get(name, ()) for found in _split_meta(name, value)])]
    if lists:
        return next((names for names in lists[1:] if set(names) > set(lists[0])), lists[0])
    return split_names(page.first("twitter:data1") or "") if _WRITTEN_BY.match(page.first("twitter:label1") or "") else []


def _split_meta(name: str, value: str) -> list[str]:
    return split_names(_SURNAME_FIRST.sub(r"\2 \1", value) if name == "citation_author" and value.count(",") == 1 else value)
