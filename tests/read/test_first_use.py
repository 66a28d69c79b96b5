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

def published(shown):
    html = warm.HTML.replace("</h1>", f'</h1><p class="date">{shown}</p>')
    page = Page(warm.ADDRESS, warm.ADDRESS, datetime(2026, 11, 25, tzinfo=UTC), 200, (("Content-Type", "text/html"),), html.encode())
    return read(page).document.published_day

first_use.stopped = stopped
print(published("05.11.2026"), "dateparser" in sys.modules)
print(published("PLAIN"))
print(published("PLAIN"))
"""


def test_the_words_of_dates_are_loaded_for_the_first_that_needs_them_and_off_the_clock() -> None:
    """In a process of its own: whatever was loaded before is loaded."""
    said = subprocess.run(
        [sys.executable, "-c", CODE.replace("PLAIN", "15. joulukuuta 2025")], capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines() == ["2026-11-05 False", "clock stands False", "clock goes True", "2025-12-15", "2025-12-15"]
