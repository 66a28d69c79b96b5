"""URLs of sites as people type them, and the sources that commands make of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from newsmill.cli.terminal import note
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Source
from newsmill.site_inspection import add_scheme
from newsmill.sources.table import make_name, parse_source
from newsmill.urls import make_key, normalize


def make_source(url: str, *, name: str | None, every: str | None, language: str | None, delay: float | None) -> Source:
    """The source for a homepage. Raises ConfigError, as for a table of sources.toml."""
    homepage = add_scheme(url)
    table: dict[str, object] = {"homepage": homepage, "every": every, "language": language}
    if delay is not None:
        table["politeness"] = {"delay": float(delay)}
    table = {key: value for key, value in table.items() if value is not None}
    return parse_source(name or get_default_name(homepage), table, url)


def get_default_name(url: str) -> str:
    """The default name of a source with this homepage. Raises ConfigError if it is not a URL."""
    try:
        return make_name(url)
    except UrlError as error:
        reason = "" if str(error).startswith("not a URL") else f": {error}"
        raise ConfigError(f"{url!r} is not a URL of a site{reason}; expected a URL such as https://www.example.org/") from None


@dataclass(frozen=True, slots=True)
class Changes:
    """What the options of a crawl change of a source that exists."""

    delay: float | None = None
    language: str | None = None

    def apply_to(self, source: Source) -> Source:
        """The source with what was given."""
        delay = source.politeness.delay if self.delay is None else self.delay
        return replace(source, politeness=replace(source.politeness, delay=delay), language=self.language or source.language)


def choose_source(store: AppContext, source: Source, changes: Changes) -> Source:
    """The source to crawl: one that exists with this name or this homepage, with the changes; else the new one.

    A URL belongs to one source, so a second one would find nothing. Raises ConfigError for a name that follows another homepage, and for a
    paused source.
    """
    followed = store.ledger.source(source.name)
    if followed is not None and not have_same_homepage(followed, source):
        raise ConfigError(
            f"source {followed.name} exists and follows {followed.homepage or 'no homepage'}; `newsmill add {source.homepage}` adds to it,"
            " and --name makes a source of its own"
        )
    if followed is None and (name := find_same_homepage(store, source)) is not None:
        followed = store.ledger.source(name)
        note(f"source {name} already follows {source.homepage}; this run uses it")
    if followed is None:
        return source
    if not followed.enabled:
        raise ConfigError(f"source {followed.name} is paused; run `newsmill sources resume {followed.name}` first")
    return changes.apply_to(followed)


def find_same_homepage(store: AppContext, source: Source) -> str | None:
    """The name of another source with the same homepage."""
    others = (other for other in store.ledger.sources() if other.name != source.name)
    return next((other.name for other in others if have_same_homepage(other, source)), None)


def have_same_homepage(one: Source, other: Source) -> bool:
    """Whether both have a homepage, with the same key."""
    return None not in (one.homepage, other.homepage) and make_key(normalize(str(one.homepage))) == make_key(normalize(str(other.homepage)))
