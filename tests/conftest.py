"""Fixtures every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured cases and pages beside the checkout (`../shared`), or the one NEWSMILL_SHARED names."""
    path = Path(os.environ.get("NEWSMILL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not path.is_dir():
        message = f"{path} is missing: lay the shared data beside the checkout or name it in NEWSMILL_SHARED"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
