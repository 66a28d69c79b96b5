"""What both test files ask of a target."""

from __future__ import annotations

import os

from fuzz.driver import run
from fuzz.targets import TARGETS

# A minute each in CI: four targets in either of two files, which run at the same time, are four minutes.
SECONDS = float(os.environ.get("NEWSMILL_FUZZ_SECONDS") or (60 if os.environ.get("CI") else 5))


def read_seeds(name: str) -> None:
    """Every seed passes alone; earlier findings are among them."""
    target = TARGETS[name]
    seeds = target.corpus(name)
    assert len(seeds) >= 2
    for data in (b"", *seeds):
        target.run(data[: target.most])


def fuzz_target(name: str) -> None:
    """A hunt of some seconds finds nothing, and tries enough."""
    result = run(name, SECONDS)
    assert result.progress.tried > len(TARGETS[name].corpus(name))
    assert not result.findings, "\n\n".join(f"{finding.data[:2000]!r}\n{finding.what}" for finding in result.findings)
