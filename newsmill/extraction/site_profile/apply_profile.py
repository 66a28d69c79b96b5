"""What a site's profile makes of a page: lines that repeat go, and places speak beside the model. Pure, and blind to the order of pages.

Weak evidence decides nothing: with one to four pages a profile takes only short repeated lines off the end (FINDINGS 3: it must not
overrule the model there), and places speak from twenty pages on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean, median

from newsmill.extraction.body.blocks import HEADINGS, LINK
from newsmill.extraction.body.markup import with_text
from newsmill.extraction.cache import once_per_profile
from newsmill.extraction.site_profile.site_keys import (
    BEGINS,
    EXEMPT,
    LONG,
    NO_PROSE,
    beginning_key,
    ending_key,
    line_key,
    opening,
    openings,
    path_key,
    paths_of,
    tail_of,
)
from newsmill.model import Block, BlockType, LineStats, PathStats, Profile

LAYER = "profile"
YOUNG = 5  # pages; with fewer a profile takes only short repeated lines off the end
MATURE = 20  # pages; from here on paths speak too, and one section is enough for what repeats inside the text
COMMON = 0.5  # of the pages: a short line that repeats inside the text must be on most of them
PHRASE = 6  # words
LEFT = 0.3  # of a page's kept words must stay, else the page is not what the profile knows
KNOWN = 5  # pages that must have shown a place before it says anything
MIXED = 0.15  # of a place's words that were text, or were not: which of its blocks are, its path cannot tell
FEW_PAGES = 3  # that must have shown a place, for what its own page leaves out there to be text all the same
SURE = 0.97  # of a place's words that were text, from which all are
STRANGE = 0.05  # of a page's text may stand at doubtful places, or so many words:
STRANGE_WORDS = 25
FEW_LINKED = 0.15  # of a site's words; where more is link, links are its text
MOSTLY = "its list is mostly what stands on other pages of this site too"
_LETTER = re.compile(r"[^\W\d_]")


# ---- lines ---------------------------------------------------------------------------------------------------------------------


def apply(profile: Profile, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks in the same order, with what the profile removes marked `layer="profile"` and the evidence as the reason.

    A page of which hardly anything would stay is left as it is: it is not one of those the profile knows.
    """
    tail = tail_of(blocks)
    out: list[Block] = []
    for at, block in enumerate(blocks):
        out.extend(_judge(profile, block, [(at, number) in tail for number in range(block.text.count("\n") + 1)]))
    if len(out) == len(blocks) and all(one is other for one, other in zip(out, blocks, strict=True)):
        return tuple(blocks)
    return tuple(out) if kept_words(out) >= LEFT * kept_words(blocks) else tuple(blocks)


def _judge(profile: Profile, block: Block, at_end: Sequence[bool]) -> Iterator[Block]:
    """The block in pieces: runs of lines that stay, and runs that go for one reason."""
    if not block.kept or block.type in EXEMPT:
        yield block
        return
    reason = path_reason(profile, block.path)
    if reason is not None:
        yield replace(block, kept=False, layer=LAYER, reason=reason)
        return
    lines = block.text.split("\n")
    reasons = [line_reason(profile, block.path, line, ending=ending) for line, ending in zip(lines, at_end, strict=True)]
    if not any(reasons):
        yield block
        return
    if block.type is BlockType.LIST and len(lines) > sum(reason is not None for reason in reasons) >= max(2, len(lines) / 2):
        reasons = [reason or MOSTLY for reason in reasons]
    start = 0
    for reason, group in groupby(zip(reasons, lines, strict=True), key=lambda pair: pair[0]):
        text = "\n".join(line for _, line in group)
        part = with_text(block, text, start)
        yield part if reason is None else replace(part, kept=False, layer=LAYER, reason=reason)
        start += len(text) + 1


def line_reason(profile: Profile, path: str | None, line: str, *, ending: bool) -> str | None:
    """Why a kept line is no part of the text; None where the profile knows too little of it. `ending`: it is near the end."""
    if _openings(profile).isdisjoint(openings(path, line)):
        return None
    for key in (line_key(path, line), ending_key(path, line)):
        seen = profile.lines.get(key) if key is not None else None
        if seen is not None and (_ends(profile, seen, len(line.split())) if ending else _repeats(profile, seen, line)):
            return f"stands on {seen.pages} of {profile.pages} pages of this site"
    begun = profile.lines.get(beginning_key(path, line) or "") if ending else None
    if begun is not None and _begins(profile, begun):
        return f"ends {begun.pages} of {profile.pages} pages of this site with the same first words"
    return None


@once_per_profile
def _openings(profile: Profile) -> frozenset[str]:
    """How the lines begin that the profile knows: for most lines of a text, to see that it is none of them."""
    return frozenset(map(opening, profile.lines))


def _ends(profile: Profile, seen: LineStats, words: int) -> bool:
    """A line that ends one text after another is a footer, in whatever section. An author's line stands on a few pages and stays."""
    if seen.pages < (3 if words > LONG else 2) or (2 * seen.ending < seen.kept and not _unwanted(seen)):
        return False
    if profile.pages < YOUNG:
        return words <= LONG and seen.ending >= 2 and seen.pages >= COMMON * profile.pages
    long_in_sections = words > LONG and seen.sections > 1  # three authors do not end with the same 26 words by chance
    return seen.pages >= YOUNG or seen.pages >= COMMON * profile.pages or long_in_sections


def _begins(profile: Profile, seen: LineStats) -> bool:
    """Lines that begin alike must end most pages: a village's reports may all end with the same call for witnesses now and then."""
    return profile.pages >= YOUNG and seen.pages >= COMMON * profile.pages


def _repeats(profile: Profile, seen: LineStats, line: str) -> bool:
    """A line inside the text must stand in two sections, or on many pages: a series asks the same question every week.

    A short one ("Background") must be on most pages besides; of six words the same at one place no two authors think by chance.
    """
    if profile.pages < YOUNG or seen.pages < YOUNG or _LETTER.search(line) is None:
        return False
    common = _unwanted(seen) or seen.pages >= COMMON * profile.pages
    return (common and seen.pages >= MATURE) if seen.sections < 2 else (common or len(line.split()) >= PHRASE)


def _unwanted(seen: LineStats) -> bool:
    """The layers before left it out on four pages of five, so here they slipped."""
    return seen.pages >= YOUNG and 5 * seen.kept <= seen.pages


# ---- places --------------------------------------------------------------------------------------------------------------------


def path_reason(profile: Profile, path: str | None) -> str | None:
    """Why a kept block goes, by its path alone: on many pages, in more than one section, and never part of the text or always a link."""
    seen = profile.paths.get(path_key(path)) if path else None
    if path is None or seen is None or profile.pages < MATURE or seen.pages < COMMON * profile.pages:
        return None
    if seen.sections < 2:  # the next section may put its text there
        return None
    if not seen.kept_words:
        return f"its place is on {seen.pages} of {profile.pages} pages of this site and never part of the text"
    return f"a link stands at its place on {seen.pages} of {profile.pages} pages of this site" if _leads_away(profile, path, seen) else None


def leads_away(profile: Profile, path: str | None) -> bool:
    """Whether what stands at this place goes because it never is part of the text, or always a link to another article."""
    return path_reason(profile, path) is not None


def _leads_away(profile: Profile, path: str, seen: PathStats) -> bool:
    """Whether what is mostly link at this place leads to other articles: a sentence of the text is a link now and then, not on every page.

    Not so under headings (a guide links what it compares), nor where links are much of the site's text.
    """
    *_, box, last = ("", *path.split("/"))
    if last != LINK or box.split(".")[0] in HEADINGS or profile.norm is None:
        return False
    return seen.kept_words <= FEW_LINKED * profile.norm.median * profile.pages


def is_text(seen: PathStats | None) -> bool | None:
    """Whether a place holds text, as most of its words did; None where too few pages have shown it.

    Three are enough if all of it was text.
    """
    if seen is None or not seen.words or (seen.pages < KNOWN and (seen.pages < FEW_PAGES or seen.kept_words < seen.words)):
        return None
    return 2 * seen.kept_words > seen.words


def is_sure_text(profile: Profile, path: str, text: str) -> bool:
    """Whether a block is text whatever its own page says: all that stood at its place was, and none of its lines recurs on the site.

    For profiles of MATURE pages; others have not corrected what the block model made of single pages.
    """
    seen = profile.paths.get(path_key(path))
    if seen is None or seen.pages < FEW_PAGES or seen.kept_words < SURE * seen.words:
        return False
    return not any(line_key(path, line) in profile.lines for line in text.split("\n"))


def doubt(seen: PathStats | None) -> float:
    """How little a place says of its blocks: 1 where it is unknown or half of its words were text; 0 where nearly all were, or none.

    Twice the share of its words that were what most of them are not: so many of the words there the profile gets wrong, and twice as many
    are counted, because it gets them wrong a block at a time.
    """
    if seen is None or is_text(seen) is None:
        return 1.0
    other = min(seen.kept_words, seen.words - seen.kept_words) / seen.words
    return 2 * other if other > MIXED else 0.0


def is_strange(doubtful: float, text: float) -> bool:
    """Whether so many words at doubtful places (each by its `doubt`) beside so many words of text leave it to the long way."""
    return doubtful > max(STRANGE_WORDS, STRANGE * text)


def rehearse(profile: Profile, pages: Sequence[Sequence[Block]]) -> tuple[float | None, float | None]:
    """How well paths alone would find the text of the profile's own pages, each judged by all the others.

    The share of pages that hold little text at places the others do not know, and the mean F1 over words on these; None without any.
    """
    scores = [score for page in pages if (score := _rehearsed(profile, page)) is not None]
    if not scores:
        return (0.0 if pages else None), None
    return round(len(scores) / len(pages), 3), round(fmean(scores), 4)


def _rehearsed(profile: Profile, page: Sequence[Block]) -> float | None:
    right = taken = wanted = 0
    strange = 0.0
    counted = paths_of(page)
    for block in apply(profile, page):
        if block.path is None or block.layer == LAYER or block.type in NO_PROSE:  # what repeats goes either way
            continue
        size, key = len(block.text.split()), path_key(block.path)
        seen = _without(profile.paths.get(key), *counted[key])
        verdict = is_text(seen)
        wanted += size * block.kept
        strange += size * doubt(seen)
        taken += size * bool(verdict)
        right += size * (bool(verdict) and block.kept)
    if not wanted or is_strange(strange, wanted):
        return None
    return 2 * right / (taken + wanted) if taken else 0.0


def _without(seen: PathStats | None, words: int, kept: int) -> PathStats | None:
    if seen is None:
        return None
    return replace(seen, pages=seen.pages - 1, words=seen.words - words, kept_words=seen.kept_words - kept)


def kept_words(blocks: Iterable[Block]) -> int:
    """Words of the blocks that are kept."""
    return sum(len(block.text.split()) for block in blocks if block.kept)


# ---- is it still this site? ----------------------------------------------------------------------------------------------------

RECENT = 5  # pages at least, before anything is said about a changed layout


def fit(profile: Profile, blocks: Iterable[Block]) -> float:
    """The share of a page's kept words that stands where the profile knows text from another page; 1 where blocks have no path."""
    known = total = 0
    for block in blocks:
        if block.kept and block.path:
            size = len(block.text.split())
            seen = profile.paths.get(path_key(block.path))
            known += size * (seen is not None and seen.kept > 1)
            total += size
    return known / total if total else 1.0


def layout_changed(profile: Profile, fits: Collection[float]) -> bool:
    """True when most of the recent pages keep their text where the profile's own pages never had it."""
    return len(fits) >= RECENT and median(fits) < 0.5 * (profile.fit or 0.0)


STEPS = (5, 20, 60)  # documents of a site at which it is learnt; from then on whenever there are three times as many


RICHER = 1.5  # times as many pages


def is_due(documents: int, learnt_at: int) -> bool:
    """Whether a site that has so many documents now, and had `learnt_at` when it was learnt last (0: never), should be learnt again."""
    next_step = next((step for step in STEPS if step > learnt_at), 3 * learnt_at)
    return documents >= next_step


def teaches(old: Profile | None, new: Profile) -> bool:
    """Whether `new` would treat pages otherwise than `old` does, or knows the site's places much better, so that it is worth a version."""
    if old is None or (old.pages < YOUNG <= new.pages) or (old.pages < MATURE <= new.pages):
        return True
    if new.pages >= RICHER * old.pages:  # what stands on every tenth page is seen too seldom on twenty (KNOWN), and sends them the long way
        return True
    return bool(decided(old) ^ decided(new))


def decided(profile: Profile) -> frozenset[str]:
    """Every line and path that was part of a text once and that the profile would remove now."""
    lines = {
        key
        for key, seen in profile.lines.items()
        if seen.kept
        and (
            _begins(profile, seen) if key.endswith(BEGINS) else _ends(profile, seen, 0) or _repeats(profile, seen, key.partition(" | ")[2])
        )
    }
    return frozenset(lines)


# ---- is it still to be trusted? ------------------------------------------------------------------------------------------------

FEW = 3  # disagreements that prove nothing
BOUND = 0.15  # of the pages that went both ways: more disagreements, and the site goes the long way again


def is_mistrusted(agreed: int, disagreed: int) -> bool:
    """Whether the fast and the long way disagreed on so many pages that the site goes the long way until it is learnt anew."""
    return disagreed > FEW and disagreed > BOUND * (agreed + disagreed)


def leaves_alone(old: Profile | None, new: Profile, blocks: Sequence[Block]) -> bool:
    """Whether a document of these kept blocks, cleaned with `old`, would keep every line under `new`.

    Where `new` no longer removes what `old` removed, nobody can tell from the blocks that are left: then it is not left alone.
    """
    if old is not None and decided(old) - decided(new):
        return False
    return all(block.kept for block in apply(new, blocks))
