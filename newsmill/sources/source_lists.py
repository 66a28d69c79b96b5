"""Lists of sources, which are read from and written for other programs: OPML, CSV and sources.toml.

OPML of feed readers names feeds (`xmlUrl`) in folders, perhaps with the site (`htmlUrl`). CSV of spreadsheets has one site on a line, with
or without a header. Lists may be hostile: they are read without entities, network and tree.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import quoteattr

from newsmill.discovery.body_kind import BodyKind, tell_body_kind
from newsmill.discovery.xml_scanner import EventKind, XmlScanner, read_attributes
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.sources.files import render_table
from newsmill.sources.table import NAME, to_table
from newsmill.text.charset import to_text

MAX_LIST_BYTES = 10_000_000
MAX_ENTRIES = 10_000  # of one list
COLUMNS = ("name", "homepage", "feeds", "sitemaps", "sections", "language", "enabled")  # of CSV; lists are separated by spaces

# Columns that name the site in the CSV of other programs.
_URL_COLUMNS = ("url", "homepage", "site", "website", "link", "feed", "rss", "xmlurl", "feed_url")
_LIST_COLUMNS = ("feeds", "sitemaps", "sections")
_LOOKS_LIKE_URL = re.compile(r"(?:https?://)?[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:[/?]\S*)?", re.I)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # that XML 1.0 does not allow


@dataclass(frozen=True, slots=True)
class ListedSite:
    """One entry of a list: a URL to inspect, a name if the list gives one, keys of sources.toml that the list gives, and a feed's page."""

    url: str
    name: str | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    homepage: str | None = None  # inspected where the feed fails


def read_list(body: bytes, location: str) -> tuple[ListedSite, ...]:
    """The entries of an OPML or CSV file, each URL once. Raises ConfigError if it is neither, or has no entry."""
    if len(body) > MAX_LIST_BYTES:
        raise ConfigError(f"{location}: {len(body):,} bytes; a list of sources has at most {MAX_LIST_BYTES:,}")
    kind = tell_body_kind(body)
    if kind is BodyKind.OPML:
        found: Iterable[ListedSite] = _read_opml(to_text(body, is_xml=True)[0])
    elif not body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        found = _read_csv(to_text(body, "text/csv")[0], location)
    else:
        raise ConfigError(f"{location}: expected OPML, CSV or TOML with sources, not {kind.value.upper()}")
    unique: dict[str, ListedSite] = {}
    for site in found:
        unique.setdefault(site.url, site)
        if len(unique) > MAX_ENTRIES:
            raise ConfigError(f"{location}: more than {MAX_ENTRIES:,} sources; split the list into several files")
    if not unique:
        raise ConfigError(f"{location}: no source in it; expected outlines with xmlUrl (OPML), or a column url, homepage or feeds (CSV)")
    return tuple(unique.values())


def _read_opml(text: str) -> Iterator[ListedSite]:
    for kind, name, attributes in XmlScanner().feed(text, last=True):
        if kind not in (EventKind.START, EventKind.CUT_START) or name.lower() != "outline":
            continue
        values = {key.lower(): value.strip() for key, value in read_attributes(attributes).items()}
        language = {"language": values["language"]} if _LANGUAGE.fullmatch(values.get("language", "")) else {}
        if feed := values.get("xmlurl"):
            yield ListedSite(feed, table={"feeds": [feed], "discover": False, **language}, homepage=values.get("htmlurl"))
        elif page := values.get("htmlurl") or (values.get("url") if values.get("type", "").lower() == "link" else None):
            yield ListedSite(page, table={"homepage": page, **language})


def _read_csv(text: str, location: str) -> Iterator[ListedSite]:
    lines = io.StringIO(text.lstrip("\ufeff"), newline=None).readlines()  # of Excel for Mac too, which ends lines with \r
    delimiter = max(",;\t", key=next(iter(lines), "").count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise ConfigError(f"{location}: not CSV ({error})") from None
    if not rows:
        return
    header = [cell.lower().replace(" ", "_") for cell in rows[0]]
    if not any(cell in (*_URL_COLUMNS, *_LIST_COLUMNS) for cell in header):
        for row in rows:  # no header: the first cell that is a URL
            if url := next((cell for cell in row if _LOOKS_LIKE_URL.fullmatch(cell)), None):
                yield ListedSite(url)
        return
    for row in rows[1:]:
        if (site := _read_row(dict(zip(header, row, strict=False)))) is not None:
            yield site


def _read_row(row: Mapping[str, str]) -> ListedSite | None:
    lists: dict[str, Any] = {key: row[key].split() for key in _LIST_COLUMNS if row.get(key)}
    homepage = row.get("homepage")
    first = next((row[key] for key in _URL_COLUMNS if row.get(key)), None) or next((urls[0] for urls in lists.values()), None)
    if first is None:
        return None
    table: dict[str, Any] = {} if homepage is None or not homepage else {"homepage": homepage}
    table |= lists
    if lists and "homepage" not in table:
        table["discover"] = False
    if row.get("language"):
        table["language"] = row["language"]
    if row.get("enabled", "").lower() in ("false", "no", "0"):
        table["enabled"] = False
    name = row.get("name", "")  # of a source, or a title such as "The Daily News"
    return ListedSite(first, name if NAME.fullmatch(name) else None, table)


class ListFormat(StrEnum):
    """A format of `write_list`."""

    OPML = "opml"
    CSV = "csv"
    TOML = "toml"


def write_list(list_format: ListFormat, sources: Sequence[Source], found_feeds: Mapping[str, Sequence[str]]) -> str:
    """The sources in one of the formats. `found_feeds`: as `write_opml`."""
    if list_format is ListFormat.OPML:
        return write_opml(sources, found_feeds)
    if list_format is ListFormat.CSV:
        return write_csv(sources)
    return "\n".join(render_table(source.name, make_table(source)) for source in sources)


def write_csv(sources: Sequence[Source]) -> str:
    """The sources with their settings that other programs understand: one line each, lists separated by spaces."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for source in sources:
        lists = [" ".join(getattr(source, key)) for key in _LIST_COLUMNS]
        writer.writerow([source.name, source.homepage or "", *lists, source.language or "", str(source.enabled).lower()])
    return out.getvalue()


def make_table(source: Source) -> dict[str, Any]:
    """The source as a table of sources.toml, without the keys that have their default."""
    default, table = to_table(Source(source.name)), to_table(source)
    changed = {key: _list_changes(value, default.get(key)) for key, value in table.items() if value != default.get(key)}
    return dict(sorted(changed.items(), key=lambda one: isinstance(one[1], dict)))  # TOML: the keys of a table before its subtables


def _list_changes(value: Any, default: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    return {key: one for key, one in value.items() if one != default.get(key)}


def write_opml(sources: Sequence[Source], found_feeds: Mapping[str, Sequence[str]]) -> str:
    """The feeds of the sources as OPML 2.0. `found_feeds`: the feeds that Newsmill found itself, by the name of the source."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<opml version="2.0">', "<head><title>Newsmill sources</title></head>", "<body>"]
    for source in sources:
        feeds = tuple(dict.fromkeys((*source.feeds, *found_feeds.get(source.name, ()))))
        site = f" htmlUrl={_quote(source.homepage)}" if source.homepage else ""
        title = f"text={_quote(source.name)} title={_quote(source.name)}"
        language = f" language={_quote(source.language)}" if source.language else ""
        lines += [f'<outline type="rss" {title} xmlUrl={_quote(feed)}{site}{language}/>' for feed in feeds]
        if not feeds and source.homepage:
            lines.append(f'<outline type="link" {title} url={_quote(source.homepage)}{language}/>')
    return "\n".join([*lines, "</body>", "</opml>", ""])


def _quote(text: str) -> str:
    return quoteattr(_CONTROL.sub("", text))
