"""A random sample of documents: the ones whose id and seed have the smallest hashes, so that a store gives the same sample in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from heapq import heappush, heappushpop

from newsmill.model import Document


def sample_documents(documents: Iterable[Document], size: int, seed: int) -> list[Document]:
    """`size` documents at random, in random order; all of them if there are fewer. Of a document that comes twice, the last one counts.

    A smaller sample is the start of a larger one with the same seed. A new document replaces at most one other. `size` documents are in
    memory.
    """
    chosen: dict[int, Document] = {}
    largest: list[int] = []  # a heap of the negative ranks
    for document in documents:
        rank = int.from_bytes(hashlib.blake2b(f"{seed} {document.id}".encode(), digest_size=16).digest())
        if rank in chosen:
            chosen[rank] = document
        elif len(largest) < size:
            heappush(largest, -rank)
            chosen[rank] = document
        elif rank < -largest[0]:
            del chosen[-heappushpop(largest, -rank)]
            chosen[rank] = document
    return [chosen[rank] for rank in sorted(chosen)]
