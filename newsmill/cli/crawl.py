"""`newsmill crawl`: one site or several, now, until nothing of them is left to do."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import Bar, eta, rate
from newsmill.cli.submit import source_of
from newsmill.cli.supervisor import Supervisor
from newsmill.cli.terminal import note, now, print_json, print_table, program
from newsmill.cli.totals import ended, open_pages, progress_of, stored, waiting_of
from newsmill.cli.up import children
from newsmill.context import AppContext, Disk, RedisServer
from newsmill.exceptions import NewsmillError
from newsmill.extraction.site_profile.apply_profile import is_learning_due
from newsmill.model import OUTCOMES, Outcome, Source, State
from newsmill.sandbox.child import restrict_proc_access
from newsmill.settings import Settings
from newsmill.storage.ledger import Progress

Processes = Annotated[int | None, typer.Option("--processes", "-p", min=1, max=256, help="Worker processes; one per core unless said.")]


def crawl(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="A site's homepage, such as https://www.example.org/; or several.")],
    processes: Processes = None,
    delay: Annotated[float | None, typer.Option("--delay", min=0, help="Seconds between two requests to the site; 1 unless said.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop when about this many new documents are stored.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the source; the host's name unless said.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Language tag for pages that do not say, such as de.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Fetch whole news sites once, and store their articles as clean documents.

    Finds feeds, sitemaps and sections, obeys robots.txt, and stops when nothing is left to do. Run it again to fetch only what is new.
    Exits with 1 when a site cannot be reached or no article is found on it.
    """
    settings = configuration.load()
    if name and len(urls) > 1:
        raise typer.BadParameter("a name is for one site; leave it out to crawl several", param_hint="--name")
    sources = [source_of(url, name=name, every=None, language=language, delay=delay) for url in urls]
    if not settings.user_agent and not settings.contact:
        note("tip: set NEWSMILL_CONTACT to your web or mail address, so that the site's owner can reach you")
    summary = run(settings, os.environ, *sources, processes=processes, limit=limit)
    report(summary, as_json)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one crawl did. Counts are of this run; `documents` is what the sources have now."""

    source: str  # with commas where there are several
    seconds: float
    pages: int  # that were new to the ledger
    documents: int
    outcomes: Mapping[str, int]
    later: int  # addresses that are tried again
    next_at: datetime | None
    interrupted: bool
    problem: str | None  # why a source has no document, in one sentence


def run(
    settings: Settings, environ: Mapping[str, str], *sources: Source, processes: int | None = None, limit: int | None = None
) -> Summary:
    """Start crawler, scheduler and workers, watch until the sources have nothing left that is due, stop them."""
    restrict_proc_access()
    began = time.monotonic()
    with context.open_context(settings, create=True) as store:
        disk = context.Disk(context.data_folder(settings))
        disk.check()
        for source in sources:
            store.ledger.put_source(source, now=now())
            store.ledger.read_listings(source.name, now=now())
        names = [source.name for source in sources]
        with context.open_redis(settings) as redis, Watch(store, names, redis, disk, limit, settings.learn) as watch:
            team = children(processes or settings.worker_processes)
            with Supervisor(team, environ=environ, logs=context.logs_folder(settings), say=watch.bar.say) as supervisor:
                interrupted = watch.until_idle(supervisor)
        return summarise(store, sources, watch.before, time.monotonic() - began, interrupted)


def summarise(store: AppContext, sources: Sequence[Source], before: Progress, seconds: float, interrupted: bool) -> Summary:
    """What came of the run, from the ledger's counters."""
    names = [source.name for source in sources]
    after = progress_of(store, names)
    waiting = waiting_of(store, names, now())
    outcomes = {str(name): count - before.outcomes.get(name, 0) for name, count in after.outcomes.items()}
    problems = [] if interrupted else [problem for source in sources if (problem := problem_of(store, source))]
    return Summary(
        source=", ".join(names),
        seconds=round(seconds, 1),
        pages=after.pages - before.pages,
        documents=stored(after),
        outcomes={name: count for name, count in sorted(outcomes.items(), key=lambda pair: -pair[1]) if count},
        later=waiting.later,
        next_at=waiting.next_at,
        interrupted=interrupted,
        problem="; ".join(problems) or None,
    )


def problem_of(store: AppContext, source: Source) -> str | None:
    """Why a source gave no document, in one sentence; None when it gave some."""
    progress = store.ledger.progress(source.name)
    if stored(progress):
        return None
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
        words = ("search WORDS", "show URL", "export -o documents.jsonl", "status")
        note(f"look at them: {', '.join(f'{program()} {word}' for word in words)}; keep up to date: {program()} up")


# Watches sources while they are crawled: says when nothing is left to do, shows how far they are, and gives up when nothing moves.

LOOK_EVERY = 0.25  # seconds between two looks at the ledger
LOOK_SHARE = 50  # a look may cost a fiftieth of one core: with many open rows it is not cheap
PATIENCE = timedelta(
    seconds=45
)  # work due within it is waited for (Retry-After, a crawl delay); what is due later is left for `newsmill up`
STILL = 3  # looks in a row that must find nothing to do: a row is owed by nobody only for the moment between two commits
LEARNING = 60.0  # seconds that site profiles, and the documents they have cleaned again, are waited for when all else is done
STALLED = 300.0  # seconds without any movement: above every deadline, lease and clamped delay there is
WINDOW = 30.0  # seconds over which the pace is measured; from the start on, the first minute would always look hopeless


class Watch:
    """Sources under way. `until_idle` returns when they are through, when `limit` is reached, or when somebody asked to stop."""

    def __init__(
        self, store: AppContext, sources: Sequence[str], redis: RedisServer, disk: Disk, limit: int | None, learn: bool = True
    ) -> None:
        self.store, self.sources, self.redis, self.disk, self.limit = store, sources, redis, disk, limit
        self.learn = learn  # wait for sites to be learnt
        self.before = progress_of(store, sources)
        self.bar = Bar(sources[0] if len(sources) == 1 else f"{len(sources)} sources")
        self._interrupt = Interrupt()
        self._pace = deque([(time.monotonic(), ended(self.before))])

    def __enter__(self) -> Watch:
        self._interrupt.__enter__()
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)
        self._interrupt.__exit__(kind, error, trace)

    def until_idle(self, supervisor: Supervisor) -> bool:
        """Look again and again; True when it ended because somebody asked to stop. Raises NewsmillError when nothing moves any more."""
        seen, moved, still, took = self.before, time.monotonic(), 0, 0.0
        while still < STILL and not self._enough(seen):
            if self._interrupt.wait(max(LOOK_EVERY, took * LOOK_SHARE)):
                self.bar.say("stopping; pages in hand are finished first …")
                return True
            looked = time.thread_time()
            supervisor.watch()
            self.redis.ensure()
            self.disk.check()
            progress = progress_of(self.store, self.sources)
            if progress != seen:
                seen, moved, still = progress, time.monotonic(), 0
            elif waiting_of(self.store, self.sources, now() + PATIENCE).soon == 0:
                still = 0 if time.monotonic() - moved < LEARNING and self._learns() else still + 1
            elif time.monotonic() - moved > STALLED:
                raise NewsmillError(f"nothing has moved for {STALLED / 60:.0f} minutes; {supervisor.complaint()}")
            self._show(progress)
            took = time.thread_time() - looked
        return False

    def _learns(self) -> bool:
        """Whether a site of these sources is to be learnt, or has documents that will be cleaned again."""
        profiles = self.store.profiles
        return self.learn and any(profiles.is_under_way(site, is_learning_due) for site in profiles.sites_of_sources(self.sources))

    def _enough(self, progress: Progress) -> bool:
        return self.limit is not None and stored(progress) - stored(self.before) >= self.limit

    def _show(self, progress: Progress) -> None:
        done = ended(progress)
        self._pace.append((time.monotonic(), done))
        while len(self._pace) > 2 and self._pace[-1][0] - self._pace[0][0] > WINDOW:
            self._pace.popleft()
        seconds, new = (last - first for first, last in zip(self._pace[0], self._pace[-1], strict=True))
        fetched = progress.pages - open_pages(progress)
        words = f"{progress.pages:,} pages found, {fetched:,} fetched, {stored(progress):,} stored, {rate(int(new), seconds)}"
        left = eta(progress.pages - done, int(new), seconds)
        self.bar.update(done, progress.pages or None, f"{words}, {left}" if left else words)
