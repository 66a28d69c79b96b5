"""A test that is skipped in CI fails; without the shared data, its tests are deselected only where NEWSMILL_SHARED says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDS_SHARED = "tests/test_newspaper.py::test_the_seed_article_is_untouched"


@pytest.mark.parametrize(
    ("environ", "code", "sentence"),
    [
        ({"CI": "true", "NEWSMILL_SHARED": "/missing"}, pytest.ExitCode.TESTS_FAILED, "skipped in CI: Skipped: /missing is missing"),
        ({"CI": "", "NEWSMILL_SHARED": "/missing"}, pytest.ExitCode.OK, "1 skipped"),
        ({"CI": "true", "NEWSMILL_SHARED": "none"}, pytest.ExitCode.NO_TESTS_COLLECTED, "1 deselected"),
    ],
)
def test_a_skip_is_never_silent_in_ci(environ: dict[str, str], code: pytest.ExitCode, sentence: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--verbosity=0", NEEDS_SHARED]
    finished = subprocess.run(command, cwd=REPOSITORY, env=os.environ | environ, capture_output=True, text=True)
    assert finished.returncode == code, finished.stdout + finished.stderr
    assert sentence in finished.stdout
