"""What the page reader costs: function calls a page, which are exact, and its CPU relative to trafilatura's on the same pages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cost.limits import find_excess

PROGRAM = Path(__file__).with_name("reader_cost.py")


@pytest.mark.slow
def test_a_page_costs_no_more(shared: Path) -> None:
    """In a process of its own, where no other test has filled caches. Above a limit it measures once more: other processes change the
    ratio."""
    for _ in range(2):
        done = subprocess.run([sys.executable, str(PROGRAM), str(shared)], check=True, capture_output=True, text=True)
        excess = find_excess(json.loads(done.stdout))
        if not excess:
            return
    assert excess == {}
