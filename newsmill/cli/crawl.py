"""`newsmill crawl`: one site, now, until nothing of it is left to do."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from newsmill.cli.stack import Store
    from newsmill.keep.ledger import Progress
    from newsmill.model import Source
    from newsmill.settings import Settings

Processes = Annotated[int | None, typer.Option("--processes", "-p", min=1, max=256, help="Worker processes; one per core unless said.")]


def crawl(
    url: Annotated[str, typer.Argument(metavar="URL", help="The site's homepage, such as https://www.example.org/.")],
    processes: Processes = None,
    delay: Annotated[float | None, typer.Option("--delay", min=0, help="Seconds between two requests to the site; 1 unless said.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop when about this many new documents are stored.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the source; the host's name unless said.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Language tag for pages that do not say, such as de.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Fetch a whole news site once, and store its articles as clean documents.

    Finds its feeds, sitemaps and sections, obeys robots.txt, and stops when nothing is left to do. Run it again to fetch only what is new.
    Exits with 1 when the site cannot be reached or no article is found.
    """
    from newsmill import settings as configuration
    from newsmill.cli.submit import source_of
    from newsmill.cli.terminal import note

    settings = configuration.load()
    source = source_of(url, name=name, every=None, language=language, delay=delay)
    if not settings.user_agent and not settings.contact:
        note("tip: set NEWSMILL_CONTACT to your web or mail address, so that the site's owner can reach you")
    summary = run(settings, os.environ, source, processes=processes, limit=limit)
    report(summary, as_json)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one crawl did. Counts are of this run; `documents` is what the source has now."""

    source: str
    seconds: float
    pages: int  # that were new to the ledger
    documents: int
    outcomes: Mapping[str, int]
    later: int  # addresses that are tried again
    next_at: datetime | None
    interrupted: bool
    problem: str | None  # why there is no document, in one sentence


def run(
    settings: Settings, environ: Mapping[str, str], source: Source, *, processes: int | None = None, limit: int | None = None
) -> Summary:
    """Start crawler, scheduler and workers, watch until the source has nothing left that is due, stop them."""
    from newsmill.cli import stack
    from newsmill.cli.run import children
    from newsmill.cli.supervisor import Supervisor
    from newsmill.cli.terminal import now
    from newsmill.cli.watch import Watch

    began = time.monotonic()
    with stack.open_store(settings, create=True) as store:
        store.ledger.put_source(source, now=now())
        store.ledger.read_listings(source.name, now=now())
        with stack.open_redis(settings) as redis, Watch(store, source.name, redis, limit) as watch:
            team = children(processes or settings.worker_processes)
            with Supervisor(team, environ=environ, logs=stack.logs_folder(settings), say=watch.bar.say) as supervisor:
                interrupted = watch.until_idle(supervisor)
        return summarise(store, source, watch.before, time.monotonic() - began, interrupted)


def summarise(store: Store, source: Source, before: Progress, seconds: float, interrupted: bool) -> Summary:
    """What came of the run, from the ledger's counters."""
    from newsmill.cli.terminal import now
    from newsmill.cli.watch import stored

    after = store.ledger.progress(source.name)
    waiting = store.ledger.waiting(source.name, until=now())
    outcomes = {str(name): count - before.outcomes.get(name, 0) for name, count in after.outcomes.items()}
    return Summary(
        source=source.name,
        seconds=round(seconds, 1),
        pages=after.pages - before.pages,
        documents=stored(after),
        outcomes={name: count for name, count in sorted(outcomes.items(), key=lambda pair: -pair[1]) if count},
        later=waiting.later,
        next_at=waiting.next_at,
        interrupted=interrupted,
        problem=None if stored(after) or interrupted else problem_of(store, source, after),
    )


def problem_of(store: Store, source: Source, progress: Progress) -> str:
    """Why a source gave no document, in one sentence."""
    from newsmill.model import OUTCOMES, State

    trace = store.ledger.trace(source.homepage) if source.homepage else None
    if trace is not None and trace.state is State.DUE and trace.attempts:
        return f"{source.homepage} could not be read: {trace.detail or 'no answer'}"
    if trace is not None and trace.outcome is not None and trace.state in (State.FAILED, State.DROPPED):
        detail = f" ({trace.detail})" if trace.detail else ""
        return f"{source.homepage} could not be read: {OUTCOMES[trace.outcome][1]}{detail}"
    if not progress.pages:
        return f"no article was found on {source.homepage}: neither feeds nor sitemaps nor links that look like articles"
    ends = ", ".join(f"{count} {outcome}" for outcome, count in progress.outcomes.items() if count)
    return f"none of the {progress.pages} pages found on {source.homepage} became a document ({ends or 'none has ended'})"


def report(summary: Summary, as_json: bool) -> None:
    """Print the summary; exits with 1 when there is no document, with 130 when it was stopped."""
    from newsmill.cli.terminal import note, print_json, print_table
    from newsmill.exceptions import NewsmillError
    from newsmill.model import OUTCOMES, Outcome

    if as_json:
        print_json(summary)
    elif summary.outcomes:
        print_table(
            ("pages", "outcome", "meaning"), [[count, name, OUTCOMES[Outcome(name)][1]] for name, count in summary.outcomes.items()]
        )
    if not as_json:
        note(f"{summary.source}: {summary.pages:,} new pages in {summary.seconds:.0f} s; {summary.documents:,} documents in all")
    if summary.later and summary.next_at:
        note(f"{summary.later:,} addresses will be tried again from {summary.next_at:%H:%M:%S} UTC: run `newsmill up`")
    if summary.interrupted:
        note("stopped before the end; nothing is lost: the same command goes on where it stopped")
        raise typer.Exit(130)
    if summary.problem:
        raise NewsmillError(summary.problem)
    if not as_json:
        note("look at them: newsmill search WORDS, newsmill show URL, newsmill export -o documents.jsonl; keep up to date: newsmill up")
