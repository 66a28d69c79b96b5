"""How long a page may take while others wait: a short first turn of CPU time, and a whole one when there is time for it.

A page that eats time costs twenty seconds, an ordinary one 0.05. CPU time counts, not the time of day: a busy machine makes no page longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from newsmill.model import Page

# Of 900 pages of other people's collections one takes longer, by half (measured 2026-11-25); on average they take a tenth of it.
FIRST_TURN = 0.1  # seconds of CPU
A_MEGABYTE = 2.0  # more, for each MB of HTML
CODED = 8  # a compressed page is taken for so many times its size: text shrinks to a fourth or a seventh
LARGEST = 5 << 20  # bytes; what is larger is refused unread (read.reader.MAX_HTML)

SHARE = 0.05  # of a worker's time, for pages that eat it while others wait
MOST = 40.0  # seconds of it that can be saved up


def first_turn(page: Page) -> float:
    """Seconds of CPU for the first try of a page, by its size."""
    size = len(page.body) * (CODED if page.header("Content-Encoding") else 1)
    return round(FIRST_TURN + A_MEGABYTE * min(size, LARGEST) / 2**20, 2)


@dataclass
class Credit:
    """What a worker has saved up for pages that eat time, so that they have their turn even where it never gets quiet. In seconds."""

    saved: float = 0.0

    def earn(self, seconds: float) -> None:
        """So much time went by."""
        self.saved = min(MOST, self.saved + SHARE * seconds)

    def suffices(self, turn: float) -> bool:
        """Whether a turn of that length is earned."""
        return self.saved >= turn

    def pay(self, took: float) -> None:
        """A turn took so long; what it took too much is owed."""
        self.saved -= took
