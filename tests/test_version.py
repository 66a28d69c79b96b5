"""The hint to install an extra is the command for the way in which Newsmill was installed."""

from __future__ import annotations

import runpy
import sys
import tomllib
from pathlib import Path

import pytest

from newsmill.version import describe_install, install_hint

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({}, "pip install 'newsmill[s3]'"),
        ({"url": "file:///home/ann/news%20mill", "dir_info": {"editable": True}}, "pip install -e '/home/ann/news mill[s3]'"),
        ({"url": "file:///home/ann/newsmill", "dir_info": {}}, "pip install '/home/ann/newsmill[s3]'"),
        (
            {"url": "https://git.example/newsmill", "vcs_info": {"vcs": "git", "commit_id": "0"}},
            "pip install 'newsmill[s3] @ git+https://git.example/newsmill'",
        ),
        (
            {"url": "https://host.example/newsmill.whl", "archive_info": {}},
            "pip install 'newsmill[s3] @ https://host.example/newsmill.whl'",
        ),
        (None, f"pip install -e '{ROOT}[s3]'"),
    ],
)
def test_the_command_fits_the_installation(origin: dict[str, object] | None, command: str) -> None:
    assert describe_install("s3", origin) == command


def test_this_installation_has_a_hint() -> None:
    assert "[s3]" in install_hint("s3")


def test_an_older_python_is_refused_with_the_version_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip executes the file before it looks for dependencies, which need newer versions of Python too."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["version"]["source"] == "code"
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(SystemExit, match=r"Newsmill needs Python 3\.11 or newer"):
        runpy.run_path(str(ROOT / "newsmill" / "version.py"))
