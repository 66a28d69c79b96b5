"""The inspections that run, each in a process. Their results are kept for a while."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from newsmill.site_inspection.findings import FoundListing, SiteInspection
from newsmill.site_inspection.processes import InspectionProcesses, inspect_site
from newsmill.text.sentences import Sentence

# A thread waits for each process, beside those that serve requests, so a slow site delays no other page.
MAX_RUNNING = 2  # processes of about 150 MB
MAX_WAITING = 6  # running ones included
MAX_KEPT = 30  # results
KEPT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class SubmittedInspection:
    """An inspection, running or done. `values` are the fields of the form; `user` may see the result. `findings` grow while it runs."""

    user: str
    values: Mapping[str, str]
    started_at: float  # time.monotonic()
    future: Future[SiteInspection]
    findings: Sequence[FoundListing] = ()


class Inspections:
    """Runs and keeps inspections for the pages and the API. Used by several threads."""

    def __init__(self, inspect: Callable[..., SiteInspection] = inspect_site) -> None:
        self._inspect = inspect
        self._executor = ThreadPoolExecutor(MAX_RUNNING, thread_name_prefix="inspection")
        self._kept: dict[str, SubmittedInspection] = {}
        self._processes = InspectionProcesses()
        self._lock = threading.Lock()

    def start(self, url: str, user: str, values: Mapping[str, str]) -> str:
        """Start an inspection; returns its id. Raises HTTPException 503 while too many run or wait."""
        with self._lock:
            self._forget_old()
            if sum(not one.future.done() for one in self._kept.values()) >= MAX_WAITING:
                raise HTTPException(503, Sentence("other sites are being inspected: try again in a minute"), headers={"Retry-After": "60"})
            key = secrets.token_hex(12)
            findings: list[FoundListing] = []
            future = self._executor.submit(self._inspect, url, on_start=self._processes.keep, on_finding=findings.append)
            self._kept[key] = SubmittedInspection(user, values, time.monotonic(), future, findings)
        return key

    def get(self, key: str, user: str) -> SubmittedInspection | None:
        """The inspection that this user started; None for an unknown or forgotten one."""
        found = self._kept.get(key)
        return found if found is not None and found.user == user else None

    async def run(self, url: str, user: str) -> SiteInspection:
        """Inspect and wait for the result. Raises HTTPException 503 as `start`, NewsmillError if no process can do it."""
        found = self._kept[self.start(url, user, {})]
        return await asyncio.wrap_future(found.future)

    def close(self) -> None:
        """End the running processes, and the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._processes.end()
        self._executor.shutdown()

    def _forget_old(self) -> None:
        limit = time.monotonic() - KEPT_SECONDS
        done = [key for key, one in self._kept.items() if one.future.done()]
        for key in done:
            if self._kept[key].started_at < limit or len(self._kept) >= MAX_KEPT:
                del self._kept[key]
