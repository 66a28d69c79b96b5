"""A hunt for each target, from its seeds, side by side. A nightly run of CI hunts longer, with NEWSMILL_FUZZ_SECONDS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fuzz.driver import Result, run
from fuzz.targets import TARGETS

HUNT = os.environ.get("NEWSMILL_FUZZ_SECONDS")
SECONDS = float(HUNT or 1)
ENGINE = None if HUNT else "mutate"  # atheris instruments every module first, which takes longer than a short hunt


@pytest.fixture(scope="module")
def hunts() -> Iterator[dict[str, Future[Result]]]:
    """The runs of all targets, started together."""
    with ThreadPoolExecutor(len(TARGETS)) as threads:
        yield {name: threads.submit(run, name, SECONDS, engine=ENGINE) for name in TARGETS}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str, hunts: dict[str, Future[Result]]) -> None:
    """A hunt begins with the empty input and every seed, earlier findings among them. It finds nothing, and tries more than those."""
    result = hunts[name].result()
    seeds = len(TARGETS[name].corpus(name))
    assert seeds >= 2 and result.progress.tried > seeds + 1
    assert not result.findings, "\n\n".join(f"{finding.data[:2000]!r}\n{finding.what}" for finding in result.findings)
