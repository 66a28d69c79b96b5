"""Learning of site profiles: what the pages of one site have in common, counted over their blocks. Page order has no effect.

A single page does not distinguish the site's footer from its last sentence; 20 pages do.
Repetition is counted per *line at a position* (the inner end of the block's path).
A teaser that repeats an article's first sentence on every page therefore does not affect the article.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import TypeVar

from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile import apply_profile, position_evidence, profile_trust
from newsmill.extraction.site_profile.block_correction import correct_blocks, remove_introductions
from newsmill.extraction.site_profile.field_positions import learn_field_positions
from newsmill.extraction.site_profile.site_keys import (
    EXEMPT_TYPES,
    LONG_LINE_WORDS,
    NON_PROSE_TYPES,
    count_path_words,
    find_tail,
    get_section,
    hash_bytes,
    make_beginning_key,
    make_ending_key,
    make_line_key,
    make_path_key,
)
from newsmill.model import ArticleNorm, Author, Block, ExtractionResult, LineStats, PathStats, Profile

MAX_COPIED_SHARE = 0.4  # share of a page's long blocks on another page that makes it a copy
MIN_SITE_TAGS_SHARE = 0.9  # share of the pages with tags; two articles on one subject may have the same ones
MAX_LINES, MAX_PATHS = 1000, 400  # at most about 200 KB of JSON; 40 pages of each of 60 real sites had 30 to 400 repeated lines

Seen = TypeVar("Seen", LineStats, PathStats)


@dataclass(frozen=True, slots=True)
class PageBlocks:
    """One page to learn from: its URL, all of its blocks, and its fields, extracted without a profile."""

    url: str
    blocks: tuple[Block, ...]
    title: str | None = None
    authors: tuple[Author, ...] = ()
    day: str | None = None  # day of publication, ISO 8601
    meta_tags: tuple[str, ...] = ()  # empty if they do not come from <meta>


def make_page_blocks(url: str, reading: ExtractionResult) -> PageBlocks:
    """Return the learning input for a page from its extraction result. The fields are empty if the result has no document."""
    if reading.document is None:
        return PageBlocks(url, reading.blocks)
    document = reading.document
    meta_tags = document.tags if document.provenance.get("tags") == "meta" else ()
    return PageBlocks(url, reading.blocks, document.title, document.authors, document.published_day, meta_tags)


def learn_profile(pages: Iterable[PageBlocks], site: str = "") -> Profile:
    """Return the profile of these pages. The order of the pages has no effect, and copies of one article count once."""
    chosen = remove_copies(pages)
    if len(chosen) < position_evidence.MATURE_PAGES:
        return _count_pages(chosen, site)
    chosen = _replace_blocks(chosen, correct_blocks([page.blocks for page in chosen]))
    leads_away = partial(position_evidence.is_removed_position, _count_pages(chosen, site))
    return _count_pages(_replace_blocks(chosen, remove_introductions([page.blocks for page in chosen], leads_away)), site)


def _replace_blocks(pages: Sequence[PageBlocks], blocks: Sequence[tuple[Block, ...]]) -> list[PageBlocks]:
    return [replace(page, blocks=new) for page, new in zip(pages, blocks, strict=True)]


def _count_pages(chosen: Sequence[PageBlocks], site: str) -> Profile:
    lines: dict[str, list[tuple[bool, bool, str]]] = defaultdict(list)  # key → per page: kept, ending, section
    beginnings: dict[str, list[tuple[str, str]]] = defaultdict(list)  # key → per page: key of the whole line, section
    paths: dict[str, list[tuple[int, int, str]]] = defaultdict(list)  # key → per page: words, kept words, section
    for page in chosen:
        section = get_section(page.url)
        for key, (kept, ending) in _list_lines(page.blocks).items():
            lines[key].append((kept, ending, section))
        for key, line in _list_beginnings(page.blocks).items():
            beginnings[key].append((line, section))
        for key, (words, kept_words) in count_path_words(page.blocks).items():
            paths[key].append((words, kept_words, section))
    # Lines that are equal as a whole need no entry for their beginning.
    lines |= {
        key: [(True, True, section) for _, section in seen] for key, seen in beginnings.items() if len({line for line, _ in seen}) > 1
    }
    profile = Profile(
        site=site,
        pages=len(chosen),
        sections=len({get_section(page.url) for page in chosen}),
        lines=_select_entries({key: _count_line(seen) for key, seen in lines.items() if len(seen) > 1}, MAX_LINES),
        paths=_select_entries({key: _count_path(seen) for key, seen in paths.items()}, MAX_PATHS),
        fields=learn_field_positions([(page.blocks, page.title, page.authors, page.day) for page in chosen]),
        norm=_measure_norm(chosen),
        pathless=sum(_is_pathless(page.blocks) for page in chosen),
        site_tags=_find_site_tags([page.meta_tags for page in chosen if page.meta_tags]),
    )
    reach, agreement = _rate_profile(profile, [page.blocks for page in chosen])
    fits = [profile_trust.measure_fit(profile, page.blocks) for page in chosen]
    return replace(profile, fit=round(fmean(fits), 3) if chosen else None, reach=reach, agreement=agreement)


def _rate_profile(profile: Profile, pages: Sequence[Sequence[Block]]) -> tuple[float | None, float | None]:
    """Return how well paths alone find the text of the profile's own pages. Each page is rated with the counts of the other pages.

    The result is (reach, agreement), each 0 to 1.
    Reach is the share of pages with little text at positions unknown to the other pages; None without pages.
    Agreement is the mean F1 over words on these pages; None if reach is 0 or None.
    """
    scores = [score for page in pages if (score := _rate_page(profile, page)) is not None]
    if not scores:
        return (0.0 if pages else None), None
    return round(len(scores) / len(pages), 3), round(fmean(scores), 4)


def _rate_page(profile: Profile, page: Sequence[Block]) -> float | None:
    """Return the F1 of one page over words, by paths alone, or None for a page with too much text at positions that other pages lack."""
    correct_words = found_words = text_words = 0
    doubtful_words = 0.0
    words_by_path = count_path_words(page)
    for block in apply_profile.apply(profile, page):
        is_repeated = block.layer == apply_profile.LAYER  # both extraction paths remove it
        if block.path is None or is_repeated or block.type in NON_PROSE_TYPES:
            continue
        size, key = count_line_words(block.text), make_path_key(block.path)
        on_other_pages = _subtract_page(profile.paths.get(key), *words_by_path[key])
        is_text = bool(position_evidence.holds_text(on_other_pages))
        text_words += size * block.kept
        doubtful_words += size * position_evidence.measure_doubt(on_other_pages)
        found_words += size * is_text
        correct_words += size * (is_text and block.kept)
    if not text_words or position_evidence.is_strange(doubtful_words, text_words):
        return None
    return 2 * correct_words / (found_words + text_words) if found_words else 0.0


def _subtract_page(seen: PathStats | None, words: int, kept: int) -> PathStats | None:
    """Return the statistics of a position on the other pages, without this page's `words`, of which `kept` were kept."""
    if seen is None:
        return None
    return replace(seen, pages=seen.pages - 1, words=seen.words - words, kept_words=seen.kept_words - kept)


def remove_copies(pages: Iterable[PageBlocks]) -> list[PageBlocks]:
    """Return the pages in a fixed order, without copies: pages that share over 40 % of their long kept blocks with an earlier page.

    Blocks on most pages belong to the site and do not make copies, unless a page has no others.
    This applies from position_evidence.MATURE_PAGES pages on.
    """
    unique = [page for _, page in sorted({hash_bytes(repr(page).encode("utf-8", "replace")): page for page in pages}.items())]
    long_blocks = [_hash_long_blocks(page) for page in unique]
    counts = Counter(block for blocks in long_blocks for block in blocks)
    common = {
        block
        for block, count in counts.items()
        if len(unique) >= position_evidence.MATURE_PAGES and count > position_evidence.MIN_COMMON_SHARE * len(unique)
    }
    chosen: list[PageBlocks] = []
    holders: dict[bytes, list[int]] = defaultdict(list)  # hash of a long block → numbers of the chosen pages that have it
    for page, blocks in zip(unique, long_blocks, strict=True):
        own = blocks - common or blocks
        shared = max(Counter(number for text in own for number in holders[text]).values(), default=0)
        # A single shared long block may be the site's own notice under a short text, unless the page has no other long block.
        if shared > MAX_COPIED_SHARE * len(own) and (shared > 1 or len(own) == 1):
            continue
        for text in blocks:
            holders[text].append(len(chosen))
        chosen.append(page)
    return chosen


def _hash_long_blocks(page: PageBlocks) -> set[bytes]:
    return {
        hash_bytes(block.text.encode("utf-8", "replace"))
        for block in page.blocks
        if block.kept and count_line_words(block.text) > LONG_LINE_WORDS
    }


def _list_lines(blocks: Sequence[Block]) -> dict[str, tuple[bool, bool]]:
    """Return every line of a page by key: whether it was kept, and whether it was one of the last kept lines."""
    tail = find_tail(blocks)
    found: dict[str, tuple[bool, bool]] = {}
    for at, block in enumerate(blocks):
        if block.type in EXEMPT_TYPES:
            continue
        for number, line in enumerate(block.text.split("\n")):
            for key in (make_line_key(block.path, line), make_ending_key(block.path, line)):
                if key is not None:
                    kept, ending = found.get(key, (False, False))
                    found[key] = kept or block.kept, ending or (at, number) in tail
    return found


def _list_beginnings(blocks: Sequence[Block]) -> dict[str, str]:
    """Return the keys of the beginnings of a page's last kept lines, each with the key of the whole line."""
    last = [
        (blocks[at].path, blocks[at].text.split("\n")[number])
        for at, number in sorted(find_tail(blocks))
        if blocks[at].type not in EXEMPT_TYPES
    ]
    return {key: make_line_key(path, line) for path, line in last if (key := make_beginning_key(path, line)) is not None}


def _count_line(seen: Sequence[tuple[bool, bool, str]]) -> LineStats:
    kept, ending = sum(kept for kept, _, _ in seen), sum(ending for _, ending, _ in seen)
    return LineStats(len(seen), kept, ending, len({section for _, _, section in seen}))


def _count_path(seen: Sequence[tuple[int, int, str]]) -> PathStats:
    words, kept_words = sum(words for words, _, _ in seen), sum(kept for _, kept, _ in seen)
    kept = sum(2 * kept > words for words, kept, _ in seen)
    return PathStats(len(seen), kept, words, kept_words, len({section for _, _, section in seen}))


def _find_site_tags(tags: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the list of tags that nearly all pages with tags have; empty if there is none, or on too few pages."""
    if len(tags) < position_evidence.MATURE_PAGES:
        return ()
    most_common, count = Counter(tags).most_common(1)[0]
    return most_common if count >= MIN_SITE_TAGS_SHARE * len(tags) else ()


def _is_pathless(blocks: Sequence[Block]) -> bool:
    texts = [block.path for block in blocks if block.kept]
    return bool(texts) and not any(texts)


def _measure_norm(pages: Sequence[PageBlocks]) -> ArticleNorm | None:
    if not pages:
        return None
    words = [position_evidence.count_kept_words(page.blocks) for page in pages]
    titled, dated = sum(page.title is not None for page in pages), sum(page.day is not None for page in pages)
    return ArticleNorm(min(words), int(median(words)), max(words), titled, dated)


def _select_entries(found: Mapping[str, Seen], limit: int) -> dict[str, Seen]:
    """Return the `limit` most important entries in key order. Entries that were kept rank first, then those on more pages."""

    def weight(item: tuple[str, Seen]) -> tuple[bool, int, str]:
        seen = item[1]
        return seen.kept == 0, -seen.pages, item[0]

    return dict(sorted(sorted(found.items(), key=weight)[:limit]))
