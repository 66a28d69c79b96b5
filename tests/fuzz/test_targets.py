"""Each target runs its seeds and some changed ones. A nightly run of CI hunts in a process for each, with NEWSMILL_FUZZ_SECONDS."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random

import pytest

from fuzz.driver import Result, run
from fuzz.mutator import mutate
from fuzz.targets import TARGETS

SECONDS = float(os.environ.get("NEWSMILL_FUZZ_SECONDS", 0))
CHANGED = 20  # inputs besides the seeds


@pytest.fixture(scope="module")
def hunts() -> Iterator[dict[str, Future[Result]]]:
    """The runs of all targets, started together; none without NEWSMILL_FUZZ_SECONDS."""
    with ThreadPoolExecutor(len(TARGETS)) as threads:
        yield {name: threads.submit(run, name, SECONDS) for name in TARGETS if SECONDS}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str, hunts: dict[str, Future[Result]]) -> None:
    """The empty input, every seed, earlier findings among them, and changed seeds: nothing is found, and a hunt tries more than those."""
    target, random = TARGETS[name], Random(name)
    seeds = target.corpus(name)
    assert len(seeds) >= 2
    if SECONDS:
        result = hunts[name].result()
        assert result.progress.tried > len(seeds) + 1
        assert not result.findings, "\n\n".join(f"{finding.data[:2000]!r}\n{finding.what}" for finding in result.findings)
        return
    for data in (b"", *seeds, *(mutate(random, seeds, target.tokens, target.most) for _ in range(CHANGED))):
        started = time.process_time()
        target.run(data[: target.most])
        assert time.process_time() - started < target.cpu, data[:2000]
