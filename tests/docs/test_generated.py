"""The generated parts of docs/reference are those that the code gives today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import generate

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_current() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"run `python docs/generate.py`; out of date: {done.stdout}{done.stderr}"


def test_a_stale_part_is_made_anew() -> None:
    page = "before\n<!-- generated: outcomes -->\nstale row\n<!-- end -->\nafter\n"
    assert "`robots_disallowed`" in generate.current(page)
    assert "stale row" not in generate.current(page)
    assert generate.current(generate.current(page)) == generate.current(page)
