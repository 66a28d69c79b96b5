"""What a large page costs in memory, counted by Python's own allocator."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Sequence

import pytest

from newsmill.extraction.body.align import align
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.blocks import TextBlock
from newsmill.extraction.html import parse_html

LINES = 160
LETTERS = 100  # of a line; each is a word
MAX_BYTES_A_WORD = 160  # of the 1.5 million that 5 MB of Thai hold; one object for each word or count takes 192 to 272
THAI, CHINESE, BURMESE = range(0x0E01, 0x0E2F), range(0x4E00, 0x4E00 + 2_000), range(0x1000, 0x1021)


@pytest.mark.parametrize(
    ("alphabet", "frame", "end", "lost"),
    [  # each pair of two values occurs
        (THAI, "<p>{}</p>", "<br>", 1),
        (CHINESE, "<p>{}</p>", "<br><br>", 0),
        (BURMESE, "<p>{}</p>", "<br>", 0),
        (THAI, "<div>{}</div>", "<br><br>", 0),
        (CHINESE, "<div>{}</div>", "<br>", 1),
        (BURMESE, "<div>{}</div>", "<br><br>", 1),
        (THAI, "<pre>{}</pre>", "<br>", 0),
        (CHINESE, "<pre>{}</pre>", "<br>", 1),
        (BURMESE, "<pre>{}</pre>", "<br><br>", 0),
    ],
)
def test_aligning_lines_without_spaces(alphabet: range, frame: str, end: str, lost: int) -> None:
    """`lost` is the number of lines that the extractor left out."""
    chance = random.Random(1)
    lines = ["".join(map(chr, chance.choices(alphabet, k=LETTERS))) for _ in range(LINES)]
    tree = parse_html(f"<html><body>{frame.format(end.join(lines))}</body></html>").tree
    assert tree is not None
    blocks = segment(tree).blocks
    # Measured again where it is too much: a thread that another test left can allocate meanwhile.
    assert any(measure_peak(lines[lost:], blocks) < MAX_BYTES_A_WORD * LINES * LETTERS for _ in range(2))


def measure_peak(lines: list[str], blocks: Sequence[TextBlock]) -> int:
    """The most bytes that Python's allocator held at once while the lines were aligned."""
    gc.collect()
    tracemalloc.start()
    try:
        assert align(lines, blocks).covered == 1.0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
