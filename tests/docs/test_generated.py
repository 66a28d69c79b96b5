"""The generated parts of docs/reference are those that the code gives today."""

from __future__ import annotations

import sys

import generate
import pytest


def test_the_reference_is_current(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["docs/generate.py", "--check"])
    assert generate.main() == 0, f"run `python docs/generate.py`; out of date: {capsys.readouterr().out}"


def test_a_stale_part_is_made_anew() -> None:
    page = "before\n<!-- generated: outcomes -->\nstale row\n<!-- end -->\nafter\n"
    assert "`robots_disallowed`" in generate.current(page)
    assert "stale row" not in generate.current(page)
    assert generate.current(generate.current(page)) == generate.current(page)
