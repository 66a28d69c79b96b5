"""Fixtures and hooks of all tests."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The wall time of an example depends on the load of the machine.
settings.register_profile("newsmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("newsmill")

# Files that take minutes, or wait more than they compute, come first, so that no process runs one of them alone at the end.
# `pytest --durations=60` measures them.
FIRST = (
    "tests/cli/test_up.py",
    "tests/fuzz",
    "tests/docs/test_cookbook.py",
    "tests/test_newspaper_crawl.py",
    "tests/workers/test_worker.py",
    "tests/chaos",
    "tests/crawler/test_stopping.py",
    "tests/cli/test_configured.py",
    "tests/workers",
    "tests/crawler",
    "tests/web/pages",
    "tests/growth",
    "tests/discovery/test_sitemaps.py",
    "tests/test_sandbox.py",
    "tests/test_hostile_bodies.py",
    "tests/cli",
    "tests/web",
    "tests/storage",
    "tests/conformance",
)


FAST = ("discovery", "extraction", "exports")  # folders of tests that need no server
FAST_FILES = ("test_imports.py", "test_docs.py", "test_settings.py", "test_charset.py", "test_web_codecs.py", "test_redaction.py")
LARGE = re.compile(r"hostile|50000|real_|peoples|damage|bounded|corpus|conformance")  # in the names of tests with large or many inputs


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first and mark the fast tests.

    Tests stay together and in order within a file; `--no-loadscope-reorder` makes xdist hand the files out in this order.
    """
    items.sort(key=lambda item: rank(item.path.relative_to(config.rootpath).as_posix()))
    for item in items:
        if is_fast(item):
            item.add_marker("fast")


def rank(path: str) -> int:
    """The place of a test file in FIRST; files that are not in it come last."""
    return next((number for number, start in enumerate(FIRST) if path.startswith(start)), len(FIRST))


def is_fast(item: pytest.Item) -> bool:
    """Whether a test is an example of pure code or of the rules of the tree. Properties and large inputs are left to ./tests/run."""
    path = item.path.relative_to(Path(__file__).parent)
    if path.parts[0] not in FAST and path.name not in FAST_FILES:
        return False
    is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return not is_property and not LARGE.search(item.nodeid) and item.get_closest_marker("slow") is None


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
