"""What adding a site means beside the sources that exist: a new source, more URLs for one of them, nothing, or a refusal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Source
from newsmill.sources.table import make_name, parse_source
from newsmill.text import urls
from newsmill.text.sentences import Sentence

LISTING_FIELDS = ("feeds", "sitemaps", "sections")
MAX_CACHED_URLS = 50_000


class Action(StrEnum):
    """What adding a site does."""

    NEW = "new"
    EXTENDED = "extended"  # a source follows the host already, and gets more URLs
    KNOWN = "known"  # a source follows all of it already
    REFUSED = "refused"  # `reason` says why, and what to do


@dataclass(frozen=True, slots=True)
class Addition:
    """One addition. `source` is the source after it; `added` holds the URLs that an existing source gets."""

    action: Action
    name: str
    source: Source | None = None
    table: Mapping[str, Any] = field(default_factory=dict)  # of a new source, as in sources.toml
    added: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str | None = None


class SourceIndex:
    """Sources by name, host and URL, so that a list of 10,000 sites is compared with them in linear time."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.by_name: dict[str, Source] = {}
        self.by_host: dict[str, Source] = {}
        self._names: dict[str, list[str]] = {}  # of the sources that follow a URL
        for source in sources:
            self.add(source)

    def add(self, source: Source) -> None:
        """Add a source. Of two with one name or host, the first counts."""
        self.by_name.setdefault(source.name, source)
        for host in list_hosts(source):
            self.by_host.setdefault(host, source)
        for key in _list_keys(source):
            self._names.setdefault(key, []).append(source.name)

    def find_source(self, url: str) -> str | None:
        """The name of the source that follows this URL."""
        return next(iter(self._names.get(_key(url), ())), None)

    def find_follower(self, source: Source, before: Source | None = None) -> str | None:
        """As the function `find_follower`."""
        keys = set(_list_keys(source)).difference(_list_keys(before) if before is not None else ())
        return next((name for key in keys for name in self._names.get(key, ()) if name != source.name), None)


def plan_addition(sources: SourceIndex, table: Mapping[str, Any], host: str, name: str | None = None) -> Addition:
    """Decide what adding the table of a site does. `host`: of its articles; `name`: the user's. Raises ConfigError for an invalid one."""
    site = _strip(host)
    named = sources.by_name.get(name or make_name(f"https://{host}"))
    owner = named or (None if name else sources.by_host.get(site))
    new_name = name or (owner.name if owner else make_name(f"https://{host}"))
    if owner is None:
        return _plan_new(sources, table, new_name)
    if site not in list_hosts(owner):
        followed = ", ".join(sorted(list_hosts(owner))) or "a spider"
        return Addition(
            Action.REFUSED,
            new_name,
            reason=Sentence("source {name} exists and follows {followed}; choose another name", name=owner.name, followed=followed),
        )
    return _plan_extension(sources, owner, table)


def _plan_new(sources: SourceIndex, table: Mapping[str, Any], name: str) -> Addition:
    source = parse_source(name, dict(table), name)
    if other := sources.find_follower(source):
        reason = Sentence(
            "source {name} follows this URL already, and a URL belongs to one source; remove or rename that source first", name=other
        )
        return Addition(Action.REFUSED, name, reason=reason)
    return Addition(Action.NEW, source.name, source, table)


def find_follower(sources: Sequence[Source], source: Source, before: Source | None = None) -> str | None:
    """The name of another source that follows one of its URLs: a URL belongs to one source. Of a change, those of `before` do not count."""
    return SourceIndex(sources).find_follower(source, before)


def make_source(sources: Sequence[Source], table: Mapping[str, Any], name: str | None = None) -> Source:
    """The new source of a table of sources.toml. `name`: default the host of its homepage.

    Raises ConfigError for a table or a name that is invalid, and if a source has the name or follows one of the URLs.
    """
    if name is None and not isinstance(table.get("homepage"), str):
        raise ConfigError("name: expected a name, because the source has no homepage that would give one")
    try:
        source = parse_source(name or make_name(table["homepage"]), dict(table), "the source")
    except UrlError as error:
        raise ConfigError(f"homepage: {error}") from None
    if any(other.name == source.name for other in sources):
        raise ConfigError(f"source {source.name!r} exists already; choose another name, or remove it first")
    if other := find_follower(sources, source):
        raise ConfigError(f"source {other!r} follows a URL of {source.name!r} already, and a URL belongs to one source")
    return source


def _plan_extension(sources: SourceIndex, owner: Source, table: Mapping[str, Any]) -> Addition:
    """More URLs for a source of the same host, without those that a source follows. A second homepage becomes a section of it."""
    homepage = table.get("homepage")
    if homepage is not None and (follower := sources.find_source(homepage)) is not None:
        return Addition(Action.KNOWN, follower, sources.by_name[follower])  # it finds the feeds and sitemaps of its homepage itself
    if homepage is not None and owner.homepage is None and owner.spider is None:
        reason = Sentence(
            "source {name} follows only parts of this site; give it the homepage {homepage} in sources.toml, "
            "or remove it with `newsmill sources remove {name} --keep-documents` first",
            name=owner.name,
            homepage=homepage,
        )
        return Addition(Action.REFUSED, owner.name, owner, reason=reason)
    wanted = {key: tuple(table.get(key, ())) for key in LISTING_FIELDS}
    if homepage is not None:
        wanted["sections"] = (homepage, *wanted["sections"])
    added = {key: tuple(url for url in found if sources.find_source(url) is None) for key, found in wanted.items()}
    added = {key: found for key, found in added.items() if found}
    if not added:
        return Addition(Action.KNOWN, owner.name, owner)
    changes: dict[str, Any] = {key: (*getattr(owner, key), *found) for key, found in added.items()}
    return Addition(Action.EXTENDED, owner.name, replace(owner, **changes), added=added)


def list_hosts(source: Source) -> set[str]:
    """The hosts that a source names, without "www."."""
    return {host for url in source.plan_urls if (host := _strip(_host(url)))}


def _list_keys(source: Source) -> Iterable[str]:
    return map(_key, source.plan_urls)


@lru_cache(MAX_CACHED_URLS)
def _key(url: str) -> str:
    try:
        return urls.make_key(urls.normalize(url))
    except UrlError:
        return url


@lru_cache(MAX_CACHED_URLS)
def _host(url: str) -> str:
    try:
        return urls.get_host(url)
    except UrlError:
        return ""


def _strip(host: str) -> str:
    return host.removeprefix("www.")
