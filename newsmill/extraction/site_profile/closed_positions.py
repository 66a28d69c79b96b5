"""The positions of a site as a tree, with those closed that never hold text."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from lxml.html import HtmlElement

from newsmill.extraction.body.block_walk import BlockWalk
from newsmill.extraction.body.blocks import BOX_TAGS, LINK_SIGN, SKIPPED_TAGS, TextBlock, make_signature
from newsmill.extraction.site_profile import field_positions
from newsmill.extraction.site_profile.html_pruner import HtmlPruner, is_empty
from newsmill.extraction.site_profile.position_evidence import MIN_COMMON_SHARE, holds_text, measure_doubt
from newsmill.extraction.site_profile.profile_cache import cache_per_profile
from newsmill.model import POSITION_FIELDS, PathStats, Profile

# Share of the words under a box that may have been text by mistake; the box still counts as one without text.
MAX_SLIPPED_SHARE = 0.02


@dataclass(slots=True)
class Position:
    """A position of the site's pages, with the positions inside it. `closed`: neither it nor any position inside it holds text."""

    path: str
    inner: dict[str, Position] = field(default_factory=dict)
    text: bool | None = None
    doubt: float = 1.0
    closed: bool = False


@cache_per_profile
def build_positions(profile: Profile) -> Position:
    root = Position("")
    wanted = {place for name in POSITION_FIELDS if (place := field_positions.find_field_position(profile, name)) is not None}
    for path, seen in profile.paths.items():
        if "…" not in path:  # a shortened path cannot be followed from the root
            position = root
            for sign in path.split("/"):
                position = position.inner.setdefault(sign, Position(f"{position.path}/{sign}" if position.path else sign))
            position.text, position.doubt = holds_text(seen), measure_doubt(seen)
    _close_positions(root, profile, wanted)
    return root


def _close_positions(position: Position, profile: Profile, wanted: set[str]) -> tuple[int, int, int, bool]:
    """Close common positions without text. Returns for each and those inside: pages, words, kept words, and whether a field is there."""
    seen = profile.paths.get(position.path) or PathStats(0, 0, 0, 0, 0)
    pages, words, kept, field_inside = seen.pages, seen.words, seen.kept_words, position.path in wanted
    for inner in position.inner.values():
        below = _close_positions(inner, profile, wanted)
        pages, words, kept, field_inside = max(pages, below[0]), words + below[1], kept + below[2], field_inside or below[3]
    position.closed = not field_inside and kept <= MAX_SLIPPED_SHARE * words and pages >= MIN_COMMON_SHARE * profile.pages
    return pages, words, kept, field_inside


@cache_per_profile
def get_html_pruner(profile: Profile) -> HtmlPruner:
    """Return the pruner for the boxes in which the site never has text at any position."""
    open_signs: set[str] = set()
    closed_signs: set[str] = set()

    def sort(position: Position, *, closed: bool) -> None:
        for sign, inner in position.inner.items():
            (closed_signs if closed or inner.closed else open_signs).add(sign)
            sort(inner, closed=closed or inner.closed)

    sort(build_positions(profile), closed=False)
    return HtmlPruner(closed_signs - open_signs)


class ProfileWalk(BlockWalk):
    """A walk that skips closed boxes and records the position of every other box."""

    def __init__(self, root: Position, *, every_box: bool, emptied: Set[str] = frozenset()) -> None:
        super().__init__(SKIPPED_TAGS)
        self.root = root
        self.every_box = every_box
        self.emptied = emptied
        self.misplaced: set[str] = set()  # signatures of emptied boxes that are not closed
        self.positions: list[Position | None] = []  # by box index
        self.is_skipping = False  # the current element is a skipped closed box

    def enter(self, element: HtmlElement) -> bool:
        if element.tag not in BOX_TAGS:
            return super().enter(element)
        outer = self.root if self.box is None else self.positions[self.box.index]
        if outer is not None and outer.closed:
            position: Position | None = outer  # the boxes below are closed too
        else:
            sign = make_signature(element.tag, element.get("class") or "")
            position = None if outer is None else outer.inner.get(sign)
            if sign in self.emptied and (position is None or not position.closed) and is_empty(element):
                self.misplaced.add(sign)
        if position is not None and position.closed and not self.every_box:
            self.flush()
            self.is_skipping = True
            return False
        self.positions.append(position)
        return super().enter(element)

    def leave(self, tag: str) -> None:
        if self.is_skipping:
            self.is_skipping = False
        else:
            super().leave(tag)

    def find_position(self, block: TextBlock) -> Position | None:
        position = self.positions[block.box.index]
        return position.inner.get(LINK_SIGN) if position is not None and block.linked and not position.closed else position
