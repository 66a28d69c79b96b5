"""Runs commands in this process."""

from __future__ import annotations

import os

import pytest
from command_result import Newsmill, make_runner


@pytest.fixture
def newsmill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Newsmill:
    """`newsmill("trace", url)` runs the command and returns its exit code and output."""
    return make_runner(capsys, monkeypatch)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the settings of the developer's environment."""
    from newsmill.settings import Settings

    for field in Settings.model_fields.values():
        if field.alias in os.environ:
            monkeypatch.delenv(field.alias)
