"""The parameters of a site's URLs, by the evidence of its pages: which select an article, and which only make copies of it.

Of each parameter of a site, two numbers are kept. `copies`: stored articles of which the site's own listings showed another page, whose
URL differed from the article's in this parameter. `articles`: documents whose own URL has it. A link loses the parameters that only make
copies, so that no copy is fetched.

A parameter is kept for good (`is_needed`) when a canonical URL names it, or when a page is another article than the page without it. That
is seen by fetching one link of a listing as it is, where the URL without the parameter failed, or where many links would become one.

The id of a session in a path counts as a parameter, named after its place: "/s/*24". A server may need it, so a link keeps it, but is known
by its URL without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, bindparam, or_, select

from newsmill.discovery.url_variants import MAX_PARAMETERS, drop_parameters, find_differences, find_session_place, list_parameter_names
from newsmill.exceptions import UrlError
from newsmill.model import Document, Kind, Link, Outcome
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import ledger, url_parameters
from newsmill.storage.statements import AnyRow, state_is
from newsmill.text import urls

MIN_COPIES = 3  # one article may have two numbers by mistake
MIN_COPIED_PERCENT = 75  # of the articles whose own URL has the parameter: an id in the URL of each, and two ids of some by mistake
MAX_NAME_CHARACTERS = 60  # longer names are not counted

MIN_MERGED_LINKS = 4  # of one listing, which would become one URL: an article is linked to in two or three places of a page
MAX_OTHER_COPIES = 100  # of an article, which are compared
BATCH_SIZE = 500  # keys per statement: below every driver's limit on parameters

_KINDS = frozenset({Kind.PAGE, Kind.SECTION, Kind.FEED})  # sitemaps are known by the URLs that their index names

_ADD = Upsert(
    url_parameters,
    ("site", "name"),
    lambda new: {
        "copies": url_parameters.c.copies + new.copies,
        "articles": url_parameters.c.articles + new.articles,
        "is_needed": or_(url_parameters.c.is_needed, new.is_needed),
    },
)
_USELESS = select(url_parameters.c.site, url_parameters.c.name).where(
    url_parameters.c.site.in_(bindparam("b_sites", expanding=True)),
    url_parameters.c.copies >= MIN_COPIES,
    100 * url_parameters.c.copies >= MIN_COPIED_PERCENT * url_parameters.c.articles,
    url_parameters.c.is_needed.is_(False),
)
_OTHER_COPIES = (
    select(ledger.c.url)
    .where(state_is("dropped"), ledger.c.document_id == bindparam("b_document"), ledger.c.id.not_in(bindparam("b_ids", expanding=True)))
    .limit(MAX_OTHER_COPIES)
)
_STATES = select(ledger.c.url_key, ledger.c.state, ledger.c.outcome).where(ledger.c.url_key.in_(bindparam("b_keys", expanding=True)))
_ENDED = frozenset({"done", "dropped", "failed"})
_SHOWS_ARTICLE = frozenset({Outcome.STORED, Outcome.UNCHANGED, Outcome.DUPLICATE})


@dataclass(frozen=True, slots=True)
class Copy:
    """A page that its site's own listings showed, and that has the text of a stored article."""

    url: str
    of: str  # the URL of the article's document
    document_id: str


def learn(conn: Connection, ids: Collection[int], copies: Sequence[Copy], articles: Sequence[Document]) -> None:
    """Note what the pages of one commit say about the parameters of their URLs. `ids`: their rows. `articles`: new documents."""
    evidence = _Evidence()
    for copy in copies:
        names = find_differences(copy.url, copy.of) if urls.get_profile_site(copy.url) == urls.get_profile_site(copy.of) else []
        if names:
            others = conn.execute(_OTHER_COPIES, {"b_document": copy.document_id, "b_ids": sorted(ids)}).scalars().all()
            known = {name for other in others for name in find_differences(other, copy.of)}
            if len(others) < MAX_OTHER_COPIES:
                evidence.add_copy(copy, [name for name in names if name not in known])
    for document in articles:
        evidence.add_article(document.url, document.canonical_url)
    for url, name in _find_needed(conn, [document.url for document in articles]):
        evidence.add_needed(url, [name])
    evidence.write(conn)


def _find_needed(conn: Connection, of_articles: Sequence[str]) -> list[tuple[str, str]]:
    """Of the URLs of new articles, (URL, name) of the parameters that are dropped from links although the URL without one is known."""
    sites = {url: site for url in of_articles if (site := _find_site(url))}
    useless = _find_useless(conn, set(sites.values()))
    plain = {
        (url, name): urls.make_key(drop_parameters(url, {name}))
        for url, site in sites.items()
        for name in useless.get(site, ())
        if name in list_parameter_names(url)
    }
    ended = _find_states(conn, plain.values())
    return [pair for pair, key in plain.items() if key in ended]


@dataclass(slots=True)
class _Evidence:
    """What the pages of one commit say about parameters, by site and name."""

    _copies: set[tuple[str, str, str]] = field(default_factory=set)  # with the id of the article
    _articles: Counter[tuple[str, str]] = field(default_factory=Counter)
    _needed: set[tuple[str, str]] = field(default_factory=set)

    def add_copy(self, copy: Copy, names: Sequence[str]) -> None:
        self._copies.update((site, name, copy.document_id) for site, name in _list_keys(copy.url, names))

    def add_article(self, url: str, canonical_url: str | None) -> None:
        """A new document is at `url`, and is named by `canonical_url` if its page has one."""
        place = find_session_place(url)
        named = list_parameter_names(canonical_url or url)
        self._articles.update(_list_keys(canonical_url or url, [*named, *(place or ())[:1]]))
        if canonical_url is not None:
            self.add_needed(canonical_url, named)

    def add_needed(self, url: str, names: Sequence[str]) -> None:
        self._needed.update(_list_keys(url, names))

    def write(self, conn: Connection) -> None:
        copies = Counter((site, name) for site, name, _ in self._copies)
        keys = sorted(copies.keys() | self._articles.keys() | self._needed)
        rows = [{"site": key[0], "name": key[1], "copies": copies[key], "articles": self._articles[key]} for key in keys]
        _ADD.run(conn, [{**row, "is_needed": key in self._needed} for key, row in zip(keys, rows, strict=True)])


def _list_keys(url: str, names: Sequence[str]) -> list[tuple[str, str]]:
    known = [name for name in names if len(name) <= MAX_NAME_CHARACTERS]
    return [(urls.get_profile_site(url), name) for name in known] if len(known) <= MAX_PARAMETERS else []


@dataclass(frozen=True, slots=True)
class PlainLinks:
    """Links without the parameters that only make copies, and the URLs by which those are known whose path has the id of a session."""

    links: list[Link]
    known_as: dict[str, str]  # by the URL of the link


def drop_useless(conn: Connection, links: Sequence[Link]) -> PlainLinks:
    """Drop what only makes copies. Listings keep their parameters: what selects no article may still select a list, or a page of it.

    At most one link stays as it is, to see whether its parameters select an article after all.
    """
    plain = _drop(conn, links)
    pairs = zip(links, plain.links, strict=True)
    changed = {link.url: found.url for link, found in pairs if link.kind is Kind.PAGE and found.url != link.url}
    checked = _choose_checked(conn, {url: found for url, found in changed.items() if urls.make_key(url) != urls.make_key(found)})
    kept = [link if link.url == checked else found for link, found in zip(links, plain.links, strict=True)]
    return plain if checked is None else replace(plain, links=kept)


def _choose_checked(conn: Connection, dropped: Mapping[str, str]) -> str | None:
    """Of links and the URLs without their parameters, the link that is fetched as it is; None if nothing is doubtful."""
    merged: dict[str, list[str]] = {}
    for url, plain in dropped.items():
        merged.setdefault(urls.make_key(plain), []).append(url)
    ended = _find_states(conn, merged)
    doubtful = [
        url
        for key, of_key in sorted(merged.items())
        if key in ended and (ended[key] not in _SHOWS_ARTICLE or len(of_key) >= MIN_MERGED_LINKS)
        for url in of_key
    ]
    keys = {url: urls.make_key(url) for url in doubtful}
    known = {row.url_key for row in _read_states(conn, keys.values())}
    return next((url for url, key in keys.items() if key not in known), None)


def _find_states(conn: Connection, keys: Iterable[str]) -> dict[str, str]:
    """The outcomes of those rows that have ended, by key."""
    return {row.url_key: row.outcome for row in _read_states(conn, keys) if row.state in _ENDED}


def _read_states(conn: Connection, keys: Iterable[str]) -> list[AnyRow]:
    ordered = sorted(set(keys))
    batches = (ordered[at : at + BATCH_SIZE] for at in range(0, len(ordered), BATCH_SIZE))
    return [row for batch in batches for row in conn.execute(_STATES, {"b_keys": batch})]


def _drop(conn: Connection, links: Sequence[Link]) -> PlainLinks:
    sites = {link.url: site for link in links if link.kind in _KINDS and (site := _find_site(link.url))}
    found = _find_useless(conn, set(sites.values()))
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


def _find_useless(conn: Connection, sites: Collection[str]) -> dict[str, set[str]]:
    """The names that only make copies, by site."""
    found: dict[str, set[str]] = {}
    for row in conn.execute(_USELESS, {"b_sites": sorted(sites)}) if sites else ():
        found.setdefault(row.site, set()).add(row.name)
    return found


def drop_useless_from(conn: Connection, url: str) -> str:
    """The URL by which one is known, without what only makes copies."""
    plain = _drop(conn, [Link(url)])
    return plain.known_as.get(plain.links[0].url, plain.links[0].url)


def _find_site(url: str) -> str:
    """The site of a URL that may have something to drop; "" for others."""
    try:
        normal = urls.normalize(url)
        return urls.get_profile_site(normal) if "?" in normal or find_session_place(normal) is not None else ""
    except UrlError:
        return ""
