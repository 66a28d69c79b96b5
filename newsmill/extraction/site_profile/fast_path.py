"""The fast path: on a site whose profile is proven, the text is what stands at the places where the site keeps its text. Pure.

One walk over the page that does not enter boxes in which the site never keeps any. A page that is not like those the profile knows gives
no body here and goes the long way; so does, besides, one page in twenty, so that the two ways are held against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby

from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import BOXES, HEADINGS, LINK, SKIPPED, SUBHEADINGS, TextBlock, Walk, signature
from newsmill.extraction.body.blocks import words as words_of
from newsmill.extraction.body.extract import Body, holder, kind_of, text_of
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.cache import once_per_profile
from newsmill.extraction.site_profile import field_positions
from newsmill.extraction.site_profile.apply_profile import COMMON, LAYER, MATURE, doubt, is_strange, is_text, kept_words, line_reason
from newsmill.extraction.site_profile.prune_html import HtmlPruner, is_empty
from newsmill.extraction.site_profile.site_keys import NO_PROSE
from newsmill.model import Block, Document, PathStats, Profile

REACH = 0.5  # of its pages that paths alone must have found the text of, for a profile to be worth the try
AGREEMENT = 0.97  # F1 over words with the long way on these pages, mean
FIT = 0.9  # of the words of its own pages that stand at places which hold text on another one
ONE_IN = 20  # pages that go both ways; of a site learnt with SETTLED, one in OLD_ONE_IN: a sample costs as much as three fast pages
SETTLED, OLD_ONE_IN = 60, 50
SELDOM = 5  # one sample in so many is one again when its page is read again: it was held against the profile when it came
ALIKE = 0.97  # F1 over words from which the two ways agree on a page
LESS, MORE = 0.5, 2.0  # times the shortest and the longest text the profile knows
SLIPPED = 0.02  # share of the words under a box that may have been taken for text, for the box to count as one without any
NO_TEXT = "its place holds no text on this site"
UNKNOWN = "its place is not known on this site"


def proven(profile: Profile | None) -> bool:
    """Whether the profile may read pages by itself."""
    if profile is None or not profile.fast or profile.pages < MATURE or profile.norm is None:
        return False
    return (profile.reach or 0.0) >= REACH and (profile.agreement or 0.0) >= AGREEMENT and (profile.fit or 0.0) >= FIT


def is_sample(url: str, profile: Profile, *, again: bool = False) -> bool:
    """Whether a page goes both ways: the same pages whoever asks, and some of these when pages are read `again`."""
    number = int.from_bytes(blake2b(url.encode("utf-8", "replace"), digest_size=4).digest())
    one_in = ONE_IN if max(profile.pages, profile.looked_at) < SETTLED else OLD_ONE_IN
    return number % (one_in * SELDOM if again else one_in) == 0


def fast_body(tree: HtmlElement, profile: Profile, *, every_box: bool = False, closed: HtmlPruner | None = None) -> Body | None:
    """The body by the profile's paths, or None for a page that is not like those it knows. `tree` is not changed.

    `every_box`: the blocks of boxes without text are wanted too, as removed ones. `closed`: the boxes whose content was taken out before
    the page was parsed; None, too, where one of them stands at a place that may hold text, and `closed` is told.
    """
    assert profile.norm is not None
    walk = _KnownWalk(_spots(profile), every_box=every_box, emptied=closed.signs if closed else frozenset())
    blocks = walk.run(tree).blocks
    if closed is not None and walk.misplaced:
        closed.misplace(walk.misplaced)
        return None
    spots = [walk.spot(block) for block in blocks]
    found = tuple(_told(blocks, spots))
    size = kept_words(found)
    if size > MORE * profile.norm.most:
        return None
    doubtful = [(block, much) for block, spot in zip(blocks, spots, strict=True) if (much := _doubt(spot))]
    if _strange(doubtful, size):
        doubtful = [(block, much) for block, much in doubtful if block.type not in NO_PROSE and not _repeats(profile, block)]
        if _strange(doubtful, size):
            return None
    return Body(found, f"profile {profile.version}", confidence=profile.agreement)


def _strange(blocks: Iterable[tuple[TextBlock, float]], size: int) -> bool:
    return is_strange(sum(much * len(block.text.split()) for block, much in blocks), size)


def is_like(profile: Profile, found: Body, document: Document) -> bool:
    """Whether the page has as much text as the site's shortest at least, and a title and a date, where the site's pages have."""
    norm = profile.norm
    return (norm is not None and kept_words(found.blocks) >= LESS * norm.fewest) and all(
        found is not None or 2 * usual < profile.pages
        for found, usual in ((document.title, norm.titled), (document.published_at, norm.dated))
    )


def agree(one: Document | None, other: Document | None) -> bool:
    """Whether both ways made the same of a page: its title, its day, and nearly all of its words."""
    if one is None or other is None:
        return one is other
    same = one.published_day == other.published_day and words_of(one.title or "") == words_of(other.title or "")
    return same and alike(one.text, other.text) >= ALIKE


def alike(one: str, other: str) -> float:
    """F1 over the words of two texts."""
    left, right = Counter(words_of(one)), Counter(words_of(other))
    both = sum((left & right).values())
    return 2 * both / (left.total() + right.total()) if both else float(not left and not right)


# ---- the map of the site's places ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Spot:
    """A place of the site's pages, with the places inside it. `closed`: no text stands in it or below."""

    path: str
    inner: dict[str, _Spot] = field(default_factory=dict)
    text: bool | None = None
    doubt: float = 1.0
    closed: bool = False


@once_per_profile
def _spots(profile: Profile) -> _Spot:
    root = _Spot("")
    wanted = {place for name in ("title", "authors", "published_at") if (place := field_positions.proven(profile, name)) is not None}
    for path, seen in profile.paths.items():
        if "…" not in path:  # cut paths lead nowhere
            spot = root
            for sign in path.split("/"):
                spot = spot.inner.setdefault(sign, _Spot(f"{spot.path}/{sign}" if spot.path else sign))
            spot.text, spot.doubt = is_text(seen), doubt(seen)
    _close(root, profile, wanted)
    return root


def _close(spot: _Spot, profile: Profile, wanted: set[str]) -> tuple[int, int, int, bool]:
    """Close every spot that is common and without text; of each the pages, words and kept words, and whether a field stands in it."""
    seen = profile.paths.get(spot.path) or PathStats(0, 0, 0, 0, 0)
    pages, words, kept, field_inside = seen.pages, seen.words, seen.kept_words, spot.path in wanted
    for inner in spot.inner.values():
        below = _close(inner, profile, wanted)
        pages, words, kept, field_inside = max(pages, below[0]), words + below[1], kept + below[2], field_inside or below[3]
    spot.closed = not field_inside and kept <= SLIPPED * words and pages >= COMMON * profile.pages
    return pages, words, kept, field_inside


@once_per_profile
def closed_boxes(profile: Profile) -> HtmlPruner:
    """The boxes in which the site never keeps text, wherever they stand."""
    open_signs: set[str] = set()
    closed_signs: set[str] = set()

    def sort(spot: _Spot, *, closed: bool) -> None:
        for sign, inner in spot.inner.items():
            (closed_signs if closed or inner.closed else open_signs).add(sign)
            sort(inner, closed=closed or inner.closed)

    sort(_spots(profile), closed=False)
    return HtmlPruner(closed_signs - open_signs)


class _KnownWalk(Walk):
    """A walk that leaves out closed boxes and knows the spot of every other."""

    def __init__(self, root: _Spot, *, every_box: bool, emptied: Set[str] = frozenset()) -> None:
        super().__init__(SKIPPED)
        self.root = root
        self.every_box = every_box
        self.emptied = emptied
        self.misplaced: set[str] = set()  # signatures of boxes that were emptied and are not closed
        self.spots: list[_Spot | None] = []  # by box
        self.passed_by = False  # the element in hand is a closed box

    def enter(self, element: HtmlElement) -> bool:
        if element.tag not in BOXES:
            return super().enter(element)
        outer = self.root if self.box is None else self.spots[self.box.index]
        if outer is not None and outer.closed:
            spot: _Spot | None = outer  # nothing below is looked at either
        else:
            sign = signature(element.tag, element.get("class") or "")
            spot = None if outer is None else outer.inner.get(sign)
            if sign in self.emptied and (spot is None or not spot.closed) and is_empty(element):
                self.misplaced.add(sign)
        if spot is not None and spot.closed and not self.every_box:
            self.flush()
            self.passed_by = True
            return False
        self.spots.append(spot)
        return super().enter(element)

    def leave(self, tag: str) -> None:
        if self.passed_by:
            self.passed_by = False
        else:
            super().leave(tag)

    def spot(self, block: TextBlock) -> _Spot | None:
        spot = self.spots[block.box.index]
        return spot.inner.get(LINK) if spot is not None and block.linked and not spot.closed else spot


def _verdict(spot: _Spot | None) -> bool | None:
    """Whether a block there is text; None where the place is not known."""
    return None if spot is None else False if spot.closed else spot.text


def _doubt(spot: _Spot | None) -> float:
    """How little the place says of its blocks (`votes.doubt`)."""
    return 1.0 if spot is None else 0.0 if spot.closed else spot.doubt


def _repeats(profile: Profile, block: TextBlock) -> bool:
    """Whether the site's profile takes the block out as what stands on page after page, wherever it is."""
    return all(line_reason(profile, block.path, line, ending=True) is not None for line in block.text.split("\n"))


def _told(blocks: Sequence[TextBlock], spots: Sequence[_Spot | None]) -> Iterator[Block]:
    """The blocks as a body, lists and tables as one block each."""
    verdicts = _with_subheadings(blocks, [_verdict(spot) for spot in spots])
    known = zip(blocks, spots, verdicts, strict=True)
    markup = MarkupReader()
    for (verdict, _), group in groupby(known, key=lambda found: (found[2], holder(found[0]) if found[2] else 0)):
        members = [(block, spot) for block, spot, _ in group]
        yield from _kept(members, markup) if verdict else _removed(members, NO_TEXT if verdict is False else UNKNOWN)


def _with_subheadings(blocks: Sequence[TextBlock], verdicts: Sequence[bool | None]) -> list[bool | None]:
    """The verdicts, True for a subheading at an unknown place between two blocks of text: few pages of a site may have one."""
    text = [verdict is True and block.box.tag not in HEADINGS for block, verdict in zip(blocks, verdicts, strict=True)]
    return [
        True
        if verdict is None and block.box.tag in SUBHEADINGS and not block.links and 0 < i < len(text) - 1 and text[i - 1] and text[i + 1]
        else verdict
        for i, (block, verdict) in enumerate(zip(blocks, verdicts, strict=True))
    ]


def _kept(members: Sequence[tuple[TextBlock, _Spot | None]], markup: MarkupReader) -> Iterator[Block]:
    first, spot = members[0]
    blocks = [block for block, _ in members]
    text = text_of(blocks)
    kind = kind_of(first)
    if text:
        yield Block(kind, text, path=_path(first, spot), markup=markup.read(blocks, kind, text))


def _removed(members: Iterable[tuple[TextBlock, _Spot | None]], reason: str) -> Iterator[Block]:
    for block, spot in members:
        yield Block(kind_of(block), block.text, kept=False, layer=LAYER, reason=reason, path=_path(block, spot))


def _path(block: TextBlock, spot: _Spot | None) -> str:
    """The block's path; that of an open place is known already. (A closed one may stand for what is inside it.)"""
    return block.path if spot is None or spot.closed else spot.path
