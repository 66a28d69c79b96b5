"""`newsmill extract --learn`: every page is read once to learn what repeats on its site, before the documents are written."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import IO

from newsmill.cli.page_lines import parse
from newsmill.extraction.site_profile.profile import PageBlocks, learn, lesson
from newsmill.model import Outcome, Page, Profile, Reading
from newsmill.reextract import site_of
from newsmill.sandbox.parent import Order, read_all

IN_MEMORY = 64 << 20  # bytes of input; more of it waits for the second reading in a temporary file
PER_SITE = 200  # pages learnt from; with more, those whose hash comes first, so that the order of lines does not matter


@contextmanager
def learn_first(lines: Iterable[bytes], *, processes: int, now: datetime) -> Iterator[tuple[IO[bytes], dict[str, Profile]]]:
    """The same lines once more, and the profile of each site that their pages are of."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as kept:
        pages = read_lines(lines, kept, processes, now)
        profiles = {site: replace(learn(known.values(), site), version=1) for site, known in pages.items()}
        kept.seek(0)
        yield kept, profiles


def read_lines(lines: Iterable[bytes], kept: IO[bytes], processes: int, now: datetime) -> dict[str, dict[bytes, PageBlocks]]:
    """Read each line's page and write the line to `kept`. Up to PER_SITE pages of each site; pages without an address are left out."""

    def orders() -> Iterator[tuple[Page, Order]]:
        for number, raw in enumerate(lines, 1):
            kept.write(raw if raw.endswith(b"\n") else raw + b"\n")
            order = parse(raw, number, now)[1] if raw.strip() else None
            if order is not None and order.page.url:
                yield order.page, replace(order, brief=False)

    pages: dict[str, dict[bytes, PageBlocks]] = defaultdict(dict)
    for page, reading in read_all(orders(), processes=processes):
        site = site_of(page)
        if site and isinstance(reading, Reading) and reading.ending.outcome is Outcome.STORED:
            known = pages[site]
            known[blake2b(page.body, key=page.url.encode("utf-8", "replace")[:64], digest_size=8).digest()] = lesson(page.url, reading)
            if len(known) > PER_SITE:
                del known[max(known)]
    return pages
