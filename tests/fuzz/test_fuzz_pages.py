"""URLs, bodies, whole pages and queries under any bytes: the seeds, then a hunt from them. See test_fuzz_listings.py."""

from __future__ import annotations

import pytest

from fuzz.fuzzing import SECONDS, fuzz_target, read_seeds

TARGETS = ("url", "decode", "reader", "query")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    read_seeds(name)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str) -> None:
    fuzz_target(name)
