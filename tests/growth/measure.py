"""How the work of a function grows with its input, by CPU time: two sizes compared, never one time alone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

ENOUGH = 0.06  # seconds of CPU time that the larger input takes; below, the fixed costs of a call hide how the rest grows
# Seconds for the larger input: caches, not the function, decide how much longer it takes than the smaller one. A text of 2.4 MB that is
# compared in 5 ms takes 13 times as long as a quarter of it beside programs that fill the cache.
NEGLIGIBLE = 0.02
TIMES = 4  # how many times larger it is
# N log N makes 4.8 of 4 at most, from N = 1,000 on, and N² makes 16. Between them: twice the one for a busy machine, half the other.
MOST = 8.5
ATTEMPTS = 8  # other programs slow some of them, growth all; without growth the first one is enough

Input = TypeVar("Input")


def growth(run: Callable[[Input], object], make: Callable[[int], Input], most: int) -> tuple[int, float]:
    """(n, how many times as long TIMES n takes as n), for an n that is long enough; TIMES n is at most `most`.

    Where that is more than MOST, a step may lie between the two (a second look, a fallback): the next larger pair then speaks.
    """
    gc.freeze()  # the collections between two calls need not look through what the process held before: four fifths of the CPU time
    try:
        n = max(1, most // 256)
        run(make(n))  # what is loaded at the first call is no part of the work
        seconds = _cpu(run, make(n * TIMES))
        while n * TIMES * 2 <= most and seconds < ENOUGH:
            needed = 1.2 * ENOUGH / max(seconds, ENOUGH / 64)  # times as large, if the work grows with the size
            n = min(max(n + 1, round(n * needed)), most // TIMES)
            seconds = _cpu(run, make(n * TIMES))
        times = _times(run, make, n, seconds)
        if times > MOST and n * TIMES**2 <= most:
            n *= TIMES
            times = _times(run, make, n, _cpu(run, make(n * TIMES)))
        return n, times
    finally:
        gc.unfreeze()


def _times(run: Callable[[Input], object], make: Callable[[int], Input], n: int, more: float) -> float:
    """How many times as long TIMES n takes as n; `more` is what it took once, in seconds."""
    small, less = make(n), float("inf")
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(attempt / 4)  # what slows the one size and not the other ends by then
            more = min(more, _cpu(run, make(n * TIMES)))
        less = min(less, _cpu(run, small))
        if more > MOST / 2 * less:  # near the limit, a cache that was cold at the first call counts
            less = min(less, _cpu(run, small))
        if more <= MOST * less or more <= NEGLIGIBLE:
            break
    if more <= NEGLIGIBLE:
        return float(TIMES)
    return more / max(less, 1e-6)


def _cpu(run: Callable[[Input], object], given: Input) -> float:
    """Seconds of CPU time of one call, without the garbage collector, whose work depends on what else the process holds."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        run(given)
        return time.process_time() - start
    finally:
        gc.enable()
