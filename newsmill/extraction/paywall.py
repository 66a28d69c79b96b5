"""Detection of a paywall: the beginning of an article, then a notice that the rest is for subscribers."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate

from newsmill.extraction.boilerplate.vocabulary import build_alternation
from newsmill.extraction.metadata.access import Access
from newsmill.extraction.normalise import count_words, normalise_line
from newsmill.model import Outcome, OutcomeRecord

MAX_STUB_WORDS = 80  # words; the teaser before a paywall has fewer. Briefs are as short, so length alone is not evidence
MAX_NOTICE_WORDS = 25  # words of the line with the notice; a longer line is prose
MAX_OFFER_WORDS = 60  # words of the offer below the notice; more is the rest of an article
MAX_BEHIND_CHARACTERS = 200  # characters behind the body in which the page shows the notice, with labels and names in between
MAX_ANCHOR_CHARACTERS = 60  # characters at the end of the body by which it is found in the visible text
_NOTICE = re.compile(build_alternation("paywall"), re.IGNORECASE)
_LOG_IN = re.compile(build_alternation("subscriber_question"), re.IGNORECASE)


def detect_paywall(text: str, words: int, ending: str, access: Access | None, read_visible: Callable[[], str]) -> OutcomeRecord | None:
    """Return the outcome `paywall` for the beginning of an article, or None.

    `text` is the body, `words` its number of words, `ending` its end before rules removed lines. `access` is what the page declares.
    `read_visible` returns the visible text of the page, for a notice in a box beside the body. A page that declares to be free, or that
    only asks whether the reader is a subscriber, has no such box: its text may be a complete brief.
    """
    locked = access is not None and not access[0]
    most = 2 * MAX_STUB_WORDS if locked else MAX_STUB_WORDS
    if words < most:
        match = _NOTICE.search(ending) or _NOTICE.search(text)
        if match is None and access is None:
            match = _find_notice_behind(text, read_visible())
        if match is not None:
            return OutcomeRecord(Outcome.PAYWALL, f"{words} words, then {match.group()!r}")
    elif (found := _find_notice_line(text, most)) is not None:
        return OutcomeRecord(Outcome.PAYWALL, f"{found[0]} words, then {found[1]!r}")
    if locked and words < MAX_STUB_WORDS // 2:
        return OutcomeRecord(Outcome.PAYWALL, f"a teaser of {words} words; {access[1] if access else ''}")
    return None


def _find_notice_line(text: str, most: int) -> tuple[int, str] | None:
    """Return (words before it, notice) for a notice in a short line, with fewer than `most` words before it and only an offer below."""
    lines = text.split("\n")
    before = list(accumulate(map(count_words, lines), initial=0))
    for number, line in enumerate(lines):
        if before[number] >= most:
            return None
        match = _NOTICE.search(line)
        if match is not None and count_words(line) <= MAX_NOTICE_WORDS and before[-1] - before[number + 1] <= MAX_OFFER_WORDS:
            return before[number], match.group()
    return None


def _find_notice_behind(text: str, visible: str) -> re.Match[str] | None:
    """Return the notice that the page shows directly behind the body, where no rule counts it to the body."""
    anchor = "".join(normalise_line(text.rstrip().rpartition("\n")[2]).split())[-MAX_ANCHOR_CHARACTERS:]
    places = [at for at, char in enumerate(visible) if not char.isspace()]
    start = "".join(visible.split()).find(anchor)
    if not anchor or start < 0:
        return None
    end = places[start + len(anchor) - 1] + 1
    match = _NOTICE.search(visible, end, end + MAX_BEHIND_CHARACTERS)
    return None if match is None or _LOG_IN.fullmatch(match.group()) else match
