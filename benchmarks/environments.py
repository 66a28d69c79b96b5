"""Peers that Newsmill shares no environment with: each gets one of its own, made once with pip when somebody asks for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path

PINNED: Mapping[str, str] = {"news-please": "news-please==1.6.16", "newspaper4k": "newspaper4k==0.9.6"}


def install(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """The Pythons of those of `names` that have an environment of their own, which is made in `folder` where it is not there yet.

    Ends the program with a sentence when pip fails."""
    return {name: _environment(folder.resolve() / name, PINNED[name]) for name in names if name in PINNED}


def _environment(place: Path, requirement: str) -> Path:
    python, done = place / "bin" / "python", place / "installed"  # the mark is written last: a half-made environment is made again
    if done.is_file() and done.read_text() == requirement:
        return python
    shutil.rmtree(place, ignore_errors=True)
    print(f"installing {requirement} into {place}", file=sys.stderr, flush=True)
    venv.create(place, with_pip=True)
    pip = subprocess.run([str(python), "-m", "pip", "install", "--quiet", requirement], capture_output=True, text=True)
    if pip.returncode:
        sys.exit(f"{requirement} could not be installed into {place}; output of pip:\n{pip.stderr.strip()[-1000:]}")
    done.write_text(requirement)
    return python
