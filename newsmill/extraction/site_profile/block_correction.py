"""Evidence from many pages about blocks that their own page leaves unclear."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from newsmill.extraction.body.block_rules import BESIDE_TEXT
from newsmill.extraction.body.blocks import CAPTION_TAGS, LINK_SIGN, split_words
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile.site_keys import EXEMPT_TYPES, make_line_key, make_path_key
from newsmill.model import Block

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
    """Return the blocks of pages of one site, without copies, kept or removed according to the positions of the whole site."""
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
