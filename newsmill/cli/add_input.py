"""The input of `newsmill add`: sites, a list of sites, or a table of sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newsmill.cli.terminal import note
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Source
from newsmill.settings import Settings
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.source_lists import MAX_LIST_BYTES, ListedSite, read_list
from newsmill.sources.table import make_name, parse_source
from newsmill.text.redaction import redact


@dataclass(frozen=True, slots=True)
class AddOptions:
    """The options of the command."""

    name: str | None = None
    every: str | None = None
    freshness: str | None = None
    language: str | None = None
    delay: float | None = None
    check: bool = True
    yes: bool = False
    as_json: bool = False

    def complete(self, table: dict[str, Any]) -> dict[str, Any]:
        """The table with the options that were given."""
        given: dict[str, Any] = {"every": self.every, "freshness": self.freshness, "language": self.language}
        table = table | {key: value for key, value in given.items() if value is not None}
        return table if self.delay is None else table | {"politeness": {"delay": float(self.delay)}}


def is_toml(file: Path) -> bool:
    """Whether a file holds tables of sources: by its name, or by its first lines. Raises ConfigError if it cannot be read."""
    if file.suffix.lower() == ".toml":
        return True
    return any(line.strip().startswith(b"[sources") for line in read_file(file).splitlines()[:200])


def read_file(file: Path) -> bytes:
    """The content of a list of sources. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def read_sites(urls: Sequence[str], file: Path | None, options: AddOptions) -> tuple[ListedSite, ...]:
    """The sites of the arguments or of the file. Raises ConfigError for a URL or an option that is invalid, before anything is added."""
    if file is not None:
        return read_list(read_file(file), str(file))
    for url in urls:
        make_source(url, options)
    return tuple(ListedSite(url) for url in dict.fromkeys(urls))


def make_source(url: str, options: AddOptions) -> Source:
    """The source for a homepage. Raises ConfigError, as for a table of sources.toml."""
    homepage = add_scheme(url)
    return parse_source(options.name or get_default_name(homepage), options.complete({"homepage": homepage}), url)


def get_default_name(url: str) -> str:
    """The default name of a source with this homepage. Raises ConfigError if it is not a URL."""
    try:
        return make_name(url)
    except UrlError as error:
        raise ConfigError(describe_bad_url(url, error)) from None


def describe_bad_url(url: str, error: UrlError) -> str:
    """The message about a text that is not a URL."""
    reason = "" if "URL: " in str(error) else f": {error}"
    return f"{redact(url[:200])!r} is not a URL{reason}; expected a URL such as https://www.example.org/"


def check_spiders(settings: Settings, sources: Iterable[Source]) -> None:
    """Raise ConfigError for an argument that a source's spider does not take. A spider that only the crawlers may have is noted."""
    for source in sources:
        # Scrapy costs 0.5 s of CPU, which sources without a spider need not spend
        from crawler.spider_runs.source_spider import check_arguments, load_spider

        try:
            spider_class = load_spider(settings, source)
        except ConfigError as error:
            note(f"{error}; the machine of each crawler needs it")
            continue
        check_arguments(spider_class, source)
