"""What is loaded at first use is loaded once, and while the clock of whoever counts a page's time stands still."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from newsmill.model import Page
from newsmill.read import first_use, warm
from newsmill.read.reader import read

@contextmanager
def stopped():
    print("clock stands", "dateparser" in sys.modules)
    yield
    print("clock goes", "dateparser" in sys.modules)

headers = (("Content-Type", "text/html"),)
page = Page(warm.ADDRESS, warm.ADDRESS, datetime(2026, 11, 25, tzinfo=UTC), 200, headers, warm.HTML.encode())
read(page)
print("nobody counts", "dateparser" in sys.modules)
first_use.stopped = stopped
read(page)
read(page)
"""


def test_the_words_of_dates_are_loaded_off_the_clock() -> None:
    """In a process of its own: whatever was loaded before is loaded."""
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["nobody counts False", "clock stands False", "clock goes True"]
