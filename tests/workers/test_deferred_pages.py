"""Short first attempts, CPU budgets and turns: pure, so tried with thousands of courses of events."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from newsmill.model import ClaimedPage, Page
from newsmill.storage.ledger import WaitingOwner
from workers import cpu_budgets
from workers.cpu_budgets import (
    FREE_SECONDS,
    MAX_DEBT_SECONDS,
    MAX_SECONDS,
    MAX_UNKNOWN_BYTES,
    SHARE,
    UNKNOWN_SECONDS,
    CpuBudgets,
    get_owner,
)
from workers.deferred_reader import OLDEST_FIRST_TURNS, order_turns
from workers.jobs import select_affordable
from workers.page_reading import MAX_FIRST_ATTEMPT_SECONDS, first_attempt_seconds

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def page(size: int, *headers: tuple[str, str]) -> Page:
    return Page("https://a.example/1", "https://a.example/1", NOON, 200, headers, b"x" * size)


def claim(offset: int, owner: str) -> ClaimedPage:
    return ClaimedPage(offset, f"https://a.example/{offset}", owner, 1, "segment", offset, 0, NOON, NOON)


def test_the_first_limit_grows_with_the_page_and_stays_short() -> None:
    limits = [first_attempt_seconds(page(size)) for size in (0, 30_000, 1 << 20, 50 << 20)]
    assert limits == sorted(limits)
    assert limits[1] < 0.4
    assert limits[-1] == MAX_FIRST_ATTEMPT_SECONDS
    assert first_attempt_seconds(page(30_000, ("content-encoding", "gzip"))) > first_attempt_seconds(page(30_000)), "it grows when unpacked"


def test_a_page_counts_for_its_source_or_its_host() -> None:
    assert get_owner(claim(1, "paper")) == "paper"
    assert get_owner(ClaimedPage(1, "https://a.example:8080/1", None, 1, "segment", 1, 0, NOON, NOON)) == "a.example:8080"


def test_ordinary_pages_never_use_a_budget() -> None:
    clock = Clock()
    budgets = CpuBudgets(clock)
    for _ in range(100_000):
        budgets.charge("paper", FREE_SECONDS)
    assert budgets.balance("paper") == MAX_SECONDS
    assert not budgets.refuse_large_page("paper", 50 << 20), "it is known"


def test_a_large_page_of_an_unknown_owner_is_refused_once_and_charged() -> None:
    clock = Clock()
    budgets = CpuBudgets(clock)
    assert not budgets.refuse_large_page("other", MAX_UNKNOWN_BYTES)
    assert budgets.refuse_large_page("other", MAX_UNKNOWN_BYTES + 1)
    assert budgets.is_used_up("other")
    clock.seconds += UNKNOWN_SECONDS / SHARE
    assert not budgets.is_used_up("other")
    assert not budgets.refuse_large_page("other", MAX_UNKNOWN_BYTES + 1)


def test_a_page_that_was_ended_costs_a_known_owner_with_budget_only_its_time() -> None:
    budgets = CpuBudgets(Clock())
    budgets.charge_unfinished("unknown", 0.5)
    assert budgets.is_used_up("unknown")
    budgets.charge("paper", 0.02)
    budgets.charge_unfinished("paper", 0.5)
    assert budgets.balance("paper") == pytest.approx(MAX_SECONDS - 0.4)
    for _ in range(2):
        budgets.charge_unfinished("paper", 0.5)
    assert budgets.is_used_up("paper")
    assert budgets.balance("paper") < -UNKNOWN_SECONDS + MAX_SECONDS


def test_expensive_owners_share_one_budget_and_an_ordinary_page_makes_an_owner_free_of_it() -> None:
    """Otherwise first attempts at the pages of twenty hosts would take twenty shares, which is all of a worker's time."""
    clock = Clock()
    budgets = CpuBudgets(clock)
    hosts = [f"{number}.example" for number in range(20)]
    for host in hosts:
        budgets.charge_unfinished(host, 0.5)
    attempts = 0
    for _ in range(1000):
        clock.seconds += 1.0
        for host in hosts:
            if not budgets.is_used_up(host):
                budgets.charge_unfinished(host, 0.5)
                attempts += 1
    assert 1 <= attempts * 0.5 <= 1.1 * SHARE * 1000
    budgets.charge("paper", 0.3)
    assert not budgets.is_used_up("paper"), "one page that takes a little longer"
    budgets.charge("paper", 0.6)
    assert budgets.balance("paper") > 0
    assert budgets.is_used_up("paper")
    budgets.charge("paper", 0.05)
    assert not budgets.is_used_up("paper")


@pytest.mark.parametrize("seed", range(20))
def test_an_owner_gets_its_share_and_no_more_and_is_tried_again(seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    budgets = CpuBudgets(clock)
    spent, since, start = 0.0, 0.0, clock.seconds
    for _ in range(2000):
        step = chance.uniform(0, 10)
        clock.seconds, since = clock.seconds + step, since + step
        if not budgets.is_used_up("hostile"):
            seconds = chance.uniform(0.0, 2.0)
            budgets.charge("hostile", seconds)
            spent, since = spent + max(0.0, seconds - FREE_SECONDS), 0.0
        assert spent <= MAX_SECONDS + SHARE * (clock.seconds - start) + 2.0
        assert since <= MAX_DEBT_SECONDS / SHARE + 10
        assert -MAX_DEBT_SECONDS <= budgets.balance("hostile") <= MAX_SECONDS


def test_owners_are_forgotten_from_the_largest_balance_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_budgets, "MAX_OWNERS", 100)
    budgets = CpuBudgets(Clock())
    for number in range(101):
        budgets.charge(f"{number}.example", 1.0 + number / 100)
    assert budgets.balance("0.example") == MAX_SECONDS
    assert budgets.balance("100.example") < 0


def test_pages_of_small_budgets_come_last_and_without_budget_not_at_all() -> None:
    budgets = CpuBudgets(Clock())
    for owner, seconds in (("slow", 0.5), ("slow", 0.02), ("hostile", 9.0)):
        budgets.charge(owner, seconds)
    claims = [claim(n, owner) for n, owner in enumerate(["hostile", "slow", "paper", "hostile", "slow", "paper"])]
    deferred: list[ClaimedPage] = []
    order = []
    for chosen in select_affordable(budgets, claims, deferred):
        order.append(chosen.offset)
        if chosen.offset == 1:
            budgets.charge("slow", 9.0)
    assert order == [2, 5, 1]
    assert [one.offset for one in deferred] == [4, 0, 3], "the last page of `slow` too, because its first one took long"


def test_the_largest_budget_has_the_next_turn_and_the_oldest_page_each_fourth() -> None:
    waiting = [WaitingOwner("hostile", 1), WaitingOwner("slow", 2), WaitingOwner("paper", 3)]
    balances = {"hostile": -9.0, "slow": -1.0, "paper": 1.0}
    turns = [[owner.name for owner in order_turns(waiting, balances.__getitem__, turn)] for turn in (1, OLDEST_FIRST_TURNS)]
    assert turns == [["paper", "slow", "hostile"], ["hostile", "slow", "paper"]]


@pytest.mark.parametrize("seed", range(5))
def test_no_page_starves_while_new_hostile_hosts_keep_coming(seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    budgets = CpuBudgets(clock)
    budgets.charge("old", 20.0)
    first_id, waiting = 1, {"old": [0]}
    for turn in range(1, 200):
        for _ in range(3):
            waiting.setdefault(f"{chance.randrange(10_000)}.example", []).append(first_id)
            first_id += 1
        owners = [WaitingOwner(name, ids[0]) for name, ids in waiting.items()]
        chosen = order_turns(owners, budgets.balance, turn)[0]
        budgets.charge(chosen.name, 5.0)
        clock.seconds += 5.0
        waiting[chosen.name].pop(0)
        if not waiting[chosen.name]:
            del waiting[chosen.name]
    assert "old" not in waiting
    oldest = min(ids[0] for ids in waiting.values())
    assert oldest >= 199 // OLDEST_FIRST_TURNS - 1, "each fourth turn takes the oldest page"
