"""What a large page costs in memory, counted by Python's own allocator."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Sequence

import pytest

from newsmill.extraction.body.align import align
from newsmill.extraction.body.blocks import TextBlock, segment
from newsmill.extraction.html import parse_html

LETTERS = 100  # of a line; each is a word
MAX_BYTES_A_WORD = 160  # of the 1.5 million that 5 MB of Thai hold; one object for each word or count takes 192 to 272


@pytest.mark.parametrize("alphabet", [range(0x0E01, 0x0E2F), range(0x4E00, 0x4E00 + 2_000), range(0x1000, 0x1021)])
@pytest.mark.parametrize(("frame", "count"), [("<p>{}</p>", 400), ("<div>{}</div>", 160), ("<pre>{}</pre>", 160)])
@pytest.mark.parametrize("end", ["<br>", "<br><br>"])
@pytest.mark.parametrize("lost", [0, 1])  # lines that the extractor left out
def test_aligning_lines_without_spaces(alphabet: range, frame: str, count: int, end: str, lost: int) -> None:
    chance = random.Random(1)
    lines = ["".join(map(chr, chance.choices(alphabet, k=LETTERS))) for _ in range(count)]
    tree = parse_html(f"<html><body>{frame.format(end.join(lines))}</body></html>").tree
    assert tree is not None
    blocks = segment(tree).blocks
    # Measured again where it is too much: a thread that another test left can allocate meanwhile.
    assert any(measure_peak(lines[lost:], blocks) < MAX_BYTES_A_WORD * count * LETTERS for _ in range(2))


def measure_peak(lines: list[str], blocks: Sequence[TextBlock]) -> int:
    """The most bytes that Python's allocator held at once while the lines were aligned."""
    gc.collect()
    tracemalloc.start()
    try:
        assert align(lines, blocks).covered == 1.0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
