"""The parameters of a site's URLs, by the evidence of its pages: which select an article, and which only make copies of it.

Of each parameter of a site, two numbers are kept. `copies`: pages with the text of a stored article, whose URL differed from its URL in
this parameter alone. `articles`: documents whose own URL has it. A link loses the parameters that only make copies, so that no copy is
fetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, bindparam, select

from newsmill import urls
from newsmill.discovery.url_patterns import MAX_PARAMETERS, drop_parameters, find_only_difference, list_parameter_names
from newsmill.exceptions import UrlError
from newsmill.model import Kind, Link
from newsmill.storage.schema import url_parameters
from newsmill.storage.statements import Upsert

MIN_COPIES = 3  # one article may have two numbers by mistake
COPIES_PER_ARTICLE = 4  # an article found first under a copy's URL does not show that the parameter matters
MAX_NAME_CHARACTERS = 60  # longer names are not counted

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
        name = find_only_difference(url, of) if "?" in url or "?" in of else None
        if name is not None and urls.get_profile_site(url) == urls.get_profile_site(of):
            self._add(self._copies, url, [name])

    def add_article(self, url: str) -> None:
        """A new document is named by `url`."""
        if "?" in url:
            self._add(self._articles, url, list_parameter_names(url))

    def _add(self, counter: Counter[tuple[str, str]], url: str, names: Iterable[str]) -> None:
        known = [name for name in names if name and len(name) <= MAX_NAME_CHARACTERS]
        if len(known) <= MAX_PARAMETERS:
            counter.update((urls.get_profile_site(url), name) for name in known)

    def write(self, conn: Connection) -> None:
        keys = sorted(self._copies.keys() | self._articles.keys())
        _ADD.run(conn, [{"site": key[0], "name": key[1], "copies": self._copies[key], "articles": self._articles[key]} for key in keys])


def drop_useless(conn: Connection, links: Sequence[Link]) -> list[Link]:
    """The links, those to pages without the parameters that only make copies."""
    sites = {link.url: site for link in links if link.kind is Kind.PAGE and "?" in link.url and (site := _find_site(link.url))}
    found: dict[str, set[str]] = {}
    if sites:
        for row in conn.execute(_USELESS, {"b_sites": sorted(set(sites.values()))}):
            found.setdefault(row.site, set()).add(row.name)
    if not found:
        return list(links)
    return [
        replace(link, url=drop_parameters(urls.normalize(link.url), found[sites[link.url]])) if sites.get(link.url) in found else link
        for link in links
    ]


def drop_useless_from(conn: Connection, url: str) -> str:
    """One URL without the parameters that only make copies."""
    return drop_useless(conn, [Link(url)])[0].url


def _find_site(url: str) -> str:
    try:
        return urls.get_profile_site(urls.normalize(url))
    except UrlError:
        return ""
