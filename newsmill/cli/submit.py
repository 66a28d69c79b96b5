"""`newsmill submit`: queue single URLs, or the pages of WARC files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.archive.warc_records import IsWanted
from newsmill.cli.add_input import describe_bad_url
from newsmill.cli.capture_options import read_period, read_urls
from newsmill.cli.completion import complete_sources
from newsmill.cli.inspection_report import describe_unreadable
from newsmill.cli.submit_warc import submit_warc
from newsmill.cli.terminal import format_count, note, note_next_step, now, print_json, printable
from newsmill.exceptions import ConfigError, UrlError
from newsmill.intake.capture_filters import describe_filters, make_filter
from newsmill.intake.url_submission import add_urls
from newsmill.intake.warc_files import WARC_SUFFIXES
from newsmill.model import Outcome, OutcomeRecord, SubmissionCounts
from newsmill.network.address_guard import Guard
from newsmill.network.submitted_urls import refusal_reason
from newsmill.site_inspection.processes import add_scheme
from newsmill.text.urls import normalize

MAX_NAMED_URLS = 10  # that are never fetched: a file that is not a list has thousands


def submit(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL…", help="URLs of pages, or with --warc files; - reads standard input.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file with one URL per line.")] = None,
    warc: Annotated[bool, typer.Option("--warc", help="The arguments are WARC or WACZ files: submit their pages.")] = False,
    source: Annotated[
        str | None, typer.Option("--source", autocompletion=complete_sources, help="Name of the source that the pages belong to.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Fetch known URLs again; with --warc: also take captures older than the stored page.")
    ] = False,
    in_place: Annotated[bool, typer.Option("--in-place", help="With --warc: leave the pages in these files, and read them there.")] = False,
    own: Annotated[
        bool, typer.Option("--own", help="With --warc: the files are yours, so their texts were first seen when they say.")
    ] = False,
    hosts: Annotated[list[str] | None, typer.Option("--host", help="With --warc: only this host and its subdomains; repeatable.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="With --warc: first day, month or year of capture.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="With --warc: last day, month or year of capture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Queue single URLs, or the pages of WARC files. A URL is fetched once. `newsmill trace URL` shows the result.

    --warc submits the pages of WARC files (gzip, zstd or plain) instead. Nothing is fetched: the capture time counts as the fetch time.
    Run the same command again to resume after Ctrl-C or a kill; stored pages are skipped.
    """
    if not urls and file is None:
        raise typer.BadParameter("give WARC files" if warc else "give URLs, --file, or - for standard input")
    if warc:
        if file is not None:
            raise typer.BadParameter("--file is a list of URLs; give WARC files as arguments")
        filters = describe_filters(source, hosts or (), since, until)
        is_wanted = read_filter(hosts or [], since, until)
        submit_warc(
            urls or [], source=source, again=again, own=own, in_place=in_place, filters=filters, is_wanted=is_wanted, as_json=as_json
        )
        return
    if in_place or own or hosts or since is not None or until is not None:
        raise typer.BadParameter("--in-place, --own, --host, --since and --until need --warc")
    if named := next((url for url in urls or [] if "://" not in url and url.lower().endswith(WARC_SUFFIXES)), None):
        raise ConfigError(f"{named} is a WARC file; submit its pages with --warc")
    submit_urls(urls or [], file, source=source, again=again, as_json=as_json)


def submit_urls(urls: Sequence[str], file: Path | None, *, source: str | None, again: bool, as_json: bool) -> None:
    """Queue the URLs and print their counts. Exits with 1 if none is a URL."""
    with context.open_context(configuration.load(), create=True) as store:
        if source is not None:
            context.find_source(store, source)
        guard = Guard(store.settings.allow_nets)
        found = name_refused(map(add_scheme, read_urls(urls, file)), guard)
        counts = add_urls(store.ledger, found, now=now(), source=source, again=again)
        if as_json:
            print_json(counts)
        else:
            note(describe_counts(counts, again=again))
            if counts.new or counts.known:
                note_next_step(store, "crawler", "fetch")
                note("`newsmill trace URL` shows the result")
    if counts.bad_url and not counts.new and not counts.known:
        raise typer.Exit(1)


def describe_counts(counts: SubmissionCounts, *, again: bool) -> str:
    """The counts in one line."""
    known = f", {counts.again:,} known queued again" if counts.again else ""
    if unchanged := counts.known - counts.again:
        known += f", {unchanged:,} {'known unchanged' if again else 'already known'}"
    invalid = f", {counts.bad_url:,} invalid" if counts.bad_url else ""
    return f"{format_count(counts.new, 'URL')} queued{known}{invalid}"


def read_filter(hosts: Sequence[str], since: str | None, until: str | None) -> IsWanted:
    """The filter of the options. Raises ConfigError."""
    return make_filter(hosts, *read_period(since, until))


def name_refused(urls: Iterable[str], guard: Guard) -> Iterator[str]:
    """All `urls`; the first ones that are never fetched are noted."""
    refused = 0
    for url in urls:
        if (problem := find_problem(url, guard)) is not None:
            refused += 1
            if refused <= MAX_NAMED_URLS:
                note(printable(problem))
        yield url


def find_problem(url: str, guard: Guard) -> str | None:
    """Why a URL is never fetched, in the sentence that `newsmill add` and `newsmill crawl` have for it."""
    try:
        normalize(url)
    except UrlError as error:
        return describe_bad_url(url, error)
    refusal = refusal_reason(url, guard)
    return None if refusal is None else describe_unreadable(url, OutcomeRecord(Outcome.SSRF_BLOCKED, refusal))
