"""The end of a crawl: waits until no URL of its sources is due."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

from newsmill.cli.interrupt import Interrupt
from newsmill.cli.processes.forked_process import ForkedProcess
from newsmill.cli.processes.services import workers
from newsmill.cli.processes.supervisor import Child, Supervisor
from newsmill.cli.progress import ProgressBar, format_rate, format_time_left
from newsmill.cli.terminal import format_count, now, printable
from newsmill.context import AppContext, Disk, RedisServer
from newsmill.exceptions import NewsmillError
from newsmill.extraction.site_profile.profile_trust import is_learning_due
from newsmill.model import State
from newsmill.storage.ledger import Progress
from newsmill.storage.statistics import Statistics

SECONDS_PER_CHECK = 1.0  # between two checks of the ledger, which take 5 ms of CPU, unless a check is slow
SHORT_SECONDS_PER_CHECK = 0.25  # in a young crawl, and while nothing is due
YOUNG_SECONDS = 10.0  # in which a small crawl ends
MAX_CHECK_SHARE = 1 / 50  # of one core that checks may use: with many open rows a check is slow
MAX_WAIT = timedelta(seconds=45)  # URLs due within it are waited for (Retry-After, Crawl-delay); later ones are left to `newsmill up`
IDLE_CHECKS = 3  # consecutive checks without due URLs that end the crawl: between two commits a URL is in no queue for a moment
MAX_LEARNING_SECONDS = 60.0  # to wait for site profiles, and for documents that they change, after the last URL
MAX_STALLED_SECONDS = 300.0  # without progress; longer than every deadline, lease and delay
MAX_WAITING_SEGMENTS = 3  # that wait for a worker; then another worker starts
SECONDS_PER_WORKER = 5.0  # before another worker starts: pages that wait for a moment need none
RATE_WINDOW_SECONDS = 30.0  # over which the rate is measured; the slow first minute would spoil an average of the whole run


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

    def watch(self, supervisor: Supervisor, *, is_ending: bool = False) -> None:
        """Make a pass of the scheduler, and add a worker, if it is time. At the end, each step of learning waits for a pass."""
        clock = time.monotonic()
        if clock >= self._pass_at or is_ending:
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
        self,
        store: AppContext,
        sources: Sequence[str],
        redis: RedisServer,
        disk: Disk,
        limit: int | None,
        learn: bool = True,
        is_announced: bool = True,
    ) -> None:
        self.store, self.sources, self.redis, self.disk, self.limit = store, sources, redis, disk, limit
        self.learn, self.is_announced = learn, is_announced
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
        """Return False when no URL is due or `limit` is reached, True on an interrupt. Raises NewsmillError if nothing moves."""
        last, changed_at, idle_checks, check_seconds, is_ending = self.initial, time.monotonic(), 0, 0.0, False
        while idle_checks < IDLE_CHECKS and (self.limit is None or self.figures.documents < self.limit):
            # A person waits for the first document and for the end.
            is_young = not self._has_shown_document or time.monotonic() - self._started_at < YOUNG_SECONDS
            is_short = is_ending or is_young
            pause = SHORT_SECONDS_PER_CHECK if is_short else max(SECONDS_PER_CHECK, check_seconds / MAX_CHECK_SHARE)
            if self._interrupt.wait(pause):
                self.bar.print_line("stopping after the pages in progress …")
                return True
            supervisor.watch()
            crew.watch(supervisor, is_ending=is_ending)
            self.redis.ensure()
            self.disk.check()
            check_started = time.thread_time()  # the passes of the scheduler above have an interval of their own
            progress = self.store.ledger.progress.count(*self.sources)
            is_ending = self.store.ledger.progress.count_waiting(*self.sources, until=now() + MAX_WAIT).soon == 0
            if progress != last:
                last, changed_at, idle_checks = progress, time.monotonic(), 0
            elif is_ending:
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

    def _count_documents(self) -> int:
        return self.store.documents.count_of(self.sources)

    def _show_first_document(self) -> None:
        """Print the title of the first new document, so that a long crawl shows at once that it works."""
        if self._has_shown_document or not self.figures.documents:
            return
        self._has_shown_document = True
        for source in self.sources if self.is_announced else ():
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
        text = f"{counts}, {rate}" if figures.fetched else describe_listings(progress)
        time_left = format_time_left(progress.pages - finished, int(recent), seconds)
        before = count_finished(self.initial)  # by earlier runs
        self.bar.update(max(0, finished - before), max(0, progress.pages - before) or None, f"{text}, {time_left}" if time_left else text)


def describe_listings(progress: Progress) -> str:
    """The progress before the first page is fetched."""
    total = sum(progress.listings.values())
    return f"reading listings, {total - progress.pending_listings:,} of {total:,} read"


def _count_fetched(progress: Progress) -> int:
    return progress.pages - count_unfetched(progress)


def count_finished(progress: Progress) -> int:
    """Pages with an outcome."""
    return sum(progress.outcomes.values())


def count_unfetched(progress: Progress) -> int:
    """Pages that are not fetched yet."""
    return progress.states.get(State.DUE, 0) + progress.states.get(State.FETCHING, 0)
