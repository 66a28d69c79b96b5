"""The order of matches by relevance. Pure.

Matches with all words as they were typed, and not in other forms, come first. Among them the score decides: 2 with all words in the title,
1 with all in title, description or first paragraphs, else 0, less the logarithm of the age in days. A title thus counts like an age seven
times lower: it decides among this morning's news, but not between last year's and today's.

The newest BLOCK_MATCHES matches are ranked together; the next page continues with older blocks. So the work for a common word is bounded.
Each block is fixed by its two ends, so pages neither repeat nor omit a match while new documents come in.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import NamedTuple

from newsmill.search.entry import MAX_POSITION, MIN_POSITION, MOMENTS_PER_DAY, IndexPosition
from newsmill.storage.documents import decode_cursor, encode_cursor

BLOCK_MATCHES = 400  # ranked together: twenty pages of results
TITLE_SCORE = 2.0
LEAD_SCORE = 1.0
EXACT_SCORE = 16.0  # more than a title and any age: log(1 + 100 years in days) is 10.5
SCORE_SCALE = 1_000_000  # scores are whole millionths, so that a cursor holds exactly what was compared


class MatchQuality(NamedTuple):
    """Which of some matches hold all words of a query in the title, in title, description or first paragraphs, and as they were typed."""

    in_title: Container[IndexPosition]
    in_lead: Container[IndexPosition]
    exact: Container[IndexPosition]


@dataclass(frozen=True, slots=True)
class RankCursor:
    """Where a reader is: after `score` and `position` in the block from `lower` on and before `upper`, ranked as of the moment `now`."""

    now: int
    upper: IndexPosition = MAX_POSITION
    lower: IndexPosition | None = None  # None: the block has no ends yet
    score: int = 0
    position: IndexPosition = MAX_POSITION

    def encode(self) -> str:
        lower = self.lower or MIN_POSITION
        return encode_cursor("ranked", self.now, *self.upper, *lower, self.score, *self.position, int(self.lower is not None))


def decode_rank_cursor(cursor: str) -> RankCursor:
    """Raises CursorError."""
    now, um, ui, lm, li, score, pm, pi, has_lower = decode_cursor("ranked", cursor, int, int, str, int, str, int, int, str, int)
    lower = (int(lm), str(li)) if has_lower else None
    return RankCursor(int(now), (int(um), str(ui)), lower, int(score), (int(pm), str(pi)))


def fix_block(cursor: RankCursor, positions: Sequence[IndexPosition], lower: IndexPosition) -> RankCursor:
    """The cursor's block, its ends fixed by its matches, newest first, and the position down to which they were searched."""
    if cursor.lower is not None:
        return cursor
    upper = (positions[0][0] + 1, "") if positions and cursor.upper == MAX_POSITION else cursor.upper
    return RankCursor(cursor.now, upper, lower)


def advance_to(block: RankCursor, score: int, position: IndexPosition) -> RankCursor:
    """The cursor after one match of a block."""
    return replace(block, score=score, position=position)


def score_match(position: IndexPosition, now: int, quality: MatchQuality) -> int:
    """The score of one match, in millionths."""
    bonus = TITLE_SCORE if position in quality.in_title else LEAD_SCORE if position in quality.in_lead else 0.0
    bonus += EXACT_SCORE if position in quality.exact else 0.0
    return round(SCORE_SCALE * (bonus - log(1 + max(0, now - position[0]) / MOMENTS_PER_DAY)))


def rank_matches(
    positions: Sequence[IndexPosition], now: int, quality: MatchQuality, after: tuple[int, IndexPosition] | None
) -> list[tuple[int, IndexPosition]]:
    """Scores and positions, best first (ties: newest first), without those up to `after`."""
    ranked = sorted(((score_match(position, now, quality), position) for position in positions), reverse=True)
    return ranked if after is None else [pair for pair in ranked if pair < after]
