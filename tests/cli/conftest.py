"""Runs commands in this process."""

from __future__ import annotations

import os
import sys

import pytest
from command_result import CommandResult, Newsmill

from newsmill.cli import main


@pytest.fixture
def newsmill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Newsmill:
    """`newsmill("trace", url)` runs the command and returns its exit code and output."""

    def run(*arguments: str) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["newsmill", *arguments])
        capsys.readouterr()
        try:
            main.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the settings of the developer's environment."""
    from newsmill.settings import Settings

    for field in Settings.model_fields.values():
        if field.alias in os.environ:
            monkeypatch.delenv(field.alias)
