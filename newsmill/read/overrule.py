"""Rules that hold whatever the block model says, each true of sites in general, each with the reason that `explain` shows.

The model weighs hints; these are certain: a headline is a field of its own, comments are nobody's article, a text that fills several boxes
of its own word for word stands in for something that did not load. Pure: a view and the model's choice in, what to take off or add out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from newsmill.read import footers, gate
from newsmill.read.align import HALF
from newsmill.read.view import View

FIRST = 3  # kept blocks among which the page's own headline stands; further down an h1 is a part of the text
COPIES = 3  # equal blocks in boxes of their own, from which they are placeholders; two may be a teaser and its text
PLACEHOLDER = 8  # words; shorter texts repeat for many reasons
CREDIT = 12  # words of a picture's credit
PARAGRAPH = 25  # words that no teaser or label has
FEW_LINKS = 0.2  # share of a paragraph's words in links; more is a list of links
ALIKE = 4  # kept blocks that make a path the article's
MOSTLY = 0.6  # share of that path's words that must be kept


def refused(view: View, kept: frozenset[int]) -> Mapping[int, str]:
    """The blocks of the model's choice that go all the same, each with its reason."""
    repeated = _repeated_paths(view)
    found = {i: reason for i in kept if (reason := _reason(view, i, repeated)) is not None}
    first = sorted(kept - found.keys())[:FIRST]
    return found | {i: gate.HEADLINE for i in first if view.blocks[i].box.tag == "h1" and gate.rule(view, i) == gate.HEADLINE}


def restored(view: View, chosen: Sequence[int], kept: frozenset[int]) -> frozenset[int]:
    """Paragraphs that the model dropped though trafilatura took them and most text of exactly their path is kept.

    A widget in the middle of an article makes what follows it look like the rest of the page; its path says that it is not.
    """
    like = Counter(view.of_path[i] for i in kept)
    words, left = Counter[int](), Counter[int]()
    for i in chosen:
        words[view.of_path[i]] += view.own.words[i]
        left[view.of_path[i]] += view.own.words[i] if i in kept else 0
    article = {path for path, count in like.items() if count >= ALIKE and left[path] >= MOSTLY * words[path]}
    return frozenset(i for i in chosen if i not in kept and view.of_path[i] in article and _is_paragraph(view, i))


def _is_paragraph(view: View, i: int) -> bool:
    return view.shares[i] >= HALF and view.own.words[i] >= PARAGRAPH and view.link_share[i] < FEW_LINKS


def _reason(view: View, i: int, repeated: Set[int]) -> str | None:
    if view.of_path[i] in repeated and len(view.blocks[i].words) >= PLACEHOLDER:
        return "placeholder"
    if gate.about_author(view, i):
        return "about the author"
    if view.link_share[i] >= HALF and gate.is_read_more(view, i) and footers.invites(view.blocks[i].text):
        return "read-more line"
    return "photo credit" if view.own.words[i] <= CREDIT and footers.is_photo_credit(view.blocks[i].text) else None


def settled(view: View, i: int) -> str | None:
    """Why block i is no part of the article whatever a model would say, or None: it need not be asked.

    What trafilatura had left out is never won back from comments, asides, menus and footers, and hardly ever is a line that is all link and
    has no kept neighbour (7 of 4,050 such blocks on 260 pages, out of fold); both together are a quarter of the blocks near a body.
    """
    if view.shares[i] >= HALF:
        return None
    if gate.in_comments(view, i):
        return "among comments"
    if gate.beside(view, i):
        return "beside the text"
    lonely = view.kept_before[i] > 1 and view.kept_after[i] > 1
    return "nothing but a link" if lonely and view.link_share[i] >= gate.ALL_LINK else None


def _repeated_paths(view: View) -> Set[int]:
    """The paths of several blocks that all say the same: "your settings keep us from showing this video"."""
    said: dict[int, list[str]] = {}
    different = set[int]()
    for block, path in zip(view.blocks, view.of_path, strict=True):
        if path not in different and said.setdefault(path, block.words) != block.words:
            different.add(path)
    return {path for path in said.keys() - different if view.paths.blocks[path] >= COPIES}
