"""`newsmill submit`: queue single URLs, or the pages of WARC files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.archive.captures import IsWanted
from newsmill.cli.backfill import parse_day
from newsmill.cli.terminal import (
    Interrupt,
    ProgressBar,
    complete_sources,
    format_count,
    format_size,
    format_time_left,
    note,
    note_next_step,
    now,
    print_json,
    printable,
    to_json,
)
from newsmill.exceptions import ConfigError
from newsmill.intake.submission import add_urls, is_url, make_enqueue
from newsmill.intake.warc_submission import WARC_SUFFIXES, WarcInput, WarcSubmission, make_filter, measure_warc, open_warc
from newsmill.model import WarcCounts
from newsmill.site_inspection import add_scheme
from newsmill.text.redaction import redact

MAX_NAMED_URLS = 10  # invalid ones, of which a file that is not a list has thousands
MAX_MESSAGES = 20  # about records of WARC files


def submit(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL…", help="URLs of pages, or with --warc files; - reads standard input.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file with one URL per line.")] = None,
    warc: Annotated[bool, typer.Option("--warc", help="The arguments are WARC or WACZ files: submit their pages.")] = False,
    source: Annotated[
        str | None, typer.Option("--source", autocompletion=complete_sources, help="Name of the source they belong to.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Fetch known URLs again; with --warc: also take captures older than the stored page.")
    ] = False,
    hosts: Annotated[list[str] | None, typer.Option("--host", help="With --warc: only this host and those below it; repeatable.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="With --warc: first day, month or year of capture.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="With --warc: last day, month or year of capture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Queue single URLs, or the pages of WARC files. A URL is fetched once. `newsmill trace URL` shows the result.

    --warc submits the pages of WARC files (gzip, zstd or plain) instead. Nothing is fetched; the time of capture is that of the fetch.
    The same command again continues after Ctrl-C or a kill, and skips what is stored.
    """
    if not urls and file is None:
        raise typer.BadParameter("give WARC files" if warc else "give URLs, --file, or - for standard input")
    if warc:
        if file is not None:
            raise typer.BadParameter("--file is a list of URLs; give WARC files as arguments")
        submit_warc(urls or [], source=source, again=again, is_wanted=read_filter(hosts or [], since, until), as_json=as_json)
        return
    if hosts or since is not None or until is not None:
        raise typer.BadParameter("--host, --since and --until need --warc")
    if named := next((url for url in urls or [] if "://" not in url and url.lower().endswith(WARC_SUFFIXES)), None):
        raise ConfigError(f"{named} is a WARC file; submit its pages with --warc")
    with context.open_context(configuration.load(), create=True) as store:
        if source is not None:
            context.find_source(store, source)
        found = name_invalid(map(add_scheme, read_urls(urls or [], file)))
        counts = add_urls(store.ledger, found, now=now(), source=source, again=again)
        if as_json:
            print_json(counts)
        else:
            known = f", {counts.again:,} known queued again" if counts.again else ""
            if unchanged := counts.known - counts.again:
                known += f", {unchanged:,} {'known unchanged' if again else 'already known'}"
            invalid = f", {counts.bad_url:,} invalid" if counts.bad_url else ""
            note(f"{format_count(counts.new, 'URL')} queued{known}{invalid}")
            if counts.new or counts.known:
                note_next_step(store, "crawler", "fetch")
                note("`newsmill trace URL` shows the result")
    if counts.bad_url and not counts.new and not counts.known:
        raise typer.Exit(1)


# ---- WARC files --------------------------------------------------------------------------------------------------------------


def submit_warc(names: Sequence[str], *, source: str | None, again: bool, is_wanted: IsWanted, as_json: bool) -> None:
    """Submit the pages of WARC files and report the counts. Exits with 1 if nothing could be read, 130 after Ctrl-C. Raises ConfigError."""
    settings = configuration.load()
    sizes = list(map(measure_warc, names))
    with context.open_context(settings, create=True) as store, Interrupt() as interrupt:
        if source is not None:
            context.find_source(store, source)
        with ProgressBar("WARC") as bar:
            messages, progress = LimitedMessages(bar.print_line), WarcProgress(bar, sizes, interrupt)
            run = WarcSubmission(
                store,
                make_enqueue(settings),
                source=source,
                again=again,
                is_wanted=is_wanted,
                warn=messages.add,
                sleep=progress.wait,
            )
            read_files(run, names, progress)
        counts = run.counts
        if messages.left_out:
            note(f"{format_count(messages.left_out, 'further message')} left out")
        if as_json:
            print_json(counts)
        else:
            note(describe_warc_counts(counts))
        if interrupt.is_set:
            note("stopped; the same command continues")
            raise typer.Exit(130)
        if counts.queued and not as_json:
            note_next_step(store, "worker", "extract the pages")
        if replace(counts, damaged=0) == WarcCounts():
            note("the files have no readable WARC record")
            raise typer.Exit(1)


def read_files(run: WarcSubmission, names: Sequence[str], progress: WarcProgress) -> None:
    """Read the files one after the other, up to their end or a stop."""
    for name in names:
        with open_warc(name) as inputs:
            for warc in inputs:
                for offset in run.read(warc):
                    progress.show(offset, run.counts.queued)
                    if progress.is_stopped:
                        run.finish()
                        return
                progress.end_file(warc)
    run.finish()


class WarcProgress:
    """Shows the bytes that were read, the pages that were queued, and the time left at the rate of the bytes so far."""

    def __init__(self, bar: ProgressBar, sizes: Sequence[int | None], interrupt: Interrupt) -> None:
        """`sizes`: bytes of the files; None for a pipe."""
        self._bar, self._interrupt, self._started_at = bar, interrupt, time.monotonic()
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._before = self._done = self._queued = 0  # bytes of the files before, bytes, pages

    @property
    def is_stopped(self) -> bool:
        return self._interrupt.is_set

    def show(self, offset: int, queued: int) -> None:
        """Show how far the current file is read."""
        self._done, self._queued = self._before + offset, queued
        left = "" if self._total is None else format_time_left(self._total - self._done, self._done, time.monotonic() - self._started_at)
        self._update(left)

    def end_file(self, warc: WarcInput) -> None:
        """Count the file as read."""
        self._before += warc.size or 0

    def wait(self, seconds: float) -> bool:
        """Wait for the workers. Returns whether a stop was requested."""
        self._update("waiting for the workers")
        return self._interrupt.wait(seconds)

    def _update(self, state: str) -> None:
        of_total = "" if self._total is None else f" of {format_size(self._total)}"
        parts = (f"{format_size(self._done)}{of_total}", f"{format_count(self._queued, 'page')} queued", state)
        self._bar.update(self._done, self._total, ", ".join(filter(None, parts)))


def describe_warc_counts(counts: WarcCounts) -> str:
    """The counts that are not 0, pages first."""
    words = {
        "known": "already known",
        "not_html": "not HTML",
        "http_error": "with another HTTP status than 200",
        "revisit": "revisit records",
        "filtered": "filtered out",
        "rejected": "rejected",
        "damaged": "damaged",
        "other": "other records",
    }
    values = to_json(counts)
    return ", ".join(
        [f"{format_count(counts.queued, 'page')} queued", *(f"{values[name]:,} {words[name]}" for name in words if values[name])]
    )


def read_filter(hosts: Sequence[str], since: str | None, until: str | None) -> IsWanted:
    """The filter of the options; days are in UTC, and the last one is included. Raises ConfigError."""
    first = None if since is None else parse_day(since)
    last = None if until is None else parse_day(until, is_last=True)
    if first is not None and last is not None and first > last:
        raise ConfigError(f"no day lies between {first} and {last}; --since is the older one")
    return make_filter(
        hosts,
        None if first is None else datetime.combine(first, clock_time(), UTC),
        None if last is None or last == date.max else datetime.combine(last + timedelta(days=1), clock_time(), UTC),
    )


class LimitedMessages:
    """Prints the first messages, and counts the others, of which a damaged file has thousands."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.left_out = 0
        self._shown = 0

    def add(self, message: str) -> None:
        """Print or count a message."""
        if self._shown == MAX_MESSAGES:
            self.left_out += 1
            return
        self._shown += 1
        self._show(printable(message))


# ---- URLs --------------------------------------------------------------------------------------------------------------------


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
