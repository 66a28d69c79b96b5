"""The counts of outcomes that pages show."""

from __future__ import annotations

from collections.abc import Mapping

from newsmill.model import OUTCOMES, Outcome, State
from newsmill.web.pages.translations import Translations

FINAL_STATES = (State.DONE, State.DROPPED, State.FAILED, State.QUARANTINED)


def sum_by_state(counts: Mapping[Outcome, int]) -> dict[str, int]:
    """Pages per final state, in the order of FINAL_STATES; zeros too."""
    totals = {state.value: 0 for state in FINAL_STATES}
    for outcome, n in counts.items():
        totals[OUTCOMES[outcome].state.value] += n
    return totals


def mark_outcome(outcome: Outcome) -> str:
    """The CSS class of an outcome's mark."""
    return {State.DONE: "on", State.DROPPED: "off", State.FAILED: "failing"}.get(OUTCOMES[outcome].state, "bad")


def rank_outcomes(counts: Mapping[Outcome, int]) -> list[tuple[Outcome, str, int]]:
    """(outcome, its state, its number), largest number first."""
    return sorted(((outcome, OUTCOMES[outcome].state.value, n) for outcome, n in counts.items() if n), key=lambda row: (-row[2], row[0]))


def describe_counts(words: Translations, counts: Mapping[Outcome, int]) -> str:
    """`stored 17, gone 2`."""
    return ", ".join(f"{words('outcome.' + outcome)} {words.number(n)}" for outcome, _, n in rank_outcomes(counts))
