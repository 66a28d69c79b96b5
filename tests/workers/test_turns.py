"""Short turns and the credit for long ones: pure, so tried with thousands of courses of events."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from newsmill.model import Page
from newsmill.sandbox.parent import Limits
from workers import jobs
from workers.jobs import CPU_BUDGET_SHARE, MAX_CPU_BUDGET_SECONDS, CpuBudget, first_turn_seconds, utc_now
from workers.worker import PageWorker

TURN = 20.0


def page(size: int, *headers: tuple[str, str]) -> Page:
    return Page("https://a.example/1", "https://a.example/1", datetime(2026, 11, 25, tzinfo=UTC), 200, headers, b"x" * size)


def test_a_first_turn_grows_with_the_page_and_never_reaches_the_limit() -> None:
    turns = [first_turn_seconds(page(size)) for size in (0, 30_000, 1 << 20, 5 << 20, 50 << 20)]
    assert turns == sorted(turns)
    assert turns[1] < 0.4
    assert turns[-1] < Limits().cpu
    assert first_turn_seconds(page(30_000, ("content-encoding", "gzip"))) > first_turn_seconds(page(30_000)), "it grows when it is unpacked"


@pytest.mark.parametrize("seed", range(20))
def test_long_turns_take_their_share_and_no_more_and_never_starve(seed: int) -> None:
    chance = random.Random(seed)
    credit, worked, given, since = CpuBudget(), 0.0, 0.0, 0.0
    for _ in range(2000):
        took = chance.uniform(0, 30)
        credit.earn(took)
        worked, since = worked + took, since + took
        if credit.suffices(TURN):
            turn = chance.uniform(0, 31)  # a turn takes longer than its CPU time where the machine is busy
            credit.pay(turn)
            given, since = given + turn, 0.0
        assert given <= CPU_BUDGET_SHARE * worked + 31
        assert since <= (TURN + 31) / CPU_BUDGET_SHARE + 30, "whoever waits gets a turn after so much work"
        assert credit.saved <= MAX_CPU_BUDGET_SECONDS


def worker(waiting: int, alone: bool, saved: float) -> SimpleNamespace:
    aside = SimpleNamespace(is_only_work_left=lambda now: alone)
    context = SimpleNamespace(
        credit=CpuBudget(saved), sandbox=SimpleNamespace(limits=Limits()), ledger=SimpleNamespace(deferred=aside), clock=utc_now
    )
    return SimpleNamespace(pages=SimpleNamespace(depth=lambda: waiting), context=context, looked_at=time.monotonic())


@pytest.mark.parametrize(
    ("waiting", "alone", "saved", "there", "given", "left"),
    [
        (0, True, 0.0, "heavy", "heavy", 0.0),  # nothing else is left to do: it costs nothing
        (0, False, 0.0, "heavy", None, 0.0),  # the crawler is at work: an empty queue means little
        (0, False, 0.0, "light", "light", 0.0),  # but one that killed its reader costs next to nothing
        (5, False, 0.0, "light", None, 0.0),
        (5, False, 19.9, "heavy", None, 19.9),
        (5, False, 30.0, "heavy", "heavy", 30.0),  # paid by what it took, here nothing
        (5, False, 30.0, None, None, 10.0),  # none there: it is not looked for again before each job
    ],
)
def test_whole_turns_when_nothing_else_is_left_or_out_of_what_was_saved(
    monkeypatch: pytest.MonkeyPatch, waiting: int, alone: bool, saved: float, there: str | None, given: str | None, left: float
) -> None:
    taken: list[str | None] = []

    def take_aside(_: object, *, heavy: bool) -> bool:
        if there == "light" or (there == "heavy" and heavy):
            taken.append(there)
            return True
        return False

    monkeypatch.setattr(jobs, "retry_deferred_page", take_aside)
    fake = worker(waiting, alone, saved)
    assert PageWorker.retry_one_deferred(fake) == (given is not None)  # type: ignore[arg-type]
    assert taken == ([given] if given else [])
    assert fake.context.credit.saved == pytest.approx(left, abs=0.1)
