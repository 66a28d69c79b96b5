"""What a site's profile makes of a page: lines that repeat go, and places speak beside the model. Pure, and blind to the order of pages.

Weak evidence decides nothing: with one to four pages a profile takes only short repeated lines off the end: it must not
overrule the model there, and places speak from twenty pages on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean, median

from newsmill.extraction.body.blocks import HEADING_TAGS, LINK_SIGN
from newsmill.extraction.body.markup import cut_block
from newsmill.extraction.cache import cache_per_profile
from newsmill.extraction.site_profile.site_keys import (
    BEGINNING_MARK,
    EXEMPT_TYPES,
    LONG_LINE_WORDS,
    NON_PROSE_TYPES,
    count_path_words,
    find_tail,
    get_opening,
    list_openings,
    make_beginning_key,
    make_ending_key,
    make_line_key,
    make_path_key,
)
from newsmill.model import Block, BlockType, LineStats, PathStats, Profile

LAYER = "profile"
YOUNG_PAGES = 5  # pages; with fewer a profile takes only short repeated lines off the end
MATURE_PAGES = 20  # pages; from here on paths speak too, and one section is enough for what repeats inside the text
MIN_COMMON_SHARE = 0.5  # of the pages: a short line that repeats inside the text must be on most of them
MIN_PHRASE_WORDS = 6  # words
MIN_LEFT_SHARE = 0.3  # of a page's kept words must stay, else the page is not what the profile knows
MIN_KNOWN_PAGES = 5  # pages that must have shown a place before it says anything
MAX_MIXED_SHARE = 0.15  # of a place's words that were text, or were not: which of its blocks are, its path cannot tell
MIN_SURE_PAGES = 3  # that must have shown a place, for what its own page leaves out there to be text all the same
MIN_SURE_SHARE = 0.97  # of a place's words that were text, from which all are
MAX_STRANGE_SHARE = 0.05  # of a page's text may stand at doubtful places, or so many words:
MAX_STRANGE_WORDS = 25
MAX_LINKED_SHARE = 0.15  # of a site's words; where more is link, links are its text
REPEATED_LIST = "its list is mostly what stands on other pages of this site too"
_LETTER = re.compile(r"[^\W\d_]")


# ---- lines ---------------------------------------------------------------------------------------------------------------------


def apply(profile: Profile, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks in the same order, with what the profile removes marked `layer="profile"` and the evidence as the reason.

    A page of which hardly anything would stay is left as it is: it is not one of those the profile knows.
    """
    tail = find_tail(blocks)
    out: list[Block] = []
    for at, block in enumerate(blocks):
        out.extend(_split_block(profile, block, [(at, number) in tail for number in range(block.text.count("\n") + 1)]))
    if len(out) == len(blocks) and all(one is other for one, other in zip(out, blocks, strict=True)):
        return tuple(blocks)
    return tuple(out) if count_kept_words(out) >= MIN_LEFT_SHARE * count_kept_words(blocks) else tuple(blocks)


def _split_block(profile: Profile, block: Block, at_end: Sequence[bool]) -> Iterator[Block]:
    """The block in pieces: runs of lines that stay, and runs that go for one reason."""
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
    """Why a kept line is no part of the text; None where the profile knows too little of it. `ending`: it is near the end."""
    if _list_profile_openings(profile).isdisjoint(list_openings(path, line)):
        return None
    for key in (make_line_key(path, line), make_ending_key(path, line)):
        seen = profile.lines.get(key) if key is not None else None
        if seen is not None and (
            _is_repeated_ending(profile, seen, len(line.split())) if ending else _is_repeated_inside(profile, seen, line)
        ):
            return f"stands on {seen.pages} of {profile.pages} pages of this site"
    begun = profile.lines.get(make_beginning_key(path, line) or "") if ending else None
    if begun is not None and _is_repeated_beginning(profile, begun):
        return f"ends {begun.pages} of {profile.pages} pages of this site with the same first words"
    return None


@cache_per_profile
def _list_profile_openings(profile: Profile) -> frozenset[str]:
    """How the lines begin that the profile knows: for most lines of a text, to see that it is none of them."""
    return frozenset(map(get_opening, profile.lines))


def _is_repeated_ending(profile: Profile, seen: LineStats, words: int) -> bool:
    """A line that ends one text after another is a footer, in whatever section. An author's line stands on a few pages and stays."""
    if seen.pages < (3 if words > LONG_LINE_WORDS else 2) or (2 * seen.ending < seen.kept and not _is_mostly_removed(seen)):
        return False
    if profile.pages < YOUNG_PAGES:
        return words <= LONG_LINE_WORDS and seen.ending >= 2 and seen.pages >= MIN_COMMON_SHARE * profile.pages
    long_in_sections = words > LONG_LINE_WORDS and seen.sections > 1  # three authors do not end with the same 26 words by chance
    return seen.pages >= YOUNG_PAGES or seen.pages >= MIN_COMMON_SHARE * profile.pages or long_in_sections


def _is_repeated_beginning(profile: Profile, seen: LineStats) -> bool:
    """Lines that begin alike must end most pages: a village's reports may all end with the same call for witnesses now and then."""
    return profile.pages >= YOUNG_PAGES and seen.pages >= MIN_COMMON_SHARE * profile.pages


def _is_repeated_inside(profile: Profile, seen: LineStats, line: str) -> bool:
    """A line inside the text must stand in two sections, or on many pages: a series asks the same question every week.

    A short one ("Background") must be on most pages besides; of six words the same at one place no two authors think by chance.
    """
    if profile.pages < YOUNG_PAGES or seen.pages < YOUNG_PAGES or _LETTER.search(line) is None:
        return False
    common = _is_mostly_removed(seen) or seen.pages >= MIN_COMMON_SHARE * profile.pages
    return (common and seen.pages >= MATURE_PAGES) if seen.sections < 2 else (common or len(line.split()) >= MIN_PHRASE_WORDS)


def _is_mostly_removed(seen: LineStats) -> bool:
    """The layers before left it out on four pages of five, so here they slipped."""
    return seen.pages >= YOUNG_PAGES and 5 * seen.kept <= seen.pages


# ---- places --------------------------------------------------------------------------------------------------------------------


def find_path_reason(profile: Profile, path: str | None) -> str | None:
    """Why a kept block goes, by its path alone: on many pages, in more than one section, and never part of the text or always a link."""
    seen = profile.paths.get(make_path_key(path)) if path else None
    if path is None or seen is None or profile.pages < MATURE_PAGES or seen.pages < MIN_COMMON_SHARE * profile.pages:
        return None
    if seen.sections < 2:  # the next section may put its text there
        return None
    if not seen.kept_words:
        return f"this position is on {seen.pages} of {profile.pages} pages of this site and never part of the text"
    return (
        f"a link stands at this position on {seen.pages} of {profile.pages} pages of this site"
        if _is_teaser_link(profile, path, seen)
        else None
    )


def is_removed_position(profile: Profile, path: str | None) -> bool:
    """Whether what stands at this place goes because it never is part of the text, or always a link to another article."""
    return find_path_reason(profile, path) is not None


def _is_teaser_link(profile: Profile, path: str, seen: PathStats) -> bool:
    """Whether what is mostly link at this place leads to other articles: a sentence of the text is a link now and then, not on every page.

    Not so under headings (a guide links what it compares), nor where links are much of the site's text.
    """
    *_, box, last = ("", *path.split("/"))
    if last != LINK_SIGN or box.split(".")[0] in HEADING_TAGS or profile.norm is None:
        return False
    return seen.kept_words <= MAX_LINKED_SHARE * profile.norm.median * profile.pages


def holds_text(seen: PathStats | None) -> bool | None:
    """Whether a place holds text, as most of its words did; None where too few pages have shown it.

    Three are enough if all of it was text.
    """
    if seen is None or not seen.words or (seen.pages < MIN_KNOWN_PAGES and (seen.pages < MIN_SURE_PAGES or seen.kept_words < seen.words)):
        return None
    return 2 * seen.kept_words > seen.words


def is_sure_text(profile: Profile, path: str, text: str) -> bool:
    """Whether a block is text whatever its own page says: all that stood at its place was, and none of its lines recurs on the site.

    For profiles of MATURE pages; others have not corrected what the block model made of single pages.
    """
    seen = profile.paths.get(make_path_key(path))
    if seen is None or seen.pages < MIN_SURE_PAGES or seen.kept_words < MIN_SURE_SHARE * seen.words:
        return False
    return not any(make_line_key(path, line) in profile.lines for line in text.split("\n"))


def measure_doubt(seen: PathStats | None) -> float:
    """How little a place says of its blocks: 1 where it is unknown or half of its words were text; 0 where nearly all were, or none.

    Twice the share of its words that were what most of them are not: so many of the words there the profile gets wrong, and twice as many
    are counted, because it gets them wrong a block at a time.
    """
    if seen is None or holds_text(seen) is None:
        return 1.0
    other = min(seen.kept_words, seen.words - seen.kept_words) / seen.words
    return 2 * other if other > MAX_MIXED_SHARE else 0.0


def is_strange(doubtful: float, text: float) -> bool:
    """Whether so many words at doubtful places (each by its `doubt`) beside so many words of text leave it to the long way."""
    return doubtful > max(MAX_STRANGE_WORDS, MAX_STRANGE_SHARE * text)


def rate_profile(profile: Profile, pages: Sequence[Sequence[Block]]) -> tuple[float | None, float | None]:
    """How well paths alone would find the text of the profile's own pages, each judged by all the others.

    The share of pages that hold little text at places the others do not know, and the mean F1 over words on these; None without any.
    """
    scores = [score for page in pages if (score := _rate_page(profile, page)) is not None]
    if not scores:
        return (0.0 if pages else None), None
    return round(len(scores) / len(pages), 3), round(fmean(scores), 4)


def _rate_page(profile: Profile, page: Sequence[Block]) -> float | None:
    right = taken = wanted = 0
    strange = 0.0
    counted = count_path_words(page)
    for block in apply(profile, page):
        if block.path is None or block.layer == LAYER or block.type in NON_PROSE_TYPES:  # what repeats goes either way
            continue
        size, key = len(block.text.split()), make_path_key(block.path)
        seen = _subtract_page(profile.paths.get(key), *counted[key])
        verdict = holds_text(seen)
        wanted += size * block.kept
        strange += size * measure_doubt(seen)
        taken += size * bool(verdict)
        right += size * (bool(verdict) and block.kept)
    if not wanted or is_strange(strange, wanted):
        return None
    return 2 * right / (taken + wanted) if taken else 0.0


def _subtract_page(seen: PathStats | None, words: int, kept: int) -> PathStats | None:
    if seen is None:
        return None
    return replace(seen, pages=seen.pages - 1, words=seen.words - words, kept_words=seen.kept_words - kept)


def count_kept_words(blocks: Iterable[Block]) -> int:
    """Words of the blocks that are kept."""
    return sum(len(block.text.split()) for block in blocks if block.kept)


# ---- is it still this site? ----------------------------------------------------------------------------------------------------

MIN_RECENT_PAGES = 5  # pages at least, before anything is said about a changed layout


def measure_fit(profile: Profile, blocks: Iterable[Block]) -> float:
    """The share of a page's kept words that stands where the profile knows text from another page; 1 where blocks have no path."""
    known = total = 0
    for block in blocks:
        if block.kept and block.path:
            size = len(block.text.split())
            seen = profile.paths.get(make_path_key(block.path))
            known += size * (seen is not None and seen.kept > 1)
            total += size
    return known / total if total else 1.0


def has_layout_changed(profile: Profile, fits: Collection[float]) -> bool:
    """True when most of the recent pages keep their text where the profile's own pages never had it."""
    return len(fits) >= MIN_RECENT_PAGES and median(fits) < 0.5 * (profile.fit or 0.0)


LEARNING_STEPS = (5, 20, 60)  # documents of a site at which it is learnt; from then on whenever there are three times as many


MIN_PAGE_GROWTH = 1.5  # times as many pages


def is_learning_due(documents: int, learnt_at: int) -> bool:
    """Whether a site that has so many documents now, and had `learnt_at` when it was learnt last (0: never), should be learnt again."""
    next_step = next((step for step in LEARNING_STEPS if step > learnt_at), 3 * learnt_at)
    return documents >= next_step


def is_improvement(old: Profile | None, new: Profile) -> bool:
    """Whether `new` would treat pages otherwise than `old` does, or knows the site's places much better, so that it is worth a version."""
    if old is None or (old.pages < YOUNG_PAGES <= new.pages) or (old.pages < MATURE_PAGES <= new.pages):
        return True
    if (
        new.pages >= MIN_PAGE_GROWTH * old.pages
    ):  # what stands on every tenth page is seen too seldom on twenty (KNOWN), and sends them the long way
        return True
    return bool(find_removed_lines(old) ^ find_removed_lines(new))


def find_removed_lines(profile: Profile) -> frozenset[str]:
    """Every line and path that was part of a text once and that the profile would remove now."""
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


# ---- is it still to be trusted? ------------------------------------------------------------------------------------------------

MAX_UNPROVEN_DISAGREEMENTS = 3  # disagreements that prove nothing
MAX_DISAGREEMENT_SHARE = 0.15  # of the pages that went both ways: more disagreements, and the site goes the long way again


def is_mistrusted(agreed: int, disagreed: int) -> bool:
    """Whether the fast and the long way disagreed on so many pages that the site goes the long way until it is learnt anew."""
    return disagreed > MAX_UNPROVEN_DISAGREEMENTS and disagreed > MAX_DISAGREEMENT_SHARE * (agreed + disagreed)


def keeps_document(old: Profile | None, new: Profile, blocks: Sequence[Block]) -> bool:
    """Whether a document of these kept blocks, cleaned with `old`, would keep every line under `new`.

    Where `new` no longer removes what `old` removed, nobody can tell from the blocks that are left: then it is not left alone.
    """
    if old is not None and find_removed_lines(old) - find_removed_lines(new):
        return False
    return all(block.kept for block in apply(new, blocks))
