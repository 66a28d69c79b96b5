"""Short first attempts and the CPU budget for full ones: pure, so tried with thousands of courses of events."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from newsmill.model import Page
from newsmill.sandbox.child import Limits
from workers import jobs
from workers.jobs import first_attempt_seconds
from workers.process import CPU_BUDGET_SHARE, MAX_CPU_BUDGET_SECONDS, CpuBudget
from workers.worker import PageWorker

FULL_LIMIT = 20.0


def page(size: int, *headers: tuple[str, str]) -> Page:
    return Page("https://a.example/1", "https://a.example/1", datetime(2026, 11, 25, tzinfo=UTC), 200, headers, b"x" * size)


def test_the_first_limit_grows_with_the_page_and_never_reaches_the_full_limit() -> None:
    limits = [first_attempt_seconds(page(size)) for size in (0, 30_000, 1 << 20, 5 << 20, 50 << 20)]
    assert limits == sorted(limits)
    assert limits[1] < 0.4
    assert limits[-1] < Limits().cpu
    assert first_attempt_seconds(page(30_000, ("content-encoding", "gzip"))) > first_attempt_seconds(page(30_000)), "it grows when unpacked"


@pytest.mark.parametrize("seed", range(20))
def test_deferred_pages_get_their_share_and_no_more_and_never_starve(seed: int) -> None:
    chance = random.Random(seed)
    budget, worked, spent, since = CpuBudget(), 0.0, 0.0, 0.0
    for _ in range(2000):
        elapsed = chance.uniform(0, 30)
        budget.earn(elapsed)
        worked, since = worked + elapsed, since + elapsed
        if budget.covers(FULL_LIMIT):
            seconds = chance.uniform(0, 31)  # an attempt takes longer than its CPU time where the machine is busy
            budget.spend(seconds)
            spent, since = spent + seconds, 0.0
        assert spent <= CPU_BUDGET_SHARE * worked + 31
        assert since <= (FULL_LIMIT + 31) / CPU_BUDGET_SHARE + 30, "a deferred page is tried after so much work"
        assert budget.seconds <= MAX_CPU_BUDGET_SECONDS


def worker(waiting: int, is_alone: bool, saved: float) -> SimpleNamespace:
    ledger = SimpleNamespace(deferred=SimpleNamespace(is_only_work_left=lambda now: is_alone))
    app = SimpleNamespace(ledger=ledger, now=lambda: datetime.now(UTC))
    context = SimpleNamespace(app=app, cpu_budget=CpuBudget(saved), sandbox=SimpleNamespace(limits=Limits()))
    return SimpleNamespace(page_queue=SimpleNamespace(depth=lambda: waiting), context=context, budget_updated_at=time.monotonic())


@pytest.mark.parametrize(
    ("waiting", "is_alone", "saved", "deferred", "tried", "left"),
    [
        (0, True, 0.0, "heavy", "heavy", 0.0),  # nothing else is left to do: it costs nothing
        (0, False, 0.0, "heavy", None, 0.0),  # the crawler is at work: an empty queue means little
        (0, False, 0.0, "light", "light", 0.0),  # a page that crashed its reader costs next to nothing
        (5, False, 0.0, "light", None, 0.0),
        (5, False, 19.9, "heavy", None, 19.9),
        (5, False, 30.0, "heavy", "heavy", 30.0),  # the budget pays for the time it took, here none
        (5, False, 30.0, None, None, 10.0),  # there is none, and not every job searches for one
    ],
)
def test_full_attempts_when_nothing_else_is_left_or_out_of_the_budget(
    monkeypatch: pytest.MonkeyPatch, waiting: int, is_alone: bool, saved: float, deferred: str | None, tried: str | None, left: float
) -> None:
    attempts: list[str | None] = []

    def retry_deferred_page(_: object, *, heavy: bool) -> bool:
        if deferred == "light" or (deferred == "heavy" and heavy):
            attempts.append(deferred)
            return True
        return False

    monkeypatch.setattr(jobs, "retry_deferred_page", retry_deferred_page)
    fake = worker(waiting, is_alone, saved)
    assert PageWorker.retry_one_deferred(fake) == (tried is not None)  # type: ignore[arg-type]
    assert attempts == ([tried] if tried else [])
    assert fake.context.cpu_budget.seconds == pytest.approx(left, abs=0.1)
