"""This installation of Newsmill: its version, which pyproject.toml reads from this file, and the command that adds an optional part to it.

The functions import what they need, because every import of `newsmill` loads this module.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

if sys.version_info < (3, 11):  # noqa: UP036 - pip runs this file first; its own message would be about the version of a dependency
    raise SystemExit("Newsmill needs Python 3.11 or newer")

__version__ = "0.1.0"

NAME = "newsmill"


def install_hint(extra: str) -> str:
    """`pip install 'newsmill[s3]'`, or with the clone or the URL that this installation comes from."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(NAME)
    except PackageNotFoundError:
        found = None
    return describe_install(extra, None if found is None else read_origin(found))


def read_origin(found: Distribution) -> dict[str, object]:
    """The record of the origin (PEP 610, direct_url.json); empty for an index."""
    import json

    try:
        record = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def describe_install(extra: str, origin: dict[str, object] | None) -> str:
    """The command for an origin. None: Newsmill is not installed and runs from a clone."""
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    if origin is None:
        return f"pip install -e '{Path(__file__).resolve().parents[1]}[{extra}]'"
    url = origin.get("url")
    if not isinstance(url, str):
        return f"pip install '{NAME}[{extra}]'"
    if "dir_info" in origin and url.startswith("file:"):
        is_editable = isinstance(origin["dir_info"], dict) and origin["dir_info"].get("editable") is True
        return f"pip install {'-e ' if is_editable else ''}'{unquote(urlsplit(url).path)}[{extra}]'"
    vcs = origin.get("vcs_info")
    prefix = f"{vcs['vcs']}+" if isinstance(vcs, dict) and isinstance(vcs.get("vcs"), str) else ""
    return f"pip install '{NAME}[{extra}] @ {prefix}{url}'"
