"""The parameters of a site's URLs, by the evidence of its pages: which select an article, and which only make copies of it.

Of each parameter of a site, two numbers are kept. `copies`: pages with the text of a stored article, whose URL differed from its URL in
this parameter. `articles`: documents whose own URL has it. A link loses the parameters that only make copies, so that no copy is fetched.

The id of a session in a path counts as a parameter, named after its place: "/s/*24". A server may need it, so a link keeps it, but is known
by its URL without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, bindparam, select

from newsmill import urls
from newsmill.discovery.url_patterns import MAX_PARAMETERS, drop_parameters, find_differences, find_session_place, list_parameter_names
from newsmill.exceptions import UrlError
from newsmill.model import Kind, Link
from newsmill.storage.schema import url_parameters
from newsmill.storage.statements import Upsert

MIN_COPIES = 3  # one article may have two numbers by mistake
COPIES_PER_ARTICLE = 4  # an article found first under a copy's URL does not show that the parameter matters
MAX_NAME_CHARACTERS = 60  # longer names are not counted

_KINDS = frozenset({Kind.PAGE, Kind.SECTION, Kind.FEED})  # sitemaps are known by the URLs that their index names

_ADD = Upsert(
    url_parameters,
    ("site", "name"),
    lambda new: {"copies": url_parameters.c.copies + new.copies, "articles": url_parameters.c.articles + new.articles},
)
_USELESS = select(url_parameters.c.site, url_parameters.c.name).where(
    url_parameters.c.site.in_(bindparam("b_sites", expanding=True)),
    url_parameters.c.copies >= MIN_COPIES,
    url_parameters.c.copies >= COPIES_PER_ARTICLE * url_parameters.c.articles,
)


@dataclass(slots=True)
class ParameterEvidence:
    """What the pages of one commit say about parameters."""

    _copies: Counter[tuple[str, str]] = field(default_factory=Counter)
    _articles: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_copy(self, url: str, of: str) -> None:
        """A page at `url` had the text of the article at `of`."""
        if urls.get_profile_site(url) == urls.get_profile_site(of):
            self._add(self._copies, url, find_differences(url, of))

    def add_article(self, url: str, canonical_url: str | None) -> None:
        """A new document is at `url`, and is named by `canonical_url` if its page has one."""
        place = find_session_place(url)
        self._add(self._articles, canonical_url or url, [*list_parameter_names(canonical_url or url), *(place or ())[:1]])

    def _add(self, counter: Counter[tuple[str, str]], url: str, names: Sequence[str]) -> None:
        known = [name for name in names if len(name) <= MAX_NAME_CHARACTERS]
        if len(known) <= MAX_PARAMETERS:
            counter.update((urls.get_profile_site(url), name) for name in known)

    def write(self, conn: Connection) -> None:
        keys = sorted(self._copies.keys() | self._articles.keys())
        _ADD.run(conn, [{"site": key[0], "name": key[1], "copies": self._copies[key], "articles": self._articles[key]} for key in keys])


@dataclass(frozen=True, slots=True)
class PlainLinks:
    """Links without the parameters that only make copies, and the URLs by which those are known whose path has the id of a session."""

    links: list[Link]
    known_as: dict[str, str]  # by the URL of the link


def drop_useless(conn: Connection, links: Sequence[Link]) -> PlainLinks:
    """Drop what only makes copies. Listings keep their parameters: what selects no article may still select a list, or a page of it."""
    sites = {link.url: site for link in links if link.kind in _KINDS and (site := _find_site(link.url))}
    found: dict[str, set[str]] = {}
    if sites:
        for row in conn.execute(_USELESS, {"b_sites": sorted(set(sites.values()))}):
            found.setdefault(row.site, set()).add(row.name)
    plain = PlainLinks([], {})
    for link in links:
        if useless := found.get(sites.get(link.url, "")):
            url = urls.normalize(link.url)
            link = replace(link, url=drop_parameters(url, useless) if link.kind is Kind.PAGE and "?" in url else url)
            place = find_session_place(link.url)
            if place is not None and place[0] in useless:
                plain.known_as[link.url] = place[1]
        plain.links.append(link)
    return plain


def drop_useless_from(conn: Connection, url: str) -> str:
    """The URL by which one is known, without what only makes copies."""
    plain = drop_useless(conn, [Link(url)])
    return plain.known_as.get(plain.links[0].url, plain.links[0].url)


def _find_site(url: str) -> str:
    """The site of a URL that may have something to drop; "" for others."""
    try:
        normal = urls.normalize(url)
        return urls.get_profile_site(normal) if "?" in normal or find_session_place(normal) is not None else ""
    except UrlError:
        return ""
