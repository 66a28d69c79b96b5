"""What the pages of one site have in common: learnt from their blocks, then applied to the blocks of one page. Pure, and blind to order.

A page alone cannot tell its site's own footer from its last sentence; twenty pages can. Repetition is counted per *line at a place* (the
inner end of the block's path), so that a teaser that repeats an article's first sentence on every page does no harm to the article.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from statistics import fmean, median
from typing import TypeVar
from urllib.parse import urlsplit

from newsmill.model import Block, BlockType, LineSeen, PathSeen, Profile

LAYER = "profile"
YOUNG = 5  # pages; with fewer a profile takes only short repeated lines off the end (FINDINGS 3: 1 to 4 pages must not overrule the model)
MATURE = 20  # pages; from here on paths speak too, and one section is enough for what repeats inside the text
LONG = 25  # words; a longer line must stand on two other pages (FINDINGS 8.6)
COPY = 0.4  # of a page's long blocks on another page make it a copy (FINDINGS 3)
TAIL = 8  # kept lines at the end of a text, at most half of it: where footers stand, as in clean.py
COMMON = 0.5  # of the pages: a short line that repeats inside the text must be on most of them
PHRASE = 6  # words
LEFT = 0.3  # of a page's kept words must stay, else the page is not what the profile knows
INNER = 4  # boxes of a path that make a place: the outer ones carry classes of a section or of a single article
MAX_LINES, MAX_PATHS = 1000, 400  # about 150 KB of JSON at most; 40 pages of 60 real sites had 30 to 400 lines that repeat
LONGEST_KEY = 160  # characters of a line that are kept readable
_EXEMPT = (BlockType.TABLE, BlockType.CODE)  # "Points", "Total": a table's head repeats and is text all the same
_DIGITS = re.compile(r"\d+")
_LETTER = re.compile(r"[^\W\d_]")

Seen = TypeVar("Seen", LineSeen, PathSeen)


@dataclass(frozen=True, slots=True)
class PageBlocks:
    """One page to learn from: its address, and every block of it, read without any profile."""

    url: str
    blocks: tuple[Block, ...]


# ---- learning ------------------------------------------------------------------------------------------------------------------


def learn(pages: Iterable[PageBlocks], site: str = "") -> Profile:
    """The profile of these pages. The same pages in any order give the same profile; copies of one article count once."""
    chosen = without_copies(pages)
    lines: dict[str, list[tuple[bool, bool, str]]] = defaultdict(list)  # key → per page: kept, ending, section
    paths: dict[str, list[tuple[int, int, str]]] = defaultdict(list)  # key → per page: words, kept words, section
    for page in chosen:
        section = section_of(page.url)
        for key, (kept, ending) in _lines_of(page.blocks).items():
            lines[key].append((kept, ending, section))
        for key, (words, kept_words) in _paths_of(page.blocks).items():
            paths[key].append((words, kept_words, section))
    profile = Profile(
        site=site,
        pages=len(chosen),
        sections=len({section_of(page.url) for page in chosen}),
        lines=_most({key: _line(seen) for key, seen in lines.items() if len(seen) > 1}, MAX_LINES),
        paths=_most({key: _path(seen) for key, seen in paths.items()}, MAX_PATHS),
    )
    return replace(profile, fit=round(fmean(fit(profile, page.blocks) for page in chosen), 3) if chosen else None)


def without_copies(pages: Iterable[PageBlocks]) -> list[PageBlocks]:
    """The pages in an order of their own, without those that share over 40 % of their long kept blocks with one before them."""
    chosen: list[PageBlocks] = []
    holders: dict[bytes, list[int]] = defaultdict(list)  # a long block's hash → chosen pages that hold it
    for page in sorted({_digest(repr(page).encode("utf-8", "replace")): page for page in pages}.items()):
        own = {_digest(block.text.encode("utf-8", "replace")) for block in page[1].blocks if block.kept and len(block.text.split()) > LONG}
        shared = max(Counter(number for text in own for number in holders[text]).values(), default=0)
        # One long block alone may be the site's own notice under a short text, unless the page has nothing else.
        if shared > COPY * len(own) and (shared > 1 or len(own) == 1):
            continue
        for text in own:
            holders[text].append(len(chosen))
        chosen.append(page[1])
    return chosen


def section_of(url: str) -> str:
    """The part of the site an address belongs to: its first folder, digits masked; "" for an address without one."""
    folders = urlsplit(url).path.strip("/").split("/")[:-1]
    return _DIGITS.sub("0", folders[0]) if folders else ""


def line_key(path: str | None, line: str) -> str:
    """What makes a line the same line on another page: its place, and its words with digits masked.

    >>> line_key("body/main/div/p", "source site-41") == line_key("body/main/div/p", "source  site-7")
    True
    """
    place = "/".join((path or "").split("/")[-INNER:])
    return _bounded(f"{place} | {_DIGITS.sub('0', ' '.join(line.split()))}")


def _bounded(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else f"{key[: LONGEST_KEY - 20]}…{_digest(key.encode('utf-8', 'replace')).hex()}"


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()


def _lines_of(blocks: Sequence[Block]) -> dict[str, tuple[bool, bool]]:
    """Every line of a page by key: whether it was kept, and whether it was among the last kept ones."""
    tail = tail_of(blocks)
    found: dict[str, tuple[bool, bool]] = {}
    for at, block in enumerate(blocks):
        if block.type in _EXEMPT:
            continue
        for number, line in enumerate(block.text.split("\n")):
            key = line_key(block.path, line)
            kept, ending = found.get(key, (False, False))
            found[key] = kept or block.kept, ending or (at, number) in tail
    return found


def tail_of(blocks: Sequence[Block]) -> frozenset[tuple[int, int]]:
    """The last kept lines, as (block, line within it)."""
    kept = [(at, number) for at, block in enumerate(blocks) if block.kept for number in range(block.text.count("\n") + 1)]
    return frozenset(kept[-max(1, min(TAIL, len(kept) // 2)) :])


def _paths_of(blocks: Sequence[Block]) -> dict[str, tuple[int, int]]:
    """Per path its words, and how many of them were kept."""
    found: dict[str, tuple[int, int]] = {}
    for block in blocks:
        if block.path:
            words, kept = found.get(_bounded(block.path), (0, 0))
            size = len(block.text.split())
            found[_bounded(block.path)] = words + size, kept + size * block.kept
    return found


def _line(seen: Sequence[tuple[bool, bool, str]]) -> LineSeen:
    kept, ending = sum(kept for kept, _, _ in seen), sum(ending for _, ending, _ in seen)
    return LineSeen(len(seen), kept, ending, len({section for _, _, section in seen}))


def _path(seen: Sequence[tuple[int, int, str]]) -> PathSeen:
    words, kept_words = sum(words for words, _, _ in seen), sum(kept for _, kept, _ in seen)
    kept = sum(2 * kept > words for words, kept, _ in seen)
    return PathSeen(len(seen), kept, words, kept_words, len({section for _, _, section in seen}))


def _most(found: Mapping[str, Seen], limit: int) -> dict[str, Seen]:
    """The `limit` entries that matter most (once kept, then on many pages), in the order of their keys."""

    def weight(item: tuple[str, Seen]) -> tuple[bool, int, str]:
        seen = item[1]
        return seen.kept == 0, -seen.pages, item[0]

    return dict(sorted(sorted(found.items(), key=weight)[:limit]))


# ---- applying ------------------------------------------------------------------------------------------------------------------


def apply(profile: Profile, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks in the same order, with what the profile removes marked `layer="profile"` and the evidence as the reason.

    A page of which hardly anything would stay is left as it is: it is not one of those the profile knows.
    """
    tail = tail_of(blocks)
    out: list[Block] = []
    for at, block in enumerate(blocks):
        out.extend(_judge(profile, block, [(at, number) in tail for number in range(block.text.count("\n") + 1)]))
    return tuple(out) if _words(out) >= LEFT * _words(blocks) else tuple(blocks)


def _judge(profile: Profile, block: Block, at_end: Sequence[bool]) -> Iterator[Block]:
    """The block in pieces: runs of lines that stay, and runs that go for one reason."""
    if not block.kept or block.type in _EXEMPT:
        yield block
        return
    reason = path_reason(profile, block.path)
    if reason is not None:
        yield replace(block, kept=False, layer=LAYER, reason=reason)
        return
    runs: list[tuple[str | None, list[str]]] = []
    for line, ending in zip(block.text.split("\n"), at_end, strict=True):
        reason = line_reason(profile, block.path, line, ending=ending)
        if not runs or runs[-1][0] != reason:
            runs.append((reason, []))
        runs[-1][1].append(line)
    for reason, lines in runs:
        text = "\n".join(lines)
        yield replace(block, text=text) if reason is None else replace(block, text=text, kept=False, layer=LAYER, reason=reason)


def line_reason(profile: Profile, path: str | None, line: str, *, ending: bool) -> str | None:
    """Why a kept line is no part of the text; None where the profile knows too little of it. `ending`: it is near the end."""
    seen = profile.lines.get(line_key(path, line))
    if seen is None or not (_ends(profile, seen, len(line.split())) if ending else _repeats(profile, seen, line)):
        return None
    return f"stands on {seen.pages} of {profile.pages} pages of this site"


def _ends(profile: Profile, seen: LineSeen, words: int) -> bool:
    """A line that ends one text after another is a footer, in whatever section. An author's line stands on a few pages and stays."""
    if seen.pages < (3 if words > LONG else 2) or (2 * seen.ending < seen.kept and not _unwanted(seen)):
        return False
    if profile.pages < YOUNG:
        return words <= LONG and seen.ending >= 2 and seen.pages >= COMMON * profile.pages
    return seen.pages >= YOUNG or seen.pages >= COMMON * profile.pages


def _repeats(profile: Profile, seen: LineSeen, line: str) -> bool:
    """A line inside the text must stand in two sections, or on many pages: a series asks the same question every week.

    A short one ("Background") must be on most pages besides; of six words the same at one place no two authors think by chance.
    """
    if profile.pages < YOUNG or seen.pages < YOUNG or _LETTER.search(line) is None:
        return False
    common = _unwanted(seen) or seen.pages >= COMMON * profile.pages
    return (common and seen.pages >= MATURE) if seen.sections < 2 else (common or len(line.split()) >= PHRASE)


def _unwanted(seen: LineSeen) -> bool:
    """The layers before left it out on four pages of five, so here they slipped."""
    return seen.pages >= YOUNG and 5 * seen.kept <= seen.pages


def path_reason(profile: Profile, path: str | None) -> str | None:
    """Why a kept block goes, by its path alone: on many pages, in more than one section, nothing under it was ever part of the text."""
    seen = profile.paths.get(_bounded(path)) if path else None
    if seen is None or profile.pages < MATURE or seen.kept_words or seen.pages < COMMON * profile.pages:
        return None
    if seen.sections < 2:  # the next section may put its text there
        return None
    return f"its place is on {seen.pages} of {profile.pages} pages of this site and never part of the text"


def _words(blocks: Iterable[Block]) -> int:
    return sum(len(block.text.split()) for block in blocks if block.kept)


# ---- is it still this site? ----------------------------------------------------------------------------------------------------

RECENT = 5  # pages at least, before anything is said about a changed layout


def fit(profile: Profile, blocks: Iterable[Block]) -> float:
    """The share of a page's kept words that stands where the profile knows text from another page; 1 where blocks have no path."""
    known = total = 0
    for block in blocks:
        if block.kept and block.path:
            size = len(block.text.split())
            seen = profile.paths.get(_bounded(block.path))
            known += size * (seen is not None and seen.kept > 1)
            total += size
    return known / total if total else 1.0


def layout_changed(profile: Profile, fits: Collection[float]) -> bool:
    """True when most of the recent pages keep their text where the profile's own pages never had it."""
    return len(fits) >= RECENT and median(fits) < 0.5 * (profile.fit or 0.0)


STEPS = (5, 20, 60)  # documents of a site at which it is learnt; from then on whenever there are three times as many


def is_due(documents: int, learnt_at: int) -> bool:
    """Whether a site that has so many documents now, and had `learnt_at` when it was learnt last (0: never), should be learnt again."""
    next_step = next((step for step in STEPS if step > learnt_at), 3 * learnt_at)
    return documents >= next_step


def teaches(old: Profile | None, new: Profile) -> bool:
    """Whether `new` would treat pages otherwise than `old` does, so that it is worth a version and cleaning again."""
    if old is None or (old.pages < YOUNG <= new.pages) or (old.pages < MATURE <= new.pages):
        return True
    return bool(decided(old) ^ decided(new))


def decided(profile: Profile) -> frozenset[str]:
    """Every line and path that was part of a text once and that the profile would remove now."""
    lines = {
        key
        for key, seen in profile.lines.items()
        if seen.kept and (_ends(profile, seen, 0) or _repeats(profile, seen, key.partition(" | ")[2]))
    }
    return frozenset(lines)
