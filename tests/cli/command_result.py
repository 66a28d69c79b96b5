"""Runs commands in the process of the test, and holds their results."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from newsmill.cli import main


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Newsmill = Callable[..., CommandResult]


def make_runner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Newsmill:
    """A function that runs a command, such as `newsmill("trace", url)`. Its folder and environment are those of this process."""

    def run(*arguments: str) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["newsmill", *arguments])
        monkeypatch.setattr(os, "nice", lambda increment: increment)  # a lower priority would stay with the tests that follow
        capsys.readouterr()
        before = list(logging.root.handlers)
        try:
            main.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:  # a process's log goes to the standard error of this test, which is closed after it
            logging.root.handlers[:] = before
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run
