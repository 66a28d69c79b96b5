"""Learning of site profiles: what the pages of one site have in common, counted over their blocks. Page order has no effect.

A single page does not distinguish the site's footer from its last sentence; 20 pages do.
Repetition is counted per *line at a position* (the inner end of the block's path).
A teaser that repeats an article's first sentence on every page therefore does not affect the article.
`apply_profile` applies these counts to a page.
The functions have no side effects.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from statistics import fmean, median
from typing import TypeVar

from newsmill.extraction.body.block_rules import BESIDE_TEXT
from newsmill.extraction.body.blocks import CAPTION_TAGS, LINK_SIGN, split_words
from newsmill.extraction.metadata.authors import classify_byline, split_names
from newsmill.extraction.metadata.titles import split_title_words
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile import apply_profile
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
from newsmill.model import POSITION_FIELDS, ArticleNorm, Author, Block, ExtractionResult, FieldStats, LineStats, PathStats, Profile

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
    if len(chosen) < apply_profile.MATURE_PAGES:
        return _count_pages(chosen, site)
    chosen = _replace_blocks(chosen, correct_blocks([page.blocks for page in chosen]))
    leads_away = partial(apply_profile.is_removed_position, _count_pages(chosen, site))
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
        fields=_learn_field_positions([(page.blocks, page.title, page.authors, page.day) for page in chosen]),
        norm=_measure_norm(chosen),
        pathless=sum(_is_pathless(page.blocks) for page in chosen),
        site_tags=_find_site_tags([page.meta_tags for page in chosen if page.meta_tags]),
    )
    reach, agreement = _rate_profile(profile, [page.blocks for page in chosen])
    fits = [apply_profile.measure_fit(profile, page.blocks) for page in chosen]
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
        is_text = bool(apply_profile.holds_text(on_other_pages))
        text_words += size * block.kept
        doubtful_words += size * apply_profile.measure_doubt(on_other_pages)
        found_words += size * is_text
        correct_words += size * (is_text and block.kept)
    if not text_words or apply_profile.is_strange(doubtful_words, text_words):
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
    This applies from apply_profile.MATURE_PAGES pages on.
    """
    unique = [page for _, page in sorted({hash_bytes(repr(page).encode("utf-8", "replace")): page for page in pages}.items())]
    long_blocks = [_hash_long_blocks(page) for page in unique]
    counts = Counter(block for blocks in long_blocks for block in blocks)
    common = {
        block
        for block, count in counts.items()
        if len(unique) >= apply_profile.MATURE_PAGES and count > apply_profile.MIN_COMMON_SHARE * len(unique)
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
    if len(tags) < apply_profile.MATURE_PAGES:
        return ()
    most_common, count = Counter(tags).most_common(1)[0]
    return most_common if count >= MIN_SITE_TAGS_SHARE * len(tags) else ()


def _is_pathless(blocks: Sequence[Block]) -> bool:
    texts = [block.path for block in blocks if block.kept]
    return bool(texts) and not any(texts)


def _measure_norm(pages: Sequence[PageBlocks]) -> ArticleNorm | None:
    if not pages:
        return None
    words = [apply_profile.count_kept_words(page.blocks) for page in pages]
    titled, dated = sum(page.title is not None for page in pages), sum(page.day is not None for page in pages)
    return ArticleNorm(min(words), int(median(words)), max(words), titled, dated)


def _select_entries(found: Mapping[str, Seen], limit: int) -> dict[str, Seen]:
    """Return the `limit` most important entries in key order. Entries that were kept rank first, then those on more pages."""

    def weight(item: tuple[str, Seen]) -> tuple[bool, int, str]:
        seen = item[1]
        return seen.kept == 0, -seen.pages, item[0]

    return dict(sorted(sorted(found.items(), key=weight)[:limit]))


# ---- positions of fields, learned from extracted fields -----------------------------------------------------------------------

MAX_POSITIONS = 3  # positions stored per field

FieldSample = tuple[Sequence[Block], str | None, tuple[Author, ...], str | None]  # blocks, title, authors, day of publication
IsField = Callable[[str], bool]


def _learn_field_positions(pages: Sequence[FieldSample]) -> dict[str, dict[str, FieldStats]]:
    """Return for each field its best positions, those that matched most often first. Fields without a position are left out."""
    seen: dict[str, dict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in POSITION_FIELDS}
    for blocks, title, authors, day in pages:
        first = apply_profile.find_first_texts(blocks)
        for name, is_field in _list_checks(title, authors, day):
            for path, text in first.items():
                count = seen[name][path]
                count[0] += 1
                count[1] += is_field(text)
    return {name: best for name, counts in seen.items() if (best := _select_best(counts))}


def _list_checks(title: str | None, authors: tuple[Author, ...], day: str | None) -> Iterable[tuple[str, IsField]]:
    """Yield for each field that the page has: its name, and a function that returns whether a text matches it."""
    if title is not None:
        wanted = split_title_words(title)
        yield "title", lambda text: split_title_words(text) == wanted
    if authors:
        names = {author.name.casefold() for author in authors}
        any_name = min(names)
        yield "authors", lambda text: any_name in text.casefold() and {name.casefold() for name in split_names(text)} == names
    if day is not None:
        yield "published_at", lambda text: classify_byline(text, (), day) == "dateline"


def _select_best(counts: Mapping[str, list[int]]) -> dict[str, FieldStats]:
    agreed = sorted(
        ((path, FieldStats(*pair)) for path, pair in counts.items() if pair[1] > 1), key=lambda item: (-item[1].agreed, item[0])
    )
    return dict(agreed[:MAX_POSITIONS])


# ---- evidence from many pages about blocks that their own page leaves unclear -------------------------------------------------

# The block model evaluates one page at a time.
# Over many pages, text differs between pages and is next to other text; other lines repeat or lead to other articles.
# A profile is learned from blocks that this evidence has corrected, so that it holds for the fast path and for full extraction.

MIN_TEXT_PAGES = 3  # pages that a position must be on before its blocks count as text
MIN_NO_TEXT_PAGES = 5  # pages that a position or a line must be on before it counts as not text
MIN_DOUBTFUL_SHARE = 1 / 3  # share of a position's words that the model kept; from here on its decisions are inconsistent
MAX_SLIPPED_SHARE = 0.2  # share up to which the kept words are errors of the model
MIN_SURE_SHARE = 0.85  # share from which its decisions are wrong for single blocks only
MIN_UNIQUE_SHARE = 0.95  # share of a position's words that are on one page only
MIN_AMONG_TEXT_SHARE = 0.7  # share of a position's words that are between two blocks of text
RUN_WORDS = 3  # words per run for the detection of repetitions; a pull quote is often shortened
MIN_SENTENCE_WORDS = 8  # mean words per block; buttons and labels have fewer
_FIGURE_TAGS = CAPTION_TAGS | {"figure"}


@dataclass(slots=True)
class _PositionCounts:
    """Counts for one position: pages, blocks, and otherwise words."""

    pages: int = 0
    blocks: int = 0
    words: int = 0
    kept: int = 0
    unique: int = 0  # on one page only
    among_text: int = 0
    beside: int = 0  # removed because of the element around the block, regardless of the model
    quoted: int = 0  # in blocks that mostly repeat the page's text, such as pull quotes

    def share(self, words: int) -> float:
        return words / self.words if self.words else 0.0


def correct_blocks(pages: Sequence[Sequence[Block]]) -> list[tuple[Block, ...]]:
    """Return the pages' blocks, kept or removed according to the positions of the whole site.

    `pages` are the blocks of pages of one site, without copies.
    """
    repeated = _find_repeated_lines(pages)
    decisions = {
        path: decision
        for path, counts in _count_positions(pages, repeated).items()
        if (decision := _decide_position(path, counts, len(pages))) is not None
    }

    def decide(block: Block) -> Block:
        decision = decisions.get(make_path_key(block.path)) if block.path and block.type not in EXEMPT_TYPES else None
        if decision is None or decision is block.kept or (decision and not _is_unique(block, repeated)):
            return block
        return replace(block, kept=decision)

    return [tuple(map(decide, page)) for page in pages]


def remove_introductions(pages: Sequence[Sequence[Block]], leads_away: Callable[[str | None], bool]) -> list[tuple[Block, ...]]:
    """Return the pages' blocks without recurring lines that introduce links to other articles, such as "More on this".

    `leads_away` returns for a path whether the site profile treats its blocks as links to other articles.
    """
    seen, introducing = Counter[str](), Counter[str]()
    for page in pages:
        lines = [_make_single_line_key(block) for block in page]
        seen.update({line for line in lines if line})
        introducing.update(
            {line for line, following in zip(lines, page[1:], strict=False) if line and _is_left_out_link(following, leads_away)}
        )
    recurring = {line for line, count in introducing.items() if count >= MIN_NO_TEXT_PAGES and count >= MIN_SURE_SHARE * seen[line]}

    def decide(block: Block) -> Block:
        return replace(block, kept=False) if block.kept and _make_single_line_key(block) in recurring else block

    return [tuple(map(decide, page)) for page in pages]


def _make_single_line_key(block: Block) -> str | None:
    """Return the key of a block that is a single line and not a link; None for other blocks."""
    return None if block.type in EXEMPT_TYPES or "\n" in block.text or _is_link(block.path) else make_line_key(block.path, block.text)


def _is_left_out_link(block: Block, leads_away: Callable[[str | None], bool]) -> bool:
    return _is_link(block.path) and (not block.kept or leads_away(block.path))


def _decide_position(path: str, counts: _PositionCounts, pages: int) -> bool | None:
    """Return True for a position of text, False for one without text, and None if the pages add no evidence to the model's."""
    kept = counts.share(counts.kept)
    # A site uses h1 for its subheadings on all pages or on none, but the model detects the headline on some pages only.
    if _get_last_tag(path) == "h1":
        return False if 0 < kept < MIN_SURE_SHARE and counts.pages >= MIN_NO_TEXT_PAGES else None
    if 0 < kept <= MAX_SLIPPED_SHARE:
        return False if 2 * counts.pages >= pages else None
    if _is_link(path) or _is_in_figure(path) or counts.share(counts.unique) < MIN_UNIQUE_SHARE:
        return None
    if counts.pages < MIN_TEXT_PAGES:
        return None
    return True if MIN_DOUBTFUL_SHARE <= kept < MIN_SURE_SHARE or (not kept and _is_set_apart(counts)) else None


def _is_set_apart(counts: _PositionCounts) -> bool:
    """Return whether an element for secondary content holds text: unique sentences, directly between paragraphs."""
    return (
        counts.words >= MIN_SENTENCE_WORDS * counts.blocks
        and min(counts.share(counts.beside), counts.share(counts.among_text)) >= MIN_AMONG_TEXT_SHARE
        and counts.share(counts.quoted) <= 1 - MIN_UNIQUE_SHARE
    )


def _count_positions(pages: Sequence[Sequence[Block]], repeated: Collection[str]) -> Mapping[str, _PositionCounts]:
    found: dict[str, _PositionCounts] = defaultdict(_PositionCounts)
    for page in pages:
        for path in {make_path_key(block.path) for block in page if block.path}:
            found[path].pages += 1
        text = {run for block in page if block.kept for run in _list_runs(block)}
        for block, among_text in _pair_with_neighbours(page):
            if not block.path:
                continue
            counts, size = found[make_path_key(block.path)], count_line_words(block.text)
            counts.blocks += 1
            counts.words += size
            counts.kept += size * block.kept
            counts.unique += size * _is_unique(block, repeated)
            if block.reason == BESIDE_TEXT:
                counts.beside += size
                counts.among_text += size * among_text
                runs = _list_runs(block)
                counts.quoted += size * (2 * len(runs & text) >= len(runs))
    return found


def _pair_with_neighbours(page: Sequence[Block]) -> Iterator[tuple[Block, bool]]:
    """Yield each block, and whether the nearest blocks at other positions before and after it are text."""
    runs = [list(run) for _, run in groupby(page, key=lambda block: block.path)]
    for at, run in enumerate(runs):
        among_text = 0 < at < len(runs) - 1 and runs[at - 1][-1].kept and runs[at + 1][0].kept
        yield from ((block, among_text) for block in run)


def _list_runs(block: Block) -> set[tuple[str, ...]]:
    """Return every run of RUN_WORDS consecutive words, or all words of a shorter block."""
    words = split_words(block.text.lower())
    return {tuple(words[at : at + RUN_WORDS]) for at in range(max(1, len(words) - RUN_WORDS + 1))}


def _find_repeated_lines(pages: Sequence[Sequence[Block]]) -> Collection[str]:
    """Return the keys of lines that are on more than one page."""
    seen = Counter(key for page in pages for key in {key for block in page for key in _list_line_keys(block)})
    return {key for key, count in seen.items() if count > 1}


def _is_unique(block: Block, repeated: Collection[str]) -> bool:
    return not any(key in repeated for key in _list_line_keys(block))


def _list_line_keys(block: Block) -> Iterator[str]:
    return (make_line_key(block.path, line) for line in block.text.split("\n"))


def _is_link(path: str | None) -> bool:
    return path is not None and path.rpartition("/")[2] == LINK_SIGN


def _is_in_figure(path: str) -> bool:
    return any(sign.partition(".")[0] in _FIGURE_TAGS for sign in path.split("/"))


def _get_last_tag(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]
