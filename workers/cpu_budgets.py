"""The CPU budget of each source: what its pages may take beyond ordinary pages before they are deferred unread.

A page of an ordinary site takes 0.025 s, so ordinary sources never use their budget, however many pages they have. The budgets belong to
one worker. Pages without a source count under their host.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from newsmill.model import ClaimedPage
from newsmill.text.urls import get_host

FREE_SECONDS = 0.1  # of each page, not charged; on a busy machine an ordinary page takes 0.07 s
SHARE = 0.05  # of a worker's time, which refills the budget of each source
MAX_SECONDS = 1.0  # of an unused budget
MAX_DEBT_SECONDS = 15.0  # paid back in five minutes, after which a source that changed is tried again
MAX_UNKNOWN_BYTES = 1 << 20  # of HTML: a larger page of an unknown owner is deferred unread; 1 of 100 pages is larger
# Charged for such a page: it is 100 s until the owner's pages are tried again beside others.
UNKNOWN_SECONDS = 5.0
ALL = ""  # the name of the budget that all expensive pages share: twenty hosts must not have twenty shares
MAX_OWNERS = 10_000  # that are remembered, 1 MB; above it, those with the largest balances are forgotten


def get_owner(claim: ClaimedPage) -> str:
    """Who pays for a page: its source, or its host."""
    return claim.source or get_host(claim.url)


@dataclass
class CpuBudgets:
    """The budgets by owner; usable from several threads. `clock`: seconds that only go forward."""

    clock: Callable[[], float] = time.monotonic
    _balances: dict[str, tuple[float, float]] = field(default_factory=dict)  # seconds left, and when that was
    _expensive: set[str] = field(default_factory=set)  # owners that used half of their budget, and had no page of FREE_SECONDS since
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def charge(self, owner: str, seconds: float) -> None:
        """Subtract what one page took. A page of at most FREE_SECONDS costs nothing, and makes its owner known as an ordinary one."""
        if seconds <= FREE_SECONDS:
            self._expensive.discard(owner)
            if owner in self._balances:
                return
        with self._lock:
            self._subtract(owner, max(0.0, seconds - FREE_SECONDS))
            if seconds > FREE_SECONDS:
                self._subtract(ALL, seconds - FREE_SECONDS)
                if self._balances[owner][0] < MAX_SECONDS / 2:
                    self._expensive.add(owner)

    def charge_unfinished(self, owner: str, seconds: float) -> None:
        """Subtract what a page took before it was ended by a limit of `seconds`.

        An owner with a budget left that was known before pays only that, so one slow page does not delay the others of its site. Any other
        owner pays at least UNKNOWN_SECONDS, because nobody knows how long the page takes.
        """
        is_trusted = owner in self._balances and self.balance(owner) > seconds
        self.charge(owner, seconds if is_trusted else max(seconds, UNKNOWN_SECONDS))

    def refuse_large_page(self, owner: str, size: int) -> bool:
        """Whether a page of `size` bytes must be deferred because none of its owner was read yet; it is charged then."""
        if size <= MAX_UNKNOWN_BYTES or owner in self._balances:
            return False
        self.charge(owner, UNKNOWN_SECONDS)
        return True

    def is_used_up(self, owner: str) -> bool:
        """Whether the owner's pages must be deferred: its budget is used up, or it is expensive and the budget of all such owners is."""
        return self.balance(owner) <= 0 or (owner in self._expensive and self.balance(ALL) <= 0)

    def balance(self, owner: str) -> float:
        """The seconds that are left; negative for a debt."""
        with self._lock:
            return self._balance(owner, self.clock())

    def _subtract(self, owner: str, seconds: float) -> None:
        now = self.clock()
        self._balances[owner] = max(-MAX_DEBT_SECONDS, self._balance(owner, now) - seconds), now
        if len(self._balances) > MAX_OWNERS:
            kept = sorted(self._balances, key=lambda name: self._balance(name, now))[: MAX_OWNERS // 2]
            self._balances = {name: self._balances[name] for name in kept}
            self._expensive &= self._balances.keys()

    def _balance(self, owner: str, now: float) -> float:
        seconds, since = self._balances.get(owner, (MAX_SECONDS, now))
        return min(MAX_SECONDS, seconds + SHARE * (now - since))
