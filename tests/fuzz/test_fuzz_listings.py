"""Listings and robots.txt under any bytes: the seeds, then a hunt from them. Two files of four targets, for two workers."""

from __future__ import annotations

import pytest

from fuzz.fuzzing import SECONDS, fuzz_target, read_seeds

TARGETS = ("feed", "sitemap", "section", "robots")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    read_seeds(name)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str) -> None:
    fuzz_target(name)
