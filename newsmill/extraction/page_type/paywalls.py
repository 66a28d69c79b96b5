"""Paywalls: pages that show only the beginning of an article."""

from __future__ import annotations

import re
from itertools import accumulate

from lxml import etree

from newsmill.extraction.metadata.access import PAYWALL_NOTICE, find_access
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.normalise import count_words, normalise_line
from newsmill.extraction.page_type.evidence import MAX_STUB_WORDS, Evidence, read_visible_text
from newsmill.extraction.vocabulary import compile_words
from newsmill.model import Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence

MAX_NOTICE_WORDS = 25  # words of the line with the notice; a longer line is prose
MAX_OFFER_WORDS = 60  # words of the offer below the notice; more is the rest of an article
MAX_BEHIND_CHARACTERS = 200  # characters behind the body in which the page shows the notice, with labels and names in between
MAX_ANCHOR_CHARACTERS = 60  # characters at the end of the body by which it is found in the visible text
_GHOST_NOTICE = etree.XPath("//*[contains(concat(' ', normalize-space(@class), ' '), ' gh-post-upgrade-cta ')]")
_LOG_IN = compile_words("{subscriber_question}")


def detect_paywall(evidence: Evidence, status: int) -> OutcomeRecord | None:
    """Detect the beginning of an article.

    A notice outside the body counts anywhere if the page declares not to be free, and directly behind the body if it declares nothing.
    A page that declares to be free, or that only asks whether the reader is a subscriber, has no such notice: its text may be a complete
    brief.
    """
    text, words = evidence.text, evidence.words
    access = find_access(evidence.page, status)
    locked = access is not None and not access[0]
    most = 2 * MAX_STUB_WORDS if locked else MAX_STUB_WORDS
    if words < most:
        match = PAYWALL_NOTICE.search(evidence.ending) or PAYWALL_NOTICE.search(text)
        if match is None and access is None:
            match = _find_notice_behind(text, read_visible_text(evidence.page.marks.tree))
        elif match is None and locked and words < MAX_STUB_WORDS:
            match = _find_notice(read_visible_text(evidence.page.marks.tree), 0)
        if match is not None:
            return OutcomeRecord(Outcome.PAYWALL, Sentence("{n} words, then {what}", n=words, what=repr(match.group())))
    elif (found := _find_notice_line(text, most)) is not None:
        return OutcomeRecord(Outcome.PAYWALL, Sentence("{n} words, then {what}", n=found[0], what=repr(found[1])))
    if locked and words < MAX_STUB_WORDS // 2:
        return OutcomeRecord(Outcome.PAYWALL, Sentence("a teaser of {n} words; {reason}", n=words, reason=access[1] if access else ""))
    return None


def is_locked_by_ghost(page: StructuredData) -> bool:
    """Return True for a post of Ghost, the publishing program, of which only the free part is shown; only then it has this notice."""
    return (page.first("generator") or "").startswith("Ghost") and bool(_GHOST_NOTICE(page.marks.tree))


def _find_notice_line(text: str, most: int) -> tuple[int, str] | None:
    """Return (words before it, notice) for a notice in a short line, with fewer than `most` words before it and only an offer below."""
    lines = text.split("\n")
    before = list(accumulate(map(count_words, lines), initial=0))
    for number, line in enumerate(lines):
        if before[number] >= most:
            return None
        match = PAYWALL_NOTICE.search(line)
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
    return _find_notice(visible[: end + MAX_BEHIND_CHARACTERS], end)


def _find_notice(visible: str, start: int) -> re.Match[str] | None:
    """Return the first notice from `start` on that does more than ask whether the reader is a subscriber."""
    return next((match for match in PAYWALL_NOTICE.finditer(visible, start) if _LOG_IN.fullmatch(match.group()) is None), None)
