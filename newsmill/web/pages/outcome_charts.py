"""How pages ended, for charts: summed by state, and said in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from newsmill.model import OUTCOMES, Outcome, State
from newsmill.web.pages.translations import Translations

FINAL_STATES = (State.DONE, State.DROPPED, State.FAILED, State.QUARANTINED)


def by_state(counted: Mapping[Outcome, int]) -> dict[str, int]:
    """Pages per end, in the order of ENDS; zeros too."""
    sums = {state.value: 0 for state in FINAL_STATES}
    for outcome, n in counted.items():
        sums[OUTCOMES[outcome][0].value] += n
    return sums


def rank_outcomes(counted: Mapping[Outcome, int]) -> list[tuple[Outcome, str, int]]:
    """Outcome, its state and its number; most first."""
    return sorted(((outcome, OUTCOMES[outcome][0].value, n) for outcome, n in counted.items() if n), key=lambda row: (-row[2], row[0]))


def said(words: Translations, counted: Mapping[Outcome, int]) -> str:
    """`stored 17, gone 2`."""
    return ", ".join(f"{words('outcome.' + outcome)} {words.number(n)}" for outcome, _, n in rank_outcomes(counted))
