"""`newsmill submit`: queue single URLs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import complete_sources, format_count, note, now, print_json, printable
from newsmill.exceptions import ConfigError
from newsmill.redaction import redact
from newsmill.site_inspection import add_scheme
from newsmill.submission import add_urls, is_url

MAX_NAMED_URLS = 10  # invalid ones, of which a file that is not a list has thousands


def submit(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="URL…", help="URLs of pages; - reads them from standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file with one URL per line.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", autocompletion=complete_sources, help="Name of the source they belong to.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch known URLs again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Queue single URLs: each is fetched once and processed by the workers. `newsmill trace URL` shows the result."""
    if not urls and file is None:
        raise typer.BadParameter("give URLs, --file, or - for standard input")
    with context.open_context(configuration.load(), create=True) as store:
        if source is not None:
            context.find_source(store, source)
        found = name_invalid(map(add_scheme, read_urls(urls or [], file)))
        counts = add_urls(store.ledger, found, now=now(), source=source, again=again)
    if as_json:
        print_json(counts)
    else:
        known = f", {counts.known:,} {'known queued again' if again else 'already known'}" if counts.known else ""
        invalid = f", {counts.bad_url:,} invalid" if counts.bad_url else ""
        note(f"{format_count(counts.new, 'URL')} queued{known}{invalid}")
        if counts.new or counts.known:
            note("run `newsmill up` to fetch, if no crawler is running; `newsmill trace URL` shows the result")
    if counts.bad_url and not counts.new and not counts.known:
        raise typer.Exit(1)


def read_urls(urls: list[str], file: Path | None) -> Iterator[str]:
    """The URLs of the arguments, of standard input for "-", and of the file. Skips empty lines and # comments. Raises ConfigError."""
    for url in urls:
        yield from _read_lines(sys.stdin.buffer) if url == "-" else [url]
    if file is not None:
        try:
            with file.open("rb") as lines:
                yield from _read_lines(lines)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def name_invalid(urls: Iterable[str]) -> Iterator[str]:
    """All `urls`; the first invalid ones are noted."""
    invalid = 0
    for url in urls:
        if not is_url(url):
            invalid += 1
            if invalid <= MAX_NAMED_URLS:
                note(printable(f"not a URL that can be fetched: {redact(url[:200])!r}"))
        yield url


def _read_lines(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        text = line.decode("utf-8-sig", "replace").strip()
        if text and not text.startswith("#"):
            yield text
