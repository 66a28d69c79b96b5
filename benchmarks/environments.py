"""Separate environments for peers that cannot share one with Newsmill. pip creates each one at its first use."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path

PINNED: Mapping[str, str] = {"news-please": "news-please==1.6.16", "newspaper4k": "newspaper4k==0.9.6"}


def install(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Return the Python interpreters of those of `names` with their own environment; create missing environments in `folder`.

    Exit with a message if pip fails.
    """
    return {name: _environment(folder.resolve() / name, PINNED[name]) for name in names if name in PINNED}


def _environment(place: Path, requirement: str) -> Path:
    python, done = place / "bin" / "python", place / "installed"  # the marker comes last; an incomplete environment is recreated
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
