"""The driver finds what it looks for, with either engine, and goes on after a child that hung or crashed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from fuzz.driver import run

ENGINES = ("mutate", pytest.param("atheris", marks=pytest.mark.skipif(find_spec("atheris") is None, reason="no wheel for this Python")))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("target", "what"), [("raises", "KeyError in selftest.py"), ("loops", "its CPU time"), ("crashes", "SIGABRT")])
def test_what_is_broken_is_found(target: str, what: str, engine: str) -> None:
    result = run(target, 1, engine=engine, module="fuzz.selftest")
    assert result.findings and all(what in finding.what and b"b" in finding.data for finding in result.findings)
    assert result.tried > 1
