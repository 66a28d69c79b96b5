"""Whole pages made of one shape repeated: what reading them costs grows no faster than N log N."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from growth.measure import MOST, growth
from growth.page_shapes import SHAPES, Shape

from newsmill.extraction.body.block_model import load_shipped_model
from newsmill.extraction.pipeline import MAX_ELEMENTS, MAX_HTML_BYTES, read
from newsmill.model import ExtractionResult, Page

URL = "https://paper.example/2026/11/25/the-bridge-stays-open-12345"
HEADERS = (("Content-Type", "text/html; charset=utf-8"),)
# One leaf, which keeps everything and is never sure of it: every page gets both looks, whatever the shipped model makes of its shape.
MODEL = replace(load_shipped_model(), trees=(0.1,), threshold=0.5)


def _page(shape: Shape, n: int) -> Page:
    return Page(URL, URL, datetime(2026, 11, 25, tzinfo=UTC), 200, HEADERS, shape.html(n).encode())


def _read(page: Page) -> ExtractionResult:
    return read(page, model=MODEL)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_reading_a_page(shape: Shape) -> None:
    largest = _page(shape, shape.most).body
    assert len(largest) <= MAX_HTML_BYTES and largest.count(b"<p>") < MAX_ELEMENTS, "the reader refuses the largest page"
    n, times = growth(_read, lambda n: _page(shape, n), shape.most)
    assert times <= MOST, f"{4 * n:,} times take {times:.1f} times as long as {n:,} times"
