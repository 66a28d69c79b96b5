"""The inspection of sites in processes of their own, so that a command or a web server without Scrapy can ask for it.

`crawler.inspection.inspection_process` is the program of these processes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from pydantic import ValidationError

from newsmill.exceptions import NewsmillError
from newsmill.model import Outcome, OutcomeRecord
from newsmill.site_inspection.findings import FINDING_JSON, FINDING_PREFIX, FoundListing, Obstacle, SiteInspection, load_inspection
from newsmill.text import urls

MAX_INSPECTION_SECONDS = 90.0  # in the process; what was found until then is the result
MAX_PROCESS_SECONDS = 240.0  # the process with its start, and with three articles that take their whole time
NO_HTTPS = (Outcome.TLS, Outcome.REFUSED, Outcome.CONNECTION, Outcome.TIMEOUT)  # of a server that may know only http
MAX_PARALLEL = 4  # inspections of a list at once; processes of about 150 MB
MAX_AHEAD = 16  # inspections of a list that are begun before their turn

_WITHOUT_SCHEME = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)")


def add_scheme(url: str) -> str:
    """`example.org/a` → `https://example.org/a`; anything else is unchanged."""
    return f"https://{url}" if _WITHOUT_SCHEME.match(url) else url


OnStart = Callable[["subprocess.Popen[bytes]"], object]
OnFinding = Callable[[FoundListing], object]


class InspectionProcesses:
    """The processes of running inspections, so that another thread can end them. Used by several threads."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._is_ended = False
        self._lock = threading.Lock()

    def keep(self, process: subprocess.Popen[bytes]) -> None:
        """Keep a process that has started; after `end` it is ended at once."""
        with self._lock:
            self._running = [one for one in self._running if one.poll() is None] + [process]
            is_ended = self._is_ended
        if is_ended:
            process.kill()

    def end(self) -> None:
        """End all processes, also those that start later."""
        with self._lock:
            self._is_ended, running = True, self._running
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()


def inspect_site(
    url: str, *, delay: float | None = None, on_start: OnStart | None = None, on_finding: OnFinding | None = None
) -> SiteInspection:
    """Inspect the site of a homepage, section, feed or sitemap, in a process of its own. Takes 5 to 30 s, and at most MAX_PROCESS_SECONDS.

    If `url` has no scheme and https fails, http is tried. `delay`: seconds between two requests to a host (default 1).
    `on_start` is called with each process, so that another thread may kill it, and `on_finding` with each page and listing that is fetched.
    Raises NewsmillError if no process can do it, ConfigError for wrong settings, UrlError for a text that is not an http(s) URL.
    """
    normal = urls.normalize(add_scheme(url))
    inspection = _run(normal, delay, on_start, on_finding)
    failure = inspection.failure
    if normal.startswith("https:") and not url.startswith("https:") and failure is not None and failure.outcome in NO_HTTPS:
        plain = _run(urls.normalize(f"http://{url}"), delay, on_start, on_finding)
        return plain if plain.failure is None else inspection
    return inspection


def _run(url: str, delay: float | None, on_start: OnStart | None, on_finding: OnFinding | None) -> SiteInspection:
    command = [sys.executable, "-P", "-m", "crawler.inspection.inspection_process", url, *([] if delay is None else [str(delay)])]
    result, started_at = b"", time.monotonic()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        if on_start is not None:
            on_start(process)
        deadline = threading.Timer(MAX_PROCESS_SECONDS, process.kill)
        deadline.start()
        try:
            for line in process.stdout:
                if not line.startswith(FINDING_PREFIX):
                    result += line
                elif on_finding is not None:
                    on_finding(FINDING_JSON.validate_json(line.removeprefix(FINDING_PREFIX)))
        finally:
            deadline.cancel()
            process.kill()  # after Ctrl-C; a process that has ended is left alone
        errors.seek(0)
        err = errors.read()
    if not result and time.monotonic() - started_at >= MAX_PROCESS_SECONDS:
        failure = OutcomeRecord(Outcome.TIMEOUT, f"no result within {MAX_PROCESS_SECONDS:.0f} s")
        return SiteInspection(url, obstacle=Obstacle.UNREACHABLE, failure=failure)
    try:
        return load_inspection(result)
    except ValidationError:
        lines = err.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise NewsmillError(f"{url} cannot be inspected: {lines[-1].removeprefix('scrapy: ')}") from None


def inspect_sites(
    sites: Sequence[str], *, delay: float | None = None, on_finding: OnFinding | None = None
) -> Generator[Future[SiteInspection]]:
    """Inspect the sites of a list, MAX_PARALLEL at once, and never two URLs of one host, so that its delay is kept.

    Yields one future for each URL, in the order of `sites`; its result is that of `inspect_site`, and raises the same errors.
    Closing the generator ends the processes that run.
    """
    processes = InspectionProcesses()
    hosts: dict[str, threading.Lock] = {}
    slots = threading.Semaphore(MAX_PARALLEL)

    def inspect(site: str) -> SiteInspection:
        with hosts.setdefault(_find_host(site), threading.Lock()), slots:
            return inspect_site(site, delay=delay, on_start=processes.keep, on_finding=on_finding)

    executor = ThreadPoolExecutor(MAX_AHEAD, thread_name_prefix="inspection")
    begun: deque[Future[SiteInspection]] = deque()
    try:
        for site in sites:
            begun.append(executor.submit(inspect, site))
            if len(begun) == MAX_AHEAD:
                yield begun.popleft()
        while begun:
            yield begun.popleft()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        processes.end()
        executor.shutdown()


def _find_host(site: str) -> str:
    normal = urls.find_normal(add_scheme(site))
    return site if normal is None else urls.get_host(normal)  # the inspection says that it is not a URL
