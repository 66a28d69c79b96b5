"""The report of `newsmill status`, read in the test's process: the command costs a second of CPU, and a test that waits looks often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from newsmill.cli.sources.listed import read_listed
from newsmill.cli.status import collect
from newsmill.context import open_context
from newsmill.settings import load


def read_status(folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The report about the embedded store of commands that run in `folder` with `environ`."""
    settings = load({**environ, "NEWSMILL_DATA": str(folder / "newsmill-data"), "NEWSMILL_CONFIG": str(folder)})
    with open_context(settings) as store:
        return collect(store, settings, read_listed(store))
