"""Commands run in this process, through the same door as on a terminal."""

from __future__ import annotations

import os
import sys

import pytest
from door import Done, Newsmill

from newsmill.cli import main


@pytest.fixture
def newsmill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Newsmill:
    """`newsmill("trace", url)` runs the command; exit code and output come back, a traceback does not."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["newsmill", *arguments])
        capsys.readouterr()
        try:
            main.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings stay out of the tests."""
    from newsmill.settings import Settings

    for field in Settings.model_fields.values():
        if field.alias in os.environ:
            monkeypatch.delenv(field.alias)
