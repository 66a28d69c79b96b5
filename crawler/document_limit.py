"""A crawl that ends at a number of documents: how many more pages may be requested, so that no document exceeds the number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from newsmill.model import State
from newsmill.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class DocumentLimit:
    """`documents` counts those of a source; the sources together may have `target`."""

    sources: tuple[str, ...]
    target: int
    documents: Callable[[str], int]

    def count_room(self, ledger: Ledger, in_progress: int) -> int:
        """How many more pages may be requested. `in_progress`: pages that this process has requested and not saved yet.

        A page moves from this process to the ledger and there to the documents. The counts are read in the same order, so that a page that
        moves meanwhile is counted twice and never left out.
        """
        waiting = 0
        for source in self.sources:
            states = ledger.progress(source).states
            waiting += states.get(State.FETCHED, 0) + states.get(State.PROCESSING, 0)
        stored = sum(self.documents(source) for source in self.sources)
        return max(0, self.target - stored - waiting - in_progress)
