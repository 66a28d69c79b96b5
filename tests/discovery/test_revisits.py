"""The plan of revisits: one row per fetch of an article, with the age at which it is fetched next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from newsmill.discovery.revisits import RevisitResult, compute_next_revisit, find_start
from newsmill.model import Source

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEPS = Source("paper").revisit
UNCHANGED, CHANGED, FAILED = RevisitResult.UNCHANGED, RevisitResult.CHANGED, RevisitResult.FAILED


@pytest.mark.parametrize(
    ("age", "result", "next_age"),
    [
        (0 * HOUR, UNCHANGED, HOUR),
        (HOUR, UNCHANGED, 6 * HOUR),
        (6 * HOUR, UNCHANGED, DAY),
        (25 * HOUR, UNCHANGED, 7 * DAY),
        (7 * DAY, UNCHANGED, None),
        (HOUR, CHANGED, 2 * HOUR),  # at least the first step apart
        (6 * HOUR, CHANGED, 9 * HOUR),
        (20 * HOUR, CHANGED, DAY),
        (8 * DAY, CHANGED, 12 * DAY),
        (20 * DAY, CHANGED, None),
        (HOUR, FAILED, 2 * HOUR),
        (2 * DAY, FAILED, 2.5 * DAY),
        (8 * DAY, FAILED, 10 * DAY),
        (12 * DAY, FAILED, None),
        (-2 * DAY, UNCHANGED, -2 * DAY + HOUR),  # the clock was ahead when the article was seen
    ],
)
def test_the_next_revisit_follows_from_the_age(age: timedelta, result: RevisitResult, next_age: timedelta | None) -> None:
    found = compute_next_revisit(STEPS, NOON, NOON + age, result)
    assert found == (None if next_age is None else NOON + next_age)
    assert compute_next_revisit((), NOON, NOON + age, result) is None


def test_an_article_that_always_changes_or_always_fails_is_left_in_the_end() -> None:
    for result in (CHANGED, FAILED):
        at, fetches = compute_next_revisit(STEPS, NOON, NOON, UNCHANGED), 0
        while at is not None:
            before, fetches = at, fetches + 1
            at = compute_next_revisit(STEPS, NOON, at, result)
            assert at is None or at > before
        assert fetches < 30


def test_an_old_article_has_few_steps_left() -> None:
    assert find_start(NOON, None, None) == NOON
    assert find_start(NOON, NOON + DAY, "second") == NOON
    assert find_start(NOON, NOON - DAY, "second") == NOON - DAY
    assert find_start(NOON, NOON - timedelta(hours=12), "day") == NOON  # published today, at an unknown time
    assert find_start(NOON, NOON - 3 * DAY, "day") == NOON - 2 * DAY
    assert compute_next_revisit(STEPS, NOON - 2 * DAY, NOON, UNCHANGED) == NOON + 5 * DAY
    assert compute_next_revisit(STEPS, NOON - 8 * DAY, NOON, UNCHANGED) is None
