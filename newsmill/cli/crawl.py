"""`newsmill crawl`: fetch sites once, until no URL of them is due."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.add_input import AddOptions, make_source
from newsmill.cli.crawl_monitor import CrawlMonitor, Crew, count_unfetched
from newsmill.cli.crawl_source import Changes, choose_source, find_same_homepage
from newsmill.cli.inspection_report import SENTENCES, describe_unreadable
from newsmill.cli.processes.forked_process import ForkedProcess, fork_children
from newsmill.cli.processes.supervisor import Supervisor
from newsmill.cli.processes.up import check_scrapy_settings
from newsmill.cli.sources.state import describe_health, format_since
from newsmill.cli.terminal import format_count, note, now, print_json, print_table, program_name
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.health.causes import HealthState
from newsmill.model import OUTCOMES, Kind, Outcome, Source, describe_failure
from newsmill.network.contact import check_contact
from newsmill.sandbox.process_limits import restrict_proc_access
from newsmill.settings import Settings
from newsmill.site_inspection.findings import Obstacle
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.source_health import SourceHealthReader


@dataclass(frozen=True, slots=True)
class CrawlSummary:
    """The result of one crawl. Counts are of this run, except `documents`. They are the last figures that the progress showed."""

    source: str  # names, separated by commas
    seconds: float
    pages: int  # new to the ledger
    fetched: int
    new_documents: int
    documents: int  # that the sources have now
    outcomes: Mapping[str, int]
    later: int  # URLs that are retried later
    next_at: datetime | None
    interrupted: bool
    problem: str | None  # why a source has no document, in one sentence


def crawl(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Homepages, such as https://www.example.org/.")],
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", "-p", min=1, max=256, help="Worker processes to start; default: as many as are needed, at most one per core."
        ),
    ] = None,
    delay: Annotated[float | None, typer.Option("--delay", min=0, help="Seconds between two requests to a site; default: 1.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after this many new documents.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the source; default: the host, such as example-org.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Default language (BCP 47), such as de.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Crawl news sites once and store their articles.

    Finds feeds, sitemaps and sections, obeys robots.txt, and stops when no URL is due. A second run fetches only new pages.
    Exits with 1 if a site cannot be reached or has no article.
    """
    settings = configuration.load()
    if name and len(urls) > 1:
        raise typer.BadParameter("--name needs exactly one URL; omit it to crawl several sites", param_hint="--name")
    sources = [make_source(url, AddOptions(name, language=language, delay=delay)) for url in urls]
    if not settings.user_agent and not settings.contact:
        note("tip: set NEWSMILL_CONTACT to your URL or e-mail address, so that site owners can contact you")
    changes = Changes(delay, language)
    with fork_children(processes or settings.worker_processes) as forked:
        summary = run(settings, os.environ, *sources, processes=processes, limit=limit, changes=changes, forked=forked)
    report(summary, as_json)


def run(
    settings: Settings,
    environ: Mapping[str, str],
    *sources: Source,
    processes: int | None = None,
    limit: int | None = None,
    changes: Changes | None = None,
    forked: MutableMapping[str, ForkedProcess] | None = None,
    is_announced: bool = True,
) -> CrawlSummary:
    """Start crawler and workers, wait until no URL of the sources is due, and stop them.

    A source that exists is used as it is, with the `changes`; without them it is replaced.
    `forked`: children that wait to be the crawler and the first worker; those that are used are removed from it. `is_announced`: the title
    of the first document is printed.
    Raises ConfigError if a source of that name is paused or follows another homepage, and NewsmillError if the disk is full or nothing has
    moved for MAX_STALLED_SECONDS.
    """
    restrict_proc_access()
    check_scrapy_settings(settings)
    started_at = time.monotonic()
    with context.open_context(settings, create=True) as store:
        disk = context.Disk(context.data_folder(settings))
        disk.check()
        if changes is not None:
            sources = tuple(choose_source(store, source, changes) for source in sources)
        check_contact(settings, [url for source in sources for url in source.plan_urls])
        names = [source.name for source in sources]
        with removing_empty(store, [] if changes is None else names):
            for source in sources:
                store.ledger.sources.put(source, now=now())
                store.ledger.sources.make_listings_due(source.name, now=now())
            with (
                context.open_redis(settings) as redis,
                CrawlMonitor(store, names, redis, disk, limit, settings.learn, is_announced) as monitor,
            ):
                options = [] if limit is None else make_limit_options(store, names, limit)
                crew = Crew(store, redis, processes, options, forked)
                logs = context.logs_folder(settings)
                with (
                    crew.open_scheduler(),
                    Supervisor(crew.children, environ=environ, logs=logs, report=monitor.bar.print_line) as supervisor,
                ):
                    interrupted = monitor.wait_until_idle(supervisor, crew)
            summary = summarise(store, sources, monitor, time.monotonic() - started_at, interrupted)
            for name, health in SourceHealthReader(store.engine).read_all(sources, now=now()).items():
                if health.state is HealthState.SLOW:
                    note(f"{name} is {describe_health(health, now())}")
        left = store.ledger.progress.count_waiting(*(source.name for source in sources), until=now())
        return replace(summary, later=left.later, next_at=left.next_at)


@contextmanager
def removing_empty(store: AppContext, names: Sequence[str]) -> Iterator[None]:
    """Remove those of the sources that did not exist before the block if no article was found, so that another URL can have their name."""
    new = [name for name in names if store.ledger.sources.get(name) is None]
    try:
        yield
    finally:
        for name in new:
            if not store.ledger.progress.count(name).pages:
                SourceChanges(store.engine).remove(name, now=now())
                note(f"source {name} is not kept, because no article was found")


def make_limit_options(store: AppContext, sources: Sequence[str], limit: int) -> list[str]:
    """The options that stop the crawler at `limit` new documents of the sources."""
    target = store.documents.count_of(sources) + limit
    return ["--documents", str(target), *(option for source in sources for option in ("--of", source))]


def summarise(store: AppContext, sources: Sequence[Source], monitor: CrawlMonitor, seconds: float, interrupted: bool) -> CrawlSummary:
    """The last figures of the monitor, and the outcomes since its start."""
    names = [source.name for source in sources]
    progress, initial = store.ledger.progress.count(*names), monitor.initial
    figures = monitor.update_figures(progress)
    waiting = store.ledger.progress.count_waiting(*names, until=now())
    outcomes = {str(name): count - initial.outcomes.get(name, 0) for name, count in progress.outcomes.items()}
    problems = [] if interrupted else [problem for source in sources if (problem := describe_problem(store, source))]
    return CrawlSummary(
        source=", ".join(names),
        seconds=round(seconds, 1),
        pages=figures.pages,
        fetched=figures.fetched,
        new_documents=figures.documents,
        documents=store.documents.count_of(names),
        outcomes={name: count for name, count in sorted(outcomes.items(), key=lambda pair: -pair[1]) if count},
        later=waiting.later,
        next_at=waiting.next_at,
        interrupted=interrupted,
        problem="; ".join(problems) or None,
    )


def describe_problem(store: AppContext, source: Source) -> str | None:
    """Why a source has no document, in one sentence; None if it has one."""
    if store.documents.count(source.name):
        return None
    progress = store.ledger.progress.count(source.name)
    health = SourceHealthReader(store.engine).read(source, now=now())
    if health.failure is not None and health.url is not None and health.kind is not Kind.PAGE:
        return describe_unreadable(health.url, health.failure)
    if not progress.pages and (other := find_same_homepage(store, source)):
        return f"{source.homepage} belongs to source {other}; crawl it with --name {other}"
    if not progress.pages:
        return f"{source.homepage}: {SENTENCES[Obstacle.NO_LINKS]}"
    counts = [f"{count:,} {outcome}" for outcome, count in progress.outcomes.items() if count]
    if unfetched := count_unfetched(progress):
        counts.append(f"{unfetched:,} not fetched")
    found = format_count(progress.pages, "page")
    text = f"{source.homepage} has no documents: Newsmill found {found} there ({', '.join(counts) or 'none is finished'})"
    if health.seen is not None and health.seen.pages is not None:
        text += f"; most frequent failure: {describe_failure(health.seen.pages.failure)}"
    if unfetched and (next_at := store.ledger.progress.count_waiting(source.name, until=now()).next_at) is not None:
        text += f"; the next attempt is at {format_since(next_at, now())}"
    return text


def report(summary: CrawlSummary, as_json: bool) -> None:
    """Print the summary. Exits with 130 if the crawl was interrupted; raises NewsmillError if a source has no document."""
    if as_json:
        print_json(summary)
    else:
        if summary.outcomes:
            rows = [[count, name, OUTCOMES[Outcome(name)].meaning] for name, count in summary.outcomes.items()]
            print_table(("pages", "outcome", "meaning"), rows)
        found = [format_count(summary.pages, "new page"), format_count(summary.new_documents, "new document")]
        later = ""
        if summary.next_at is not None:
            due = "" if summary.next_at <= now() else f", the next is due at {summary.next_at:%H:%M:%S} UTC"
            later = f"; {format_count(summary.later, 'URL')} left{due}"
        total = format_count(summary.documents, "document")
        note(f"{summary.source}: {', '.join(found)} in {summary.seconds:.0f} s; {total} in total{later}")
    if summary.interrupted:
        note("interrupted; run the same command again to resume")
        raise typer.Exit(130)
    if summary.problem:
        raise NewsmillError(summary.problem)
    if not as_json:
        commands = ("search WORDS", "show URL", "export -o documents.jsonl", "status")
        note(f"next: {', '.join(f'{program_name()} {command}' for command in commands)}; to retry and keep up to date: {program_name()} up")
