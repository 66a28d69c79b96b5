"""A target of the fuzzer. It is in a file of its own, so that the driver's own tests load nothing of newsmill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SITE = HERE.parent / "newspaper" / "site"


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes any bytes; `cpu` is how many seconds of CPU time one input may take; `seeds` are files besides those in corpus/."""

    run: Callable[[bytes], object]
    cpu: float
    seeds: tuple[str, ...]  # patterns under the newspaper's site
    tokens: tuple[bytes, ...] = ()
    most: int = 20_000  # bytes of one input

    def corpus(self, name: str) -> list[bytes]:
        """The seeds: our own bytes, smallest first."""
        files = [*sorted((HERE / "corpus" / name).glob("*")), *(file for pattern in self.seeds for file in sorted(SITE.glob(pattern)))]
        return sorted((file.read_bytes() for file in files), key=len)
