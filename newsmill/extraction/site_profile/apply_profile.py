"""Removal of the lines that a site repeats on its pages, by its profile. Page order has no effect.

A profile of one to four pages removes only short repeated lines at the end of a text.
Such weak evidence must not override the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from newsmill.extraction.body.markup import cut_block
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile.position_evidence import (
    MATURE_PAGES,
    MIN_COMMON_SHARE,
    YOUNG_PAGES,
    count_kept_words,
    find_path_reason,
)
from newsmill.extraction.site_profile.profile_cache import cache_per_profile
from newsmill.extraction.site_profile.site_keys import (
    BEGINNING_MARK,
    EXEMPT_TYPES,
    LONG_LINE_WORDS,
    find_tail,
    get_key_prefix,
    list_key_prefixes,
    make_beginning_key,
    make_ending_key,
    make_line_key,
)
from newsmill.model import Block, BlockType, LineStats, Profile
from newsmill.text.sentences import cached_sentence

LAYER = "profile"
MIN_PHRASE_WORDS = 6  # words; a shorter line that repeats inside the text must be on most pages
MIN_LEFT_SHARE = 0.3  # share of a page's kept words that must remain; otherwise the profile does not fit the page
REPEATED = "stands on {n} of {of} pages of this site"
REPEATED_BEGINNING = "ends {n} of {of} pages of this site with the same first words"
REPEATED_LIST = "its list is mostly what stands on other pages of this site too"
_LETTER = re.compile(r"[^\W\d_]")


def apply(profile: Profile, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the same blocks in the same order. What the profile removes has `layer="profile"` and the evidence as its reason.

    A block of which only some lines are removed is split.
    The blocks are unchanged if less than MIN_LEFT_SHARE of the kept words would remain: the profile does not fit such a page.
    """
    tail = find_tail(blocks)
    out: list[Block] = []
    for at, block in enumerate(blocks):
        out.extend(_split_block(profile, block, [(at, number) in tail for number in range(block.text.count("\n") + 1)]))
    if len(out) == len(blocks) and all(one is other for one, other in zip(out, blocks, strict=True)):
        return tuple(blocks)
    return tuple(out) if count_kept_words(out) >= MIN_LEFT_SHARE * count_kept_words(blocks) else tuple(blocks)


def _split_block(profile: Profile, block: Block, at_end: Sequence[bool]) -> Iterator[Block]:
    """Yield the block in pieces: runs of lines that stay, and runs that are removed for one reason."""
    if not block.kept or block.type in EXEMPT_TYPES:
        yield block
        return
    reason = find_path_reason(profile, block.path)
    if reason is not None:
        yield replace(block, kept=False, layer=LAYER, reason=reason)
        return
    lines = block.text.split("\n")
    reasons = [find_line_reason(profile, block.path, line, ending=ending) for line, ending in zip(lines, at_end, strict=True)]
    if not any(reasons):
        yield block
        return
    if block.type is BlockType.LIST and len(lines) > sum(reason is not None for reason in reasons) >= max(2, len(lines) / 2):
        reasons = [reason or REPEATED_LIST for reason in reasons]
    start = 0
    for reason, group in groupby(zip(reasons, lines, strict=True), key=lambda pair: pair[0]):
        text = "\n".join(line for _, line in group)
        part = cut_block(block, text, start)
        yield part if reason is None else replace(part, kept=False, layer=LAYER, reason=reason)
        start += len(text) + 1


def find_line_reason(profile: Profile, path: str | None, line: str, *, ending: bool) -> str | None:
    """Return why a kept line is not text, or None if the profile has too little evidence. `ending`: the line is near the end."""
    if _list_key_prefixes(profile).isdisjoint(list_key_prefixes(path, line)):
        return None
    for key in (make_line_key(path, line), make_ending_key(path, line)):
        seen = profile.lines.get(key) if key is not None else None
        if seen is not None and (
            _is_repeated_ending(profile, seen, count_line_words(line)) if ending else _is_repeated_inside(profile, seen, line)
        ):
            return cached_sentence(REPEATED, n=seen.pages, of=profile.pages)
    begun = profile.lines.get(make_beginning_key(path, line) or "") if ending else None
    if begun is not None and _is_repeated_beginning(profile, begun):
        return cached_sentence(REPEATED_BEGINNING, n=begun.pages, of=profile.pages)
    return None


@cache_per_profile
def _list_key_prefixes(profile: Profile) -> frozenset[str]:
    """Return the prefixes of the keys of the profile's lines. They rule out most lines of a text without a further lookup."""
    return frozenset(map(get_key_prefix, profile.lines))


def _is_repeated_ending(profile: Profile, seen: LineStats, words: int) -> bool:
    """Return True for a footer: a line that ends many texts, in any section. An author's line is on a few pages and stays."""
    if seen.pages < (3 if words > LONG_LINE_WORDS else 2) or (2 * seen.ending < seen.kept and not _is_mostly_removed(seen)):
        return False
    if profile.pages < YOUNG_PAGES:
        return words <= LONG_LINE_WORDS and seen.ending >= 2 and seen.pages >= MIN_COMMON_SHARE * profile.pages
    long_in_sections = words > LONG_LINE_WORDS and seen.sections > 1  # three authors do not write the same 26 words by chance
    return seen.pages >= YOUNG_PAGES or seen.pages >= MIN_COMMON_SHARE * profile.pages or long_in_sections


def _is_repeated_beginning(profile: Profile, seen: LineStats) -> bool:
    """Return True if lines with this beginning end most pages. Some reports from one village may end with the same call for witnesses."""
    return profile.pages >= YOUNG_PAGES and seen.pages >= MIN_COMMON_SHARE * profile.pages


def _is_repeated_inside(profile: Profile, seen: LineStats, line: str) -> bool:
    """Return True if a line inside the text repeats in two sections or on many pages. A series asks the same question every week.

    A short line ("Background") must also be on most pages. Two authors do not write the same six words at one position by chance.
    """
    if profile.pages < YOUNG_PAGES or seen.pages < YOUNG_PAGES or _LETTER.search(line) is None:
        return False
    common = _is_mostly_removed(seen) or seen.pages >= MIN_COMMON_SHARE * profile.pages
    return (common and seen.pages >= MATURE_PAGES) if seen.sections < 2 else (common or count_line_words(line) >= MIN_PHRASE_WORDS)


def _is_mostly_removed(seen: LineStats) -> bool:
    """Return True if the earlier layers removed the line on four of five pages, so that the remaining cases are their errors."""
    return seen.pages >= YOUNG_PAGES and 5 * seen.kept <= seen.pages


def find_removed_lines(profile: Profile) -> frozenset[str]:
    """Return the keys of the lines that were part of a text at least once and that the profile removes now."""
    lines = {
        key
        for key, seen in profile.lines.items()
        if seen.kept
        and (
            _is_repeated_beginning(profile, seen)
            if key.endswith(BEGINNING_MARK)
            else _is_repeated_ending(profile, seen, 0) or _is_repeated_inside(profile, seen, key.partition(" | ")[2])
        )
    }
    return frozenset(lines)
