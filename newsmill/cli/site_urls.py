"""URLs of sites as people type them, and the sources that commands make of them."""

from __future__ import annotations

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


def find_same_homepage(store: AppContext, source: Source) -> str | None:
    """The name of another source with the same homepage."""
    others = (other for other in store.ledger.sources() if other.name != source.name)
    return next((other.name for other in others if have_same_homepage(other, source)), None)


def have_same_homepage(one: Source, other: Source) -> bool:
    """Whether both have a homepage, with the same key."""
    return None not in (one.homepage, other.homepage) and make_key(normalize(str(one.homepage))) == make_key(normalize(str(other.homepage)))
