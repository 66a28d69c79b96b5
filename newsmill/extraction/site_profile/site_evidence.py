"""What many pages of one site say about blocks that their own page leaves in doubt. Pure, and blind to the order of pages.

The block model sees one page at a time. Over many pages, text differs from page to page and stands among text; other lines repeat or lead
to other articles. A profile is learnt from blocks that are corrected by this evidence, so that it holds for pages read by either way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from newsmill.extraction.body.block_rules import BESIDE_TEXT
from newsmill.extraction.body.blocks import CAPTIONS, LINK
from newsmill.extraction.body.blocks import words as _words
from newsmill.extraction.site_profile.site_keys import EXEMPT, line_key, path_key
from newsmill.model import Block

FEW = 3  # pages that must show a place before what stands there is text
SEVERAL = 5  # pages that must show a place or a line before it is none
OFTEN_TEXT = 1 / 3  # share of a place's words that the model kept, from which it is in two minds about text
SELDOM_TEXT = 0.2  # share up to which it slipped
NEARLY_ALL = 0.85  # share from which its doubts are about single blocks
DIFFERENT = 0.95  # share of a place's words that stand on one page only
AMONG_TEXT = 0.7  # share of a place's words that stand between two blocks of text
RUN = 3  # words by which a repetition is known: a pull quote is often shortened
SENTENCE = 8  # words of a block, on average; buttons and labels have fewer
_FIGURES = CAPTIONS | {"figure"}


@dataclass(slots=True)
class _Place:
    """What stood at one place, in words but for the pages."""

    pages: int = 0
    blocks: int = 0
    words: int = 0
    kept: int = 0
    unique: int = 0  # on one page only
    among_text: int = 0
    beside: int = 0  # left out because of the element around it, whatever the model says
    said_before: int = 0  # mostly a repetition of the page's text, as a pull quote is

    def share(self, words: int) -> float:
        return words / self.words if self.words else 0.0


def corrected(pages: Sequence[Sequence[Block]]) -> list[tuple[Block, ...]]:
    """The pages' blocks, kept or left out as the places of the whole site say; `pages` are all of one site, without copies."""
    repeated = _repeated_lines(pages)
    verdicts = {
        path: verdict for path, place in _places(pages, repeated).items() if (verdict := _verdict(path, place, len(pages))) is not None
    }

    def decide(block: Block) -> Block:
        verdict = verdicts.get(path_key(block.path)) if block.path and block.type not in EXEMPT else None
        if verdict is None or verdict is block.kept or (verdict and not _is_unique(block, repeated)):
            return block
        return replace(block, kept=verdict)

    return [tuple(map(decide, page)) for page in pages]


def without_introductions(pages: Sequence[Sequence[Block]], leads_away: Callable[[str | None], bool]) -> list[tuple[Block, ...]]:
    """The pages' blocks without lines that recur word for word and introduce links to other articles, as "More on this" does.

    `leads_away` tells of a path whether the site's profile takes what stands there for links to other articles.
    """
    seen, introducing = Counter[str](), Counter[str]()
    for page in pages:
        lines = [_line_of(block) for block in page]
        seen.update({line for line in lines if line})
        introducing.update(
            {line for line, following in zip(lines, page[1:], strict=False) if line and _is_left_out_link(following, leads_away)}
        )
    recurring = {line for line, count in introducing.items() if count >= SEVERAL and count >= NEARLY_ALL * seen[line]}

    def decide(block: Block) -> Block:
        return replace(block, kept=False) if block.kept and _line_of(block) in recurring else block

    return [tuple(map(decide, page)) for page in pages]


def _line_of(block: Block) -> str | None:
    """The key of a block that is a single line without a link."""
    return None if block.type in EXEMPT or "\n" in block.text or _is_link(block.path) else line_key(block.path, block.text)


def _is_left_out_link(block: Block, leads_away: Callable[[str | None], bool]) -> bool:
    return _is_link(block.path) and (not block.kept or leads_away(block.path))


def _verdict(path: str, place: _Place, pages: int) -> bool | None:
    """True for a place of text, False for one that holds none, None where the pages do not say more than the model."""
    kept = place.share(place.kept)
    if _last_tag(path) == "h1":  # a site sets its subheadings as h1 on all pages or on none; the model knows the headline on some only
        return False if 0 < kept < NEARLY_ALL and place.pages >= SEVERAL else None
    if 0 < kept <= SELDOM_TEXT:
        return False if 2 * place.pages >= pages else None
    if _is_link(path) or _is_in_figure(path) or place.share(place.unique) < DIFFERENT:
        return None
    if place.pages < FEW:
        return None
    return True if OFTEN_TEXT <= kept < NEARLY_ALL or (not kept and _is_set_apart(place)) else None


def _is_set_apart(place: _Place) -> bool:
    """Whether text stands in an element for what is not the text: sentences of its own, on several pages, right between paragraphs."""
    return (
        place.words >= SENTENCE * place.blocks
        and min(place.share(place.beside), place.share(place.among_text)) >= AMONG_TEXT
        and place.share(place.said_before) <= 1 - DIFFERENT
    )


def _places(pages: Sequence[Sequence[Block]], repeated: Collection[str]) -> Mapping[str, _Place]:
    found: dict[str, _Place] = defaultdict(_Place)
    for page in pages:
        for path in {path_key(block.path) for block in page if block.path}:
            found[path].pages += 1
        text = {run for block in page if block.kept for run in _runs(block)}
        for block, among_text in _with_neighbours(page):
            if not block.path:
                continue
            place, size = found[path_key(block.path)], len(block.text.split())
            place.blocks += 1
            place.words += size
            place.kept += size * block.kept
            place.unique += size * _is_unique(block, repeated)
            if block.reason == BESIDE_TEXT:
                place.beside += size
                place.among_text += size * among_text
                runs = _runs(block)
                place.said_before += size * (2 * len(runs & text) >= len(runs))
    return found


def _with_neighbours(page: Sequence[Block]) -> Iterator[tuple[Block, bool]]:
    """Each block, and whether the nearest blocks at other places before and after it are text."""
    runs = [list(run) for _, run in groupby(page, key=lambda block: block.path)]
    for at, run in enumerate(runs):
        among_text = 0 < at < len(runs) - 1 and runs[at - 1][-1].kept and runs[at + 1][0].kept
        yield from ((block, among_text) for block in run)


def _runs(block: Block) -> set[tuple[str, ...]]:
    """Every three words in a row, or the whole of a shorter block."""
    words = _words(block.text.lower())
    return {tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1))}


def _repeated_lines(pages: Sequence[Sequence[Block]]) -> Collection[str]:
    """The keys of lines that stand on more than one page."""
    seen = Counter(key for page in pages for key in {key for block in page for key in _keys(block)})
    return {key for key, count in seen.items() if count > 1}


def _is_unique(block: Block, repeated: Collection[str]) -> bool:
    return not any(key in repeated for key in _keys(block))


def _keys(block: Block) -> Iterator[str]:
    return (line_key(block.path, line) for line in block.text.split("\n"))


def _is_link(path: str | None) -> bool:
    return path is not None and path.rpartition("/")[2] == LINK


def _is_in_figure(path: str) -> bool:
    return any(sign.partition(".")[0] in _FIGURES for sign in path.split("/"))


def _last_tag(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]
