"""Application of a site profile to a page: it removes repeated lines, and its positions supplement the block model and the page's data.

Page order has no effect.

A position is the path of a block. A profile of one to four pages removes only short repeated lines at the end of a text.
Such weak evidence must not override the model. Positions count from 20 pages on.
The functions have no side effects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import wraps
from itertools import groupby
from statistics import median
from typing import TypeVar

from newsmill.extraction.body.blocks import HEADING_TAGS, LINK_SIGN
from newsmill.extraction.body.markup import cut_block
from newsmill.extraction.normalise import count_line_words
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
    make_path_key,
)
from newsmill.model import POSITION_FIELDS, Block, BlockType, LineStats, PathStats, Profile

LAYER = "profile"
YOUNG_PAGES = 5  # pages; a profile of fewer removes only short repeated lines at the end
MATURE_PAGES = 20  # pages; from here on paths count too, and one section suffices for lines that repeat inside the text
MIN_COMMON_SHARE = 0.5  # share of the pages that a short line which repeats inside the text must be on
MIN_PHRASE_WORDS = 6  # words; a shorter line that repeats inside the text must be on most pages
MIN_LEFT_SHARE = 0.3  # share of a page's kept words that must remain; otherwise the profile does not fit the page
MIN_KNOWN_PAGES = 5  # pages; a position on fewer gives no evidence
# Share of a position's words with the less common decision (text or not).
# Above it, the path cannot tell which of its blocks are text.
MAX_MIXED_SHARE = 0.15
MIN_SURE_PAGES = 3  # pages; a position on fewer does not restore blocks that a page's own extraction removes
MIN_SURE_SHARE = 0.97  # share of a position's words that were text, from which all of them are
# A page is strange if more of its text is at doubtful positions than this share and this number of words.
MAX_STRANGE_SHARE = 0.05
MAX_STRANGE_WORDS = 25
MAX_LINKED_SHARE = 0.15  # share of a site's words; if a link position has more of them, its links are part of the text
REPEATED_LIST = "its list is mostly what stands on other pages of this site too"
_LETTER = re.compile(r"[^\W\d_]")
MAX_CACHED_PROFILES = 64  # twice as many as a child of the sandbox receives

Made = TypeVar("Made")


def cache_per_profile(make: Callable[[Profile], Made]) -> Callable[[Profile], Made]:
    """Cache the results of `make` by the identity of the profile, because a comparison of two profiles takes longer.

    A process keeps one object per profile, so identity identifies a profile.
    """
    known: dict[int, tuple[Profile, Made]] = {}

    @wraps(make)
    def made(profile: Profile) -> Made:
        found = known.get(id(profile))
        if found is not None and found[0] is profile:
            return found[1]
        if len(known) >= MAX_CACHED_PROFILES:
            known.clear()
        known[id(profile)] = profile, make(profile)
        return known[id(profile)][1]

    return made


# ---- lines ---------------------------------------------------------------------------------------------------------------------


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
    """Return why a kept line is not part of the text, or None if the profile has too little evidence.

    `ending`: the line is near the end of the text.
    """
    if _list_key_prefixes(profile).isdisjoint(list_key_prefixes(path, line)):
        return None
    for key in (make_line_key(path, line), make_ending_key(path, line)):
        seen = profile.lines.get(key) if key is not None else None
        if seen is not None and (
            _is_repeated_ending(profile, seen, count_line_words(line)) if ending else _is_repeated_inside(profile, seen, line)
        ):
            return f"stands on {seen.pages} of {profile.pages} pages of this site"
    begun = profile.lines.get(make_beginning_key(path, line) or "") if ending else None
    if begun is not None and _is_repeated_beginning(profile, begun):
        return f"ends {begun.pages} of {profile.pages} pages of this site with the same first words"
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
    """Return True if lines with this beginning end most pages.

    Fewer pages do not suffice: all reports from one village may end with the same call for witnesses.
    """
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


# ---- positions -----------------------------------------------------------------------------------------------------------------


def find_path_reason(profile: Profile, path: str | None) -> str | None:
    """Return why the path alone removes a kept block, or None.

    The path must be on many pages and in more than one section, and must never hold text or always hold a link.
    """
    seen = profile.paths.get(make_path_key(path)) if path else None
    if path is None or seen is None or profile.pages < MATURE_PAGES or seen.pages < MIN_COMMON_SHARE * profile.pages:
        return None
    if seen.sections < 2:  # another section may have its text at this position
        return None
    if not seen.kept_words:
        return f"this position is on {seen.pages} of {profile.pages} pages of this site and never part of the text"
    return (
        f"a link stands at this position on {seen.pages} of {profile.pages} pages of this site"
        if _is_teaser_link(profile, path, seen)
        else None
    )


def is_removed_position(profile: Profile, path: str | None) -> bool:
    """Return whether blocks at this position are removed because they are never text or always a link to another article."""
    return find_path_reason(profile, path) is not None


def _is_teaser_link(profile: Profile, path: str, seen: PathStats) -> bool:
    """Return whether the links at this position lead to other articles. A sentence of the text is a link only on some pages.

    Headings are exempt (a guide links what it compares), and so are sites whose text has many links.
    """
    *_, box, last = ("", *path.split("/"))
    if last != LINK_SIGN or box.split(".")[0] in HEADING_TAGS or profile.norm is None:
        return False
    return seen.kept_words <= MAX_LINKED_SHARE * profile.norm.median * profile.pages


def holds_text(seen: PathStats | None) -> bool | None:
    """Return whether most of a position's words were text, or None if it was on fewer than MIN_KNOWN_PAGES pages.

    MIN_SURE_PAGES pages suffice if all of its words were text.
    """
    if seen is None or not seen.words or (seen.pages < MIN_KNOWN_PAGES and (seen.pages < MIN_SURE_PAGES or seen.kept_words < seen.words)):
        return None
    return 2 * seen.kept_words > seen.words


def is_sure_text(profile: Profile, path: str, text: str) -> bool:
    """Return whether a block is text regardless of its own page.

    Nearly all words at its position were text, and none of its lines recurs on the site.
    The caller uses it only for profiles of at least MATURE_PAGES pages: other profiles have not corrected the block model's decisions.
    """
    seen = profile.paths.get(make_path_key(path))
    if seen is None or seen.pages < MIN_SURE_PAGES or seen.kept_words < MIN_SURE_SHARE * seen.words:
        return False
    return not any(make_line_key(path, line) in profile.lines for line in text.split("\n"))


def measure_doubt(seen: PathStats | None) -> float:
    """Return how little a position says about its blocks: 0 if nearly all or none of its words were text, 1 if it is unknown or half were.

    The value is twice the share of words with the less common decision.
    The profile is wrong about that share, and the factor 2 allows for errors that affect whole blocks.
    """
    if seen is None or holds_text(seen) is None:
        return 1.0
    other = min(seen.kept_words, seen.words - seen.kept_words) / seen.words
    return 2 * other if other > MAX_MIXED_SHARE else 0.0


def is_strange(doubtful: float, text: float) -> bool:
    """Return whether a page needs full extraction.

    `doubtful` is the number of words at doubtful positions, weighted by `measure_doubt`. `text` is the number of words of text.
    """
    return doubtful > max(MAX_STRANGE_WORDS, MAX_STRANGE_SHARE * text)


def count_kept_words(blocks: Iterable[Block]) -> int:
    """Return the number of words in kept blocks."""
    return sum(count_line_words(block.text) for block in blocks if block.kept)


MIN_REACH = 0.5  # share of the profile's pages on which paths alone must find the text
MIN_AGREEMENT = 0.97  # mean F1 over words against full extraction on these pages
MIN_FIT = 0.9  # share of the words of the profile's pages at positions with text on another page


def is_proven(profile: Profile | None) -> bool:
    """Return whether the profile may extract pages without full extraction."""
    if profile is None or not profile.fast or profile.pages < MATURE_PAGES or profile.norm is None:
        return False
    return (profile.reach or 0.0) >= MIN_REACH and (profile.agreement or 0.0) >= MIN_AGREEMENT and (profile.fit or 0.0) >= MIN_FIT


# ---- fields -------------------------------------------------------------------------------------------------------------------

# The position of a field is proven if its first block matches the field on at least 90 % of at least 20 pages.
# A proven position supplies the field if the page's data lacks it. It also overrides a guessed date, and a title from the page's data.

MIN_POSITION_PAGES = 20  # pages that a proven position must be on
MIN_POSITION_AGREEMENT = 0.9  # share of these pages on which the position must match the field
MAX_FIELD_CHARACTERS = 300  # characters of a block that may be a field


def find_first_texts(blocks: Sequence[Block]) -> dict[str, str]:
    """Return the text of the first short block at every position, by path key."""
    first: dict[str, str] = {}
    for block in blocks:
        if block.path and len(block.text) <= MAX_FIELD_CHARACTERS:
            first.setdefault(make_path_key(block.path), block.text)
    return first


def find_field_position(profile: Profile, field: str) -> str | None:
    """Return the path key of the field's proven position, or None."""
    places = profile.fields.get(field, {})
    return next(
        (path for path, seen in places.items() if seen.pages >= MIN_POSITION_PAGES and seen.agreed >= MIN_POSITION_AGREEMENT * seen.pages),
        None,
    )


def find_field_texts(profile: Profile, blocks: Sequence[Block]) -> dict[str, str]:
    """Return the text of the page at the proven position of each field."""
    first = find_first_texts(blocks) if profile.fields else {}
    positions = ((field, find_field_position(profile, field)) for field in POSITION_FIELDS)
    return {field: first[position] for field, position in positions if position in first}


# ---- layout changes and learning schedule --------------------------------------------------------------------------------------

MIN_RECENT_PAGES = 5  # pages; the minimum to report a changed layout


def measure_fit(profile: Profile, blocks: Iterable[Block]) -> float:
    """Return the share, 0 to 1, of a page's kept words at positions with text on another page of the profile.

    A text in a script has no positions. Its share is 1 if another page of the profile had such a text too, else 0.
    """
    known = total = 0
    blocks = tuple(blocks)
    for block in blocks:
        if block.kept and block.path:
            size = count_line_words(block.text)
            seen = profile.paths.get(make_path_key(block.path))
            known += size * (seen is not None and seen.kept > 1)
            total += size
    if total:
        return known / total
    is_known = profile.pathless is None or profile.pathless > 1
    return 1.0 if is_known or not any(block.kept for block in blocks) else 0.0


def has_layout_changed(profile: Profile, fits: Collection[float]) -> bool:
    """Return True if most of the recent pages have their text at positions without text on the profile's own pages.

    `fits` are the `measure_fit` values of the recent pages.
    """
    return len(fits) >= MIN_RECENT_PAGES and median(fits) < 0.5 * (profile.fit or 0.0)


LEARNING_STEPS = (5, 20, 60)  # documents at which a site is learned; later, each time their number triples


MIN_PAGE_GROWTH = 1.5  # growth factor of the number of pages


def is_learning_due(documents: int, learned_at: int) -> bool:
    """Return whether to learn a site with `documents` documents again. `learned_at` is their number at the last learning (0: never)."""
    next_step = next((step for step in LEARNING_STEPS if step > learned_at), 3 * learned_at)
    return documents >= next_step


def is_improvement(old: Profile | None, new: Profile) -> bool:
    """Return whether `new` deserves a version: it treats pages differently from `old`, or knows the site's positions much better."""
    if old is None or (old.pages < YOUNG_PAGES <= new.pages) or (old.pages < MATURE_PAGES <= new.pages):
        return True
    # A position on every tenth page is on too few of 20 pages (MIN_KNOWN_PAGES) and causes full extraction.
    if new.pages >= MIN_PAGE_GROWTH * old.pages:
        return True
    return old.site_tags != new.site_tags or bool(find_removed_lines(old) ^ find_removed_lines(new))


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


# ---- trust in the fast path -------------------------------------------------------------------------------------------------------

MAX_UNPROVEN_DISAGREEMENTS = 3  # disagreements that do not count as evidence
MAX_DISAGREEMENT_SHARE = 0.15  # share of the pages extracted on both paths; above it, the site returns to full extraction


def is_mistrusted(agreed: int, disagreed: int) -> bool:
    """Return whether the fast path and full extraction disagreed on too many pages.

    Such a site uses full extraction until it is learned again.
    """
    return disagreed > MAX_UNPROVEN_DISAGREEMENTS and disagreed > MAX_DISAGREEMENT_SHARE * (agreed + disagreed)


def keeps_document(old: Profile | None, new: Profile, blocks: Sequence[Block]) -> bool:
    """Return whether a document with these kept blocks, cleaned with `old`, would keep every line under `new`.

    The result is False if `new` keeps lines that `old` removed, because the kept blocks do not show where these were.
    """
    if old is not None and find_removed_lines(old) - find_removed_lines(new):
        return False
    return all(block.kept for block in apply(new, blocks))
