"""Which match comes first. Pure.

Score = 2 with all words in the title, 1 with all in the title, the description or the first paragraphs, 0 elsewhere; less the logarithm
of the age in days. So a title counts like being seven times younger: among this morning's news the title decides, and a title of last year
does not stand before today's report. Ranked are the newest BLOCK matches, or those among the newest walk.FAR documents where they are
enough; who reads on comes to the next older ones, ranked in turn. That bounds the work for a word that half of all documents hold, and as
each block is fixed by its two ends, pages neither repeat nor leave out anything while new documents come in.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import log

from newsmill.search.entry import MOMENTS_PER_SECOND
from newsmill.search.positions import MAX_POSITION, MIN_POSITION, IndexPosition
from newsmill.storage.cursor import decode_cursor, encode_cursor

BLOCK_MATCHES = 400  # matches ranked together: twenty pages of results
TITLE_SCORE = 2.0
LEAD_SCORE = 1.0
MOMENTS_PER_DAY = 86_400.0 * MOMENTS_PER_SECOND
SCORE_SCALE = 1_000_000  # scores are kept as whole millionths, so that a cursor says exactly what was compared


@dataclass(frozen=True, slots=True)
class RankCursor:
    """How far a reader has come: in the block from `lower` on and before `upper`, as of `now` (a moment), past `score` and `place`."""

    now: int
    upper: IndexPosition = MAX_POSITION
    lower: IndexPosition | None = None  # None: the block is not chosen yet
    score: int = 0
    place: IndexPosition = MAX_POSITION

    def seal(self) -> str:
        lower = self.lower or MIN_POSITION
        return encode_cursor("ranked", self.now, *self.upper, *lower, self.score, *self.place, int(self.lower is not None))


def decode_rank_cursor(cursor: str) -> RankCursor:
    """Raises CursorError."""
    now, um, ui, lm, li, score, pm, pi, chosen = decode_cursor("ranked", cursor, int, int, str, int, str, int, int, str, int)
    lower = (int(lm), str(li)) if chosen else None
    return RankCursor(int(now), (int(um), str(ui)), lower, int(score), (int(pm), str(pi)))


def fix_block(mark: RankCursor, places: Sequence[IndexPosition], lower: IndexPosition) -> RankCursor:
    """The block of a mark, its ends fixed by the newest matches in it and the place down to which they were looked for."""
    if mark.lower is not None:
        return mark
    upper = (places[0][0] + 1, "") if places and mark.upper == MAX_POSITION else mark.upper
    return RankCursor(mark.now, upper, lower)


def advance_to(block: RankCursor, score: int, place: IndexPosition) -> RankCursor:
    """A reader's mark after one match."""
    return replace(block, score=score, place=place)


def score_match(place: IndexPosition, now: int, in_title: Container[IndexPosition], in_lead: Container[IndexPosition]) -> int:
    """The score of one match, in millionths."""
    bonus = TITLE_SCORE if place in in_title else LEAD_SCORE if place in in_lead else 0.0
    return round(SCORE_SCALE * (bonus - log(1 + max(0, now - place[0]) / MOMENTS_PER_DAY)))


def rank_matches(
    places: Sequence[IndexPosition],
    now: int,
    in_title: Container[IndexPosition],
    in_lead: Container[IndexPosition],
    after: tuple[int, IndexPosition] | None,
) -> list[tuple[int, IndexPosition]]:
    """Scores and places, best first (ties: newest first), those after one only."""
    every = sorted(((score_match(place, now, in_title, in_lead), place) for place in places), reverse=True)
    return every if after is None else [pair for pair in every if pair < after]
