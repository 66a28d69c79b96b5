"""`newsmill crawl`: fetch sites once, until no URL of them is due; `newsmill demo`: the same for the newspaper that is part of Newsmill."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.add import get_default_name, make_source
from newsmill.cli.processes import check_scrapy_settings, workers
from newsmill.cli.sources import format_since
from newsmill.cli.supervisor import Child, ForkedProcess, Supervisor, fork_children
from newsmill.cli.terminal import (
    Interrupt,
    ProgressBar,
    format_count,
    format_rate,
    format_time_left,
    note,
    now,
    print_json,
    print_table,
    printable,
    program_name,
)
from newsmill.context import AppContext, Disk, RedisServer
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.extraction.site_profile.apply_profile import is_learning_due
from newsmill.model import OUTCOMES, Kind, Outcome, Politeness, Source, State, describe_failure
from newsmill.sandbox.child import restrict_proc_access
from newsmill.settings import Settings
from newsmill.site_inspection import is_homepage
from newsmill.sources.additions import list_hosts
from newsmill.storage.ledger import Progress
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.source_health import SourceHealthReader
from newsmill.storage.statistics import Statistics
from newsmill.text.urls import make_key, normalize

if TYPE_CHECKING:
    from newsmill.demo import Newspaper

SECONDS_PER_CHECK = 1.0  # between two checks of the ledger, which take 5 ms of CPU, unless a check is slow
SHORT_SECONDS_PER_CHECK = 0.25  # until the first document, and while nothing is due
MAX_CHECK_SHARE = 1 / 50  # of one core that checks may use: with many open rows a check is slow
MAX_WAIT = timedelta(seconds=45)  # URLs due within it are waited for (Retry-After, Crawl-delay); later ones are left to `newsmill up`
IDLE_CHECKS = 3  # consecutive checks without due URLs that end the crawl: between two commits a URL is in no queue for a moment
MAX_LEARNING_SECONDS = 60.0  # to wait for site profiles, and for documents that they change, after the last URL
MAX_STALLED_SECONDS = 300.0  # without progress; longer than every deadline, lease and delay
MAX_WAITING_SEGMENTS = 3  # that wait for a worker; then another worker starts
SECONDS_PER_WORKER = 5.0  # before another worker starts: pages that wait for a moment need none
RATE_WINDOW_SECONDS = 30.0  # over which the rate is measured; the slow first minute would spoil an average of the whole run


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
    sources = [make_source(url, name=name, every=None, language=language, delay=delay) for url in urls]
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
) -> CrawlSummary:
    """Start crawler and workers, wait until no URL of the sources is due, and stop them.

    A source that exists is used as it is, with the `changes`; without them it is replaced.
    `forked`: children that wait to be the crawler and the first worker; those that are used are removed from it.
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
        is_new = {source.name: store.ledger.sources.get(source.name) is None for source in sources}
        for source in sources:
            store.ledger.sources.put(source, now=now())
            store.ledger.sources.make_listings_due(source.name, now=now())
        names = [source.name for source in sources]
        with context.open_redis(settings) as redis, CrawlMonitor(store, names, redis, disk, limit, settings.learn) as monitor:
            options = [] if limit is None else make_limit_options(store, names, limit)
            crew = Crew(store, redis, processes, options, forked)
            logs = context.logs_folder(settings)
            with crew.open_scheduler(), Supervisor(crew.children, environ=environ, logs=logs, report=monitor.bar.print_line) as supervisor:
                interrupted = monitor.wait_until_idle(supervisor, crew)
        summary = summarise(store, sources, monitor, time.monotonic() - started_at, interrupted)
        for source in sources:
            if changes is not None and is_new[source.name] and has_never_answered(store, source):
                SourceChanges(store.engine).remove(source.name, now=now())
                note(f"{source.name} is not kept, because nothing could be read there")
        left = store.ledger.progress.count_waiting(*(source.name for source in sources), until=now())
        return replace(summary, later=left.later, next_at=left.next_at)


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


NO_ANSWER = frozenset({Outcome.DNS, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.TLS, Outcome.SSRF_BLOCKED})


def has_never_answered(store: AppContext, source: Source) -> bool:
    """Whether the host of a new source gave no answer at all, or may not be asked: its name or port may be misspelt."""
    trace = None if source.homepage is None else store.ledger.traces.get(source.homepage)
    if trace is None or trace.fetched_at is not None or trace.source != source.name or store.ledger.progress.count(source.name).pages:
        return False
    return (trace.outcome or trace.failure) in NO_ANSWER


def describe_problem(store: AppContext, source: Source) -> str | None:
    """Why a source has no document, in one sentence; None if it has one."""
    if store.documents.count(source.name):
        return None
    progress = store.ledger.progress.count(source.name)
    health = SourceHealthReader(store.engine).read(source, now=now())
    if health.failure is not None and health.since is not None and health.kind is not Kind.PAGE:
        return f"{source.homepage} cannot be used: {describe_failure(health.failure)} since {format_since(health.since, now())}"
    trace = store.ledger.traces.get(source.homepage) if source.homepage else None
    if trace is not None and trace.state is State.DUE and trace.attempts:
        return f"{source.homepage} cannot be fetched: {trace.detail or 'no response'}"
    if trace is not None and trace.outcome is not None and trace.state in (State.FAILED, State.DROPPED):
        detail = f" ({trace.detail})" if trace.detail else ""
        return f"{source.homepage} cannot be used: {OUTCOMES[trace.outcome].meaning}{detail}"
    if not progress.pages and (other := find_same_homepage(store, source)):
        return f"{source.homepage} belongs to source {other}; crawl it with --name {other}, or remove {source.name}"
    if not progress.pages:
        return f"{source.homepage} has no articles: Newsmill found no feed, no sitemap and no link to an article"
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


@dataclass(frozen=True, slots=True)
class CrawlFigures:
    """What a crawl has done so far. A page that is retried or extracted again was still fetched and stored: figures only rise."""

    pages: int = 0
    fetched: int = 0
    documents: int = 0

    def rise_to(self, other: CrawlFigures) -> CrawlFigures:
        """The larger of each figure."""
        return CrawlFigures(max(self.pages, other.pages), max(self.fetched, other.fetched), max(self.documents, other.documents))


class Crew:
    """The processes of a crawl: a crawler, and as many workers as the user wants. This process is the scheduler.

    If the user gives no number, one worker starts with the crawler, and another one when segments wait although all have started: a
    polite crawl of one site keeps one of them busy for 3 % of the time.
    """

    def __init__(
        self,
        store: AppContext,
        redis: RedisServer,
        processes: int | None,
        crawler_options: Sequence[str],
        forked: MutableMapping[str, ForkedProcess] | None,
    ) -> None:
        self.store, self.redis, self.forked = store, redis, {} if forked is None else forked
        self.max_workers = processes or store.settings.worker_processes
        self.children = [Child("crawler", ("crawler", *crawler_options)), *workers(processes or 1)]
        for child in self.children:
            child.forked = self.forked.pop(child.name, None)
        self._pass_at = self._add_at = 0.0
        self._run_pass: Callable[[], None] = lambda: None
        self._pass_seconds = 0.0

    @contextmanager
    def open_scheduler(self) -> Iterator[None]:
        """Inside the block, `watch` makes the scheduler's passes."""
        # RQ costs 0.2 s of CPU, which the other commands that import this module need not spend
        from workers import scheduler

        with scheduler.open_scheduler(self.store, self.redis) as opened:
            self._run_pass = lambda: scheduler.try_pass(opened, self.store.now())
            self._pass_seconds = scheduler.EMBEDDED_PASS_SECONDS
            yield
            scheduler.try_grouping(opened)

    def watch(self, supervisor: Supervisor) -> None:
        """Make a pass of the scheduler, and add a worker, if it is time."""
        clock = time.monotonic()
        if clock >= self._pass_at:
            self._run_pass()
            self._pass_at = time.monotonic() + self._pass_seconds
        count = sum(child.name.startswith("worker") for child in supervisor.children)
        if count < self.max_workers and clock >= self._add_at:
            waiting = self.store.ledger.segments.list_pending(now=self.store.now(), limit=MAX_WAITING_SEGMENTS)
            if len(waiting) == MAX_WAITING_SEGMENTS and self._add_at:
                child = workers(count + 1)[-1]
                child.forked = self.forked.pop(child.name, None)
                supervisor.children.append(child)
            self._add_at = clock + SECONDS_PER_WORKER


class CrawlMonitor:
    """Watches the crawl of the sources, and shows its progress; a context manager."""

    def __init__(
        self, store: AppContext, sources: Sequence[str], redis: RedisServer, disk: Disk, limit: int | None, learn: bool = True
    ) -> None:
        self.store, self.sources, self.redis, self.disk, self.limit = store, sources, redis, disk, limit
        self.learn = learn
        self.initial = store.ledger.progress.count(*sources)
        self.initial_documents = self._documents = self._count_documents()
        self._outcomes = self.initial.outcomes  # when `_documents` were counted
        self.figures = CrawlFigures()
        self._has_shown_document = False
        self._started_at = time.monotonic()
        self.bar = ProgressBar(sources[0] if len(sources) == 1 else format_count(len(sources), "source"))
        self._interrupt = Interrupt()
        self._samples = deque([(time.monotonic(), count_finished(self.initial))])

    def __enter__(self) -> CrawlMonitor:
        self._interrupt.__enter__()
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)
        self._interrupt.__exit__(kind, error, trace)

    def wait_until_idle(self, supervisor: Supervisor, crew: Crew) -> bool:
        """Return False when no URL is due or `limit` is reached, True on an interrupt.

        Raises NewsmillError if nothing has moved for MAX_STALLED_SECONDS.
        """
        last, changed_at, idle_checks, check_seconds = self.initial, time.monotonic(), 0, 0.0
        while idle_checks < IDLE_CHECKS and not self._is_limit_reached():
            # A crawl without a document is small yet, and shows its first one at once.
            is_short = idle_checks or not self._has_shown_document
            pause = SHORT_SECONDS_PER_CHECK if is_short else max(SECONDS_PER_CHECK, check_seconds / MAX_CHECK_SHARE)
            if self._interrupt.wait(pause):
                self.bar.print_line("stopping after the pages in progress …")
                return True
            supervisor.watch()
            crew.watch(supervisor)
            self.redis.ensure()
            self.disk.check()
            check_started = time.thread_time()  # the passes of the scheduler above have an interval of their own
            progress = self.store.ledger.progress.count(*self.sources)
            if progress != last:
                last, changed_at, idle_checks = progress, time.monotonic(), 0
            elif self.store.ledger.progress.count_waiting(*self.sources, until=now() + MAX_WAIT).soon == 0:
                is_learning = time.monotonic() - changed_at < MAX_LEARNING_SECONDS and self._has_profiles_under_way()
                idle_checks = 0 if is_learning else idle_checks + 1
            elif time.monotonic() - changed_at > MAX_STALLED_SECONDS:
                raise NewsmillError(f"No progress for {MAX_STALLED_SECONDS / 60:.0f} minutes; {supervisor.last_log_line()}")
            self._show(progress)
            check_seconds = time.thread_time() - check_started
        return False

    def _has_profiles_under_way(self) -> bool:
        """Whether the profile of a site is due, or documents wait for a changed profile."""
        profiles = self.store.profiles
        return self.learn and any(profiles.is_under_way(site, is_learning_due) for site in profiles.sites_of_sources(self.sources))

    def _is_limit_reached(self) -> bool:
        return self.limit is not None and self.figures.documents >= self.limit

    def _count_documents(self) -> int:
        return self.store.documents.count_of(self.sources)

    def _show_first_document(self) -> None:
        """Print the title of the first new document, so that a long crawl shows at once that it works."""
        if self._has_shown_document or not self.figures.documents:
            return
        self._has_shown_document = True
        for source in self.sources:
            for head in Statistics(self.store.engine).newest(1, source):
                seconds = time.monotonic() - self._started_at
                self.bar.print_line(printable(f"first document after {seconds:.1f} s: {head.title or head.url}"))
                return

    def update_figures(self, progress: Progress) -> CrawlFigures:
        """The figures of this run; none is smaller than at the last call."""
        fetched = _count_fetched(progress) - _count_fetched(self.initial)
        if progress.outcomes != self._outcomes:  # documents come with the outcomes of their pages
            self._outcomes, self._documents = progress.outcomes, self._count_documents()
        new = self._documents - self.initial_documents
        self.figures = self.figures.rise_to(CrawlFigures(progress.pages - self.initial.pages, fetched, new))
        return self.figures

    def _show(self, progress: Progress) -> None:
        finished = count_finished(progress)
        self._samples.append((time.monotonic(), finished))
        while len(self._samples) > 2 and self._samples[-1][0] - self._samples[0][0] > RATE_WINDOW_SECONDS:
            self._samples.popleft()
        seconds, recent = (last - first for first, last in zip(self._samples[0], self._samples[-1], strict=True))
        rate = format_rate(int(recent), seconds)
        figures = self.update_figures(progress)
        self._show_first_document()
        counts = (
            f"{format_count(figures.pages, 'new page')}, {figures.fetched:,} fetched, {format_count(figures.documents, 'new document')}"
        )
        text = f"{counts}, {rate}"
        time_left = format_time_left(progress.pages - finished, int(recent), seconds)
        before = count_finished(self.initial)  # by earlier runs
        self.bar.update(max(0, finished - before), max(0, progress.pages - before) or None, f"{text}, {time_left}" if time_left else text)


def _count_fetched(progress: Progress) -> int:
    return progress.pages - count_unfetched(progress)


# ---- the source --------------------------------------------------------------------------------------------------------------


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
    followed = store.ledger.sources.get(source.name)
    if owner := find_owner(store, source):
        raise ConfigError(
            f"{source.homepage} is already followed by {owner.name}: run `newsmill crawl {owner.homepage}`, or `newsmill add"
            f" {source.homepage}` to add this section; --name makes a source of its own"
        )
    if followed is not None and not have_same_homepage(followed, source):
        raise ConfigError(
            f"source {followed.name} exists and follows {followed.homepage or 'no homepage'}; `newsmill add {source.homepage}` adds to it,"
            " and --name makes a source of its own"
        )
    if followed is None and (name := find_same_homepage(store, source)) is not None:
        followed = store.ledger.sources.get(name)
        note(f"source {name} already follows {source.homepage}; this run uses it")
    if followed is None:
        return source
    if not followed.enabled:
        raise ConfigError(f"source {followed.name} is paused; run `newsmill sources resume {followed.name}` first")
    return changes.apply_to(followed)


def find_owner(store: AppContext, source: Source) -> Source | None:
    """The source that follows the homepage of the host of a section; None for a homepage, and for a name that the user chose."""
    if source.homepage is None or is_homepage(source.homepage) or source.name != get_default_name(source.homepage):
        return None
    hosts, others = list_hosts(source), store.ledger.sources.list_all()
    if any(have_same_homepage(other, source) for other in others):
        return None
    return next((other for other in others if other.homepage is not None and hosts & list_hosts(other)), None)


def find_same_homepage(store: AppContext, source: Source) -> str | None:
    """The name of another source with the same homepage."""
    others = (other for other in store.ledger.sources.list_all() if other.name != source.name)
    return next((other.name for other in others if have_same_homepage(other, source)), None)


def have_same_homepage(one: Source, other: Source) -> bool:
    """Whether both have a homepage, with the same key."""
    return None not in (one.homepage, other.homepage) and make_key(normalize(str(one.homepage))) == make_key(normalize(str(other.homepage)))


# ---- parts of a progress -------------------------------------------------------------------------------------------------------


def count_finished(progress: Progress) -> int:
    """Pages with an outcome."""
    return sum(progress.outcomes.values())


def count_unfetched(progress: Progress) -> int:
    """Pages that are not fetched yet."""
    return progress.states.get(State.DUE, 0) + progress.states.get(State.FETCHING, 0)


# ---- demo --------------------------------------------------------------------------------------------------------------------

DEMO_SOURCE = "demo"
DEMO_PORT = 8707  # fixed, so that a second demo has the same URLs and documents
MAX_EXAMPLE_CHARACTERS = 700  # of the example
REAL_STORE_VARIABLES = ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_CONFIG")  # ignored, to keep the demo out of a real store


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the newspaper; 0 selects a free one.")] = DEMO_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Try Newsmill: crawl a small newspaper that this machine serves. Takes a few seconds and needs no network.

    Data is stored in ./newsmill-data (or the folder of NEWSMILL_DATA), so that you can try all other commands on it.
    """
    environ = make_demo_environment(os.environ)
    settings = configuration.load(environ)
    with fork_children(1) as forked, serve_newspaper(port) as running:
        note(f"serving a small newspaper at {running.url}/, and crawling it into {context.data_folder(settings)}")
        source = Source(DEMO_SOURCE, homepage=f"{running.url}/", politeness=Politeness(delay=0.0))
        forget_other_demo(settings, source)
        summary = run(settings, environ, source, processes=1, forked=forked)
    with context.open_context(settings) as store:
        store.ledger.sources.set_enabled(DEMO_SOURCE, False, now=now())  # its server has stopped
        if not as_json:
            print_demo_result(store)
    report(summary, as_json)


@contextmanager
def serve_newspaper(port: int) -> Iterator[Newspaper]:
    """The running newspaper. Raises NewsmillError if the port is not available."""
    # the server costs 0.01 s of CPU, which `newsmill crawl` need not spend
    from newsmill import demo as newspaper

    with ExitStack() as exit_stack:
        try:
            running = exit_stack.enter_context(newspaper.serve(port, with_crawl_delay=False))
        except OSError as error:
            raise NewsmillError(f"port {port} is not available ({error.strerror}); run `newsmill demo --port 0`") from None
        yield running


def forget_other_demo(settings: Settings, source: Source) -> None:
    """Remove the source of a demo on another port, whose server has stopped, with its pending URLs. Its documents stay."""
    if not context.has_store(settings):
        return
    with context.open_context(settings) as store:
        earlier = store.ledger.sources.get(source.name)
        if earlier is not None and earlier.homepage != source.homepage:
            SourceChanges(store.engine).remove(source.name, now=now(), keep_documents=True)


def make_demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without REAL_STORE_VARIABLES, and with permission to fetch from this machine."""
    return {name: value for name, value in environ.items() if name not in REAL_STORE_VARIABLES} | {"NEWSMILL_ALLOW_NETS": "127.0.0.1/32"}


def print_demo_result(store: AppContext) -> None:
    """A table of the documents, newest first, and the beginning of the newest."""
    # the commands about documents cost 0.02 s of CPU, which `newsmill crawl` need not spend
    from newsmill.cli.documents import print_documents

    documents = list(store.documents.iterate(source=DEMO_SOURCE))
    documents.sort(key=lambda document: str(document.published_at or ""), reverse=True)
    print_documents(documents)
    if documents:
        newest = documents[0]
        text = printable(newest.text)
        shown = text[:MAX_EXAMPLE_CHARACTERS] + (" …" if len(text) > MAX_EXAMPLE_CHARACTERS else "")
        typer.echo(f"{printable(newest.title or '')}\n\n{shown}\n")
        typer.echo(f"whole text: {program_name()} show {newest.url}\nexplanation: {program_name()} explain {newest.url}")
        typer.echo(f"in a browser: {program_name()} web")
