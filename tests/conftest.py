"""Fixtures every room shares."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("newsmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("newsmill")


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


FAST = ("find", "read", "relate", "export")  # folders of tests that need no server
FAST_FILES = ("test_imports.py", "test_docs.py", "test_settings.py", "test_charset.py", "test_web_codecs.py", "test_redaction.py")
LARGE = re.compile(r"hostile|50000|real_|peoples|damage|bounded|corpus|conformance")  # in the names of tests with large or many inputs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `fast`: examples of what pure code and the rules of the tree promise. Properties and large inputs are left to ./tests/run."""
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here)
        pure = place.parts[0] in FAST or place.name in FAST_FILES
        searched = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if pure and not searched and not LARGE.search(item.nodeid) and item.get_closest_marker("slow") is None:
            item.add_marker("fast")
