"""Who wrote it: people first, organisations where no person is named, each typed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any

from newsmill.extraction.metadata.bylines import find_bylines
from newsmill.extraction.metadata.person_names import names_of, type_of
from newsmill.extraction.metadata.structured_data import Structured, node_types, text_of
from newsmill.extraction.metadata.titles import letters_of
from newsmill.extraction.section_names import find_section_names
from newsmill.model import Author, AuthorType

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


def find_authors(page: Structured, site_names: frozenset[str], hint: tuple[str, ...] = ()) -> tuple[Authors, str] | None:
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


def _stated(page: Structured) -> list[Any]:
    article = page.article or {}
    return _as_list(article.get("author")) or _as_list(article.get("creator"))


def _named(page: Structured) -> list[str]:
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
