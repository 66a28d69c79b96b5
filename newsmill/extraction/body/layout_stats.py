"""Statistics of a page's layout, which do not depend on the kept shares."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence, Set
from functools import lru_cache
from itertools import accumulate

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import HEADING_TAGS, Box, Layout, is_hidden, split_words
from newsmill.extraction.body.page_facts import PageFacts
from newsmill.extraction.class_words import find_class_groups

MIN_MAIN_SHARE = 0.7  # minimum share of the page's kept words (or prose words) in a main box
MIN_PROSE_WORDS = 12  # minimum words of a block with few links to count as prose; captions and teasers are mostly shorter
MIN_TEXT_WORDS = 40  # words of an article above its comments; a shorter text may be the heading of a discussion
MAX_DISTANCE = 99  # blocks; also means "none on this page"

# Bits of PageStats.find_apart_bits: inside readers' comments; inside an element for secondary content (HTML standard, section 4.3).
COMMENTS_BIT, BESIDE_BIT = 1, 2
_BESIDE_TAGS = frozenset(("aside", "nav", "footer"))
# Narrower than the group of class words: "review" boxes hold product tests, "forum" and "discussion" boxes hold whole threads.
COMMENT_CLASS = re.compile(
    r"(?:^|[\s_-])(?:comments?|disqus|repl(?:y|ies)|kommentare?|commentaires?|comentarios?)(?=$|[\s_-])", re.IGNORECASE
)
# Boxes that recommendation services fill with links to other sites: Outbrain, Taboola, Revcontent, ZergNet, MGID, Plista, Dianomi.
_RECOMMENDATION_CLASS = re.compile(
    r"(?:^|[\s_-])(?:outbrain|ob-widget|taboola|trc_rbox\w*|revcontent|rc-widget|zergnet|mgbox|mgid|plista|dianomi)(?=$|[\s_-])",
    re.IGNORECASE,
)


@lru_cache(maxsize=20_000)  # a site repeats its attributes; 20,000 short strings are under 5 MB
def _find_apart_names(names: str) -> int:
    """Return COMMENTS_BIT and BESIDE_BIT of the names of a box."""
    return (COMMENTS_BIT if COMMENT_CLASS.search(names) else 0) | (BESIDE_BIT if _RECOMMENDATION_CLASS.search(names) else 0)


def has_comment_name(box: Box) -> bool:
    """Return True if a name of the box is one for readers' comments."""
    return bool(_find_apart_names(box.names) & COMMENTS_BIT)


class GroupTotals:
    """Numbers of words and blocks, one slot per box (with all boxes inside it), path or other group."""

    __slots__ = ("blocks", "kept", "linked", "prose", "words")

    def __init__(self, size: int) -> None:
        self.words = [0] * size
        self.kept = [0.0] * size
        self.linked = [0.0] * size
        self.prose = [0] * size
        self.blocks = [0] * size

    def add(self, slots: Sequence[int], other: GroupTotals) -> None:
        """Add each slot of `other` to the slot with the number in `slots`, except for -1. The kept words are left out."""
        words, linked, prose, blocks = self.words, self.linked, self.prose, self.blocks
        for at, slot in enumerate(slots):
            if slot >= 0:
                words[slot] += other.words[at]
                linked[slot] += other.linked[at]
                prose[slot] += other.prose[at]
                blocks[slot] += other.blocks[at]

    def with_kept(self, kept: list[float]) -> GroupTotals:
        """Return the same totals with these kept words."""
        totals = GroupTotals(0)
        totals.words, totals.linked, totals.prose, totals.blocks, totals.kept = self.words, self.linked, self.prose, self.blocks, kept
        return totals


def find_title_block(layout: Layout, title_words: Set[str]) -> int:
    """Return the index of the heading with the words of the page's title, else that of the first h1, else -1."""
    found, best = -1, HALF
    for i, block in enumerate(layout.blocks):
        if title_words and block.box.tag in HEADING_TAGS:
            have = set(block.words)
            score = len(have & title_words) / len(have | title_words) + (0.3 if block.box.tag == "h1" else 0.0)
            if score > best:
                found, best = i, score
    return found if found >= 0 else next((i for i, block in enumerate(layout.blocks) if block.box.tag == "h1"), -1)


class LayoutStats:
    """The statistics that do not depend on the kept shares. An `of_*` list maps each block to its slot in the totals of that name."""

    def __init__(self, layout: Layout, facts: PageFacts) -> None:
        self.blocks, self.all_boxes, self.facts = layout.blocks, layout.boxes, facts
        self._bits: dict[int, int] = {}
        self._hidden: dict[int, bool] = {}
        self._own_apart: dict[int, int] = {}
        self._first: dict[tuple[str, ...], int] = {}
        self._sum_blocks()
        self._sum_boxes()
        self.dense = self._find_smallest_box(self.boxes.prose)
        self.of_path, self.paths = self._group_blocks([block.box.path_key for block in self.blocks])
        signs = [(block.box.parent.sign if block.box.parent else "", block.box.sign) for block in self.blocks]
        self.of_sign, self.signs = self._group_blocks(signs)
        self._sum_siblings()
        self._measure_distances()
        self.title_words = set(split_words(facts.title))
        self.title_at = find_title_block(layout, self.title_words)
        self._number_articles()
        self._comments = self._find_comments()

    def _sum_blocks(self) -> None:
        """Compute the totals of each block and the running totals."""
        own = self.own = GroupTotals(0)
        own.words = [len(block.words) for block in self.blocks]
        shares = [min(1.0, block.link / len(block.text)) for block in self.blocks]
        own.linked = [n * share for n, share in zip(own.words, shares, strict=True)]
        own.prose = [n if n >= MIN_PROSE_WORDS and share < HALF else 0 for n, share in zip(own.words, shares, strict=True)]
        own.blocks = [1] * len(self.blocks)
        self.link_share = [part / n if n else 0.0 for part, n in zip(own.linked, own.words, strict=True)]
        self.upto_words = [0, *accumulate(own.words)]
        self.upto_linked = [0.0, *accumulate(own.linked)]
        self.upto_prose = [0, *accumulate(own.prose)]

    def _sum_boxes(self) -> None:
        """Compute for each box its totals, the number of children with text, and its first block."""
        boxes = self.boxes = GroupTotals(len(self.all_boxes))
        self._box_of = [block.box.index for block in self.blocks]
        boxes.add(self._box_of, self.own)
        self.children = [0] * len(self.all_boxes)
        self.first_in = [len(self.blocks)] * len(self.all_boxes)
        for i, at in reversed(list(enumerate(self._box_of))):
            self.first_in[at] = i
        self._outer_boxes: list[tuple[int, int]] = []  # (box with text, the box around it), inner boxes first
        for box in reversed(self.all_boxes):
            at = box.index
            if box.parent is not None and boxes.blocks[at]:
                outer = box.parent.index
                self._outer_boxes.append((at, outer))
                boxes.words[outer] += boxes.words[at]
                boxes.linked[outer] += boxes.linked[at]
                boxes.prose[outer] += boxes.prose[at]
                boxes.blocks[outer] += boxes.blocks[at]
                self.children[outer] += 1
                self.first_in[outer] = min(self.first_in[outer], self.first_in[at])

    def _find_smallest_box(self, weight: Sequence[float]) -> Box | None:
        """Return the deepest box that holds MIN_MAIN_SHARE of a weight, or None if the weight is 0."""
        need = MIN_MAIN_SHARE * weight[0] if weight else 0.0
        best = None
        for box in self.all_boxes:
            if need and weight[box.index] >= need and (best is None or box.depth > best.depth):
                best = box
        return best

    def _group_blocks(self, keys: Sequence[Hashable]) -> tuple[list[int], GroupTotals]:
        """Return the slot of each block and the totals of the slots. Blocks with equal keys share a slot."""
        slots: dict[Hashable, int] = {}
        of = [slots.setdefault(key, len(slots)) for key in keys]
        totals = GroupTotals(len(slots))
        totals.add(of, self.own)
        return of, totals

    def _sum_siblings(self) -> None:
        """Compute the totals of boxes with the same parent and signature, one slot each. Boxes without text are left out."""
        slots: dict[tuple[int, str], int] = {}
        self.sibling_slot = [-1] * len(self.all_boxes)
        for box in self.all_boxes:
            if self.boxes.blocks[box.index] and box.parent is not None:
                self.sibling_slot[box.index] = slots.setdefault((box.parent.index, box.sign), len(slots))
        self.siblings = GroupTotals(len(slots))
        self.siblings.add(self.sibling_slot, self.boxes)
        count = Counter(self.sibling_slot)
        self.sibling_count = [count[slot] for slot in range(len(slots))]

    def _measure_distances(self) -> None:
        """Compute for each block the distance in blocks to the last heading and to the last h1."""
        size = len(self.blocks)
        self.since_h1, self.since_heading, self.heading, self.h1_seen = (
            [MAX_DISTANCE] * size,
            [MAX_DISTANCE] * size,
            [-1] * size,
            [0] * size,
        )
        h1 = heading = -MAX_DISTANCE
        seen = 0
        for i, block in enumerate(self.blocks):
            self.since_h1[i], self.since_heading[i] = min(MAX_DISTANCE, i - h1), min(MAX_DISTANCE, i - heading)
            self.heading[i] = heading
            if block.box.tag in HEADING_TAGS:
                heading = i
                if block.box.tag == "h1":
                    h1, seen = i, seen + 1
            self.h1_seen[i] = seen

    def _number_articles(self) -> None:
        """Compute the outermost article element of each box, in page order from 1 (0: none), and the prose words of each."""
        self.article_of = [0] * len(self.all_boxes)
        self.articles = 0
        for box in self.all_boxes:
            outer = self.article_of[box.parent.index] if box.parent is not None else 0
            if outer == 0 and box.tag == "article" and self.boxes.blocks[box.index]:
                self.articles += 1
                outer = self.articles
            self.article_of[box.index] = outer
        self.article_prose = [0] * (self.articles + 1)
        for at, prose in zip(self._box_of, self.own.prose, strict=True):
            self.article_prose[self.article_of[at]] += prose

    def _find_comments(self) -> frozenset[int]:
        """Return the blocks in boxes with a name for comments, below the headline and not around it.

        Several boxes with the same path must have such a name: a single one may hold a commentary, which is the article.
        """
        named = [box for box in self.all_boxes if has_comment_name(box)]
        if not named or self.title_at < 0:
            return frozenset()
        around = {box.index for box in self.blocks[self.title_at].box.ancestors()}
        named = [box for box in named if box.index not in around]
        alike = Counter(box.path_key for box in named)
        comments = {box.index for box in named if alike[box.path_key] > 1}
        inside = [False] * len(self.all_boxes)
        for box in self.all_boxes:
            inside[box.index] = box.parent is not None and (box.index in comments or inside[box.parent.index])
        return frozenset(i for i in range(self.title_at, len(self.blocks)) if inside[self._box_of[i]])

    def clear_comments(self, shares: Sequence[float]) -> list[float]:
        """Return the kept shares with 0 for readers' comments below a text of MIN_TEXT_WORDS kept words.

        Below a short article trafilatura sometimes keeps the comments. They would become the main part of the page.
        """
        cleared, above = list(shares), 0
        for i in range(self.title_at, len(shares)) if self._comments else ():
            if i not in self._comments:
                above += self.own.words[i] if shares[i] >= HALF else 0
            elif above >= MIN_TEXT_WORDS:
                cleared[i] = 0.0
        return cleared

    def find_first(self, words: Sequence[str]) -> int:
        """Return the index of the first block with exactly these words. Raises KeyError if no block has them."""
        if not self._first:
            self._first = {tuple(block.words): block.index for block in reversed(self.blocks)}
        return self._first[tuple(words)]

    def find_group_bits(self, box: Box) -> int:
        """Return the groups of class words in the names of the box, as bits. The result is cached per box."""
        found = self._bits.get(box.index)
        if found is None:
            found = self._bits[box.index] = find_class_groups(box.names)
        return found

    def is_hidden(self, box: Box | None) -> bool:
        """Return True if the box or one around it is hidden. The result is cached per box."""
        if box is None:
            return False
        found = self._hidden.get(box.index)
        if found is None:
            found = self._hidden[box.index] = self.is_hidden(box.parent) or is_hidden(box.element, box.element.get("class") or "")
        return found

    def _find_own_apart_bits(self, box: Box) -> int:
        found = self._own_apart.get(box.index)
        if found is None:
            found = _find_apart_names(box.names) | (BESIDE_BIT if box.tag in _BESIDE_TAGS else 0)
            self._own_apart[box.index] = found
        return found
