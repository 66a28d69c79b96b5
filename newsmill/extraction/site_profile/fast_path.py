"""The fast path: if a site's profile is proven, the text is the blocks at the positions where the site has its text.

`HtmlPruner` removes boxes in which the site never has text before the page is parsed, and one walk over the page skips others.
A page that does not resemble the profile's pages gives no body here and gets full extraction.
One page in 20 (SAMPLE_ONE_IN) gets both, so that their results can be compared.
The functions have no side effects.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby

from lxml.html import HtmlElement

from newsmill.extraction.body.block_rules import NOT_DISPLAYED
from newsmill.extraction.body.blocks import (
    BOX_TAGS,
    HEADING_TAGS,
    LINK_SIGN,
    SKIPPED_TAGS,
    SUBHEADING_TAGS,
    BlockWalk,
    TextBlock,
    is_displayed,
    make_signature,
    split_words,
)
from newsmill.extraction.body.extract import Body, choose_type, find_group, join_members
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.html import START_TAG_ATTRIBUTES
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile import apply_profile
from newsmill.extraction.site_profile.apply_profile import (
    LAYER,
    MIN_COMMON_SHARE,
    cache_per_profile,
    count_kept_words,
    find_line_reason,
    holds_text,
    is_strange,
    measure_doubt,
)
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import POSITION_FIELDS, Block, Document, PathStats, Profile

# One page in so many is extracted on both paths; a sample costs as much as three fast pages.
# A site learned from SETTLED_PAGES pages needs fewer samples: one in SETTLED_SAMPLE_ONE_IN.
SAMPLE_ONE_IN = 20
SETTLED_PAGES, SETTLED_SAMPLE_ONE_IN = 60, 50
# One sample in so many is a sample again at re-extraction, because it was compared when it was first fetched.
REEXTRACT_SAMPLE_FACTOR = 5
MIN_AGREEMENT_F1 = 0.97  # F1 over words from which both paths agree on a page
MIN_LENGTH_FACTOR, MAX_LENGTH_FACTOR = 0.5, 2.0  # factors for the shortest and the longest text in the profile
# Share of the words under a box that may have been text by mistake; the box still counts as one without text.
MAX_SLIPPED_SHARE = 0.02
NO_TEXT_POSITION = "this position never holds article text on this site"
UNKNOWN_POSITION = "this position is not known on this site"


def is_sample(url: str, profile: Profile, *, again: bool = False) -> bool:
    """Return whether a page is extracted on both paths. The result depends only on the URL and the profile.

    `again`: the page is re-extracted. The samples are then a subset of those of the first extraction.
    """
    number = int.from_bytes(blake2b(url.encode("utf-8", "replace"), digest_size=4).digest())
    one_in = SAMPLE_ONE_IN if max(profile.pages, profile.looked_at) < SETTLED_PAGES else SETTLED_SAMPLE_ONE_IN
    return number % (one_in * REEXTRACT_SAMPLE_FACTOR if again else one_in) == 0


def extract_fast_body(tree: HtmlElement, profile: Profile, *, every_box: bool = False, pruner: HtmlPruner | None = None) -> Body | None:
    """Return the body by the profile's paths, or None for a page that does not resemble the profile's pages. `tree` does not change.

    `every_box`: the result also has the blocks of boxes without text, as removed blocks.
    `pruner`: the pruner that emptied boxes before the page was parsed.
    If an emptied box is at a position that may hold text, the result is None and the function records this in `pruner`.
    The profile must have a norm (`apply_profile.is_proven`).
    """
    assert profile.norm is not None
    walk = _ProfileWalk(_build_positions(profile), every_box=every_box, emptied=pruner.signs if pruner else frozenset())
    blocks = walk.run(tree).blocks
    if pruner is not None and walk.misplaced:
        pruner.record_misplaced(walk.misplaced)
        return None
    positions = [walk.find_position(block) for block in blocks]
    found = tuple(_make_blocks(blocks, positions))
    size = count_kept_words(found)
    if size > MAX_LENGTH_FACTOR * profile.norm.most:
        return None
    doubtful = [(block, much) for block, position in zip(blocks, positions, strict=True) if (much := _get_doubt(position))]
    if _has_strange_text(doubtful, size):
        doubtful = [(block, much) for block, much in doubtful if block.type not in NON_PROSE_TYPES and not _is_repeated(profile, block)]
        if _has_strange_text(doubtful, size):
            return None
    return Body(found, f"profile {profile.version}", confidence=profile.agreement)


def _has_strange_text(blocks: Iterable[tuple[TextBlock, float]], size: int) -> bool:
    return is_strange(sum(much * count_line_words(block.text) for block, much in blocks), size)


def is_typical(profile: Profile, found: Body, document: Document) -> bool:
    """Return whether the page is typical: enough text, and a title and a date if most of the site's pages have them.

    Enough text is MIN_LENGTH_FACTOR times the words of the site's shortest text.
    """
    norm = profile.norm
    return (norm is not None and count_kept_words(found.blocks) >= MIN_LENGTH_FACTOR * norm.fewest) and all(
        found is not None or 2 * usual < profile.pages
        for found, usual in ((document.title, norm.titled), (document.published_at, norm.dated))
    )


def is_same_result(one: Document | None, other: Document | None) -> bool:
    """Return whether both paths gave the same title, the same day, and nearly the same words for a page."""
    if one is None or other is None:
        return one is other
    same = one.published_day == other.published_day and split_words(one.title or "") == split_words(other.title or "")
    return same and measure_f1(one.text, other.text) >= MIN_AGREEMENT_F1


def measure_f1(one: str, other: str) -> float:
    """Return the F1 over the words of two texts, 0 to 1."""
    left, right = Counter(split_words(one)), Counter(split_words(other))
    both = sum((left & right).values())
    return 2 * both / (left.total() + right.total()) if both else float(not left and not right)


# ---- positions of the site ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Position:
    """A position of the site's pages, with the positions inside it. `closed`: neither it nor any position inside it holds text."""

    path: str
    inner: dict[str, _Position] = field(default_factory=dict)
    text: bool | None = None
    doubt: float = 1.0
    closed: bool = False


@cache_per_profile
def _build_positions(profile: Profile) -> _Position:
    root = _Position("")
    wanted = {place for name in POSITION_FIELDS if (place := apply_profile.find_field_position(profile, name)) is not None}
    for path, seen in profile.paths.items():
        if "…" not in path:  # a shortened path cannot be followed from the root
            position = root
            for sign in path.split("/"):
                position = position.inner.setdefault(sign, _Position(f"{position.path}/{sign}" if position.path else sign))
            position.text, position.doubt = holds_text(seen), measure_doubt(seen)
    _close_positions(root, profile, wanted)
    return root


def _close_positions(position: _Position, profile: Profile, wanted: set[str]) -> tuple[int, int, int, bool]:
    """Close every position that is common and has no text.

    Returns for the position and those inside it: pages, words, kept words, and whether a field is there.
    """
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

    def sort(position: _Position, *, closed: bool) -> None:
        for sign, inner in position.inner.items():
            (closed_signs if closed or inner.closed else open_signs).add(sign)
            sort(inner, closed=closed or inner.closed)

    sort(_build_positions(profile), closed=False)
    return HtmlPruner(closed_signs - open_signs)


class _ProfileWalk(BlockWalk):
    """A walk that skips closed boxes and records the position of every other box."""

    def __init__(self, root: _Position, *, every_box: bool, emptied: Set[str] = frozenset()) -> None:
        super().__init__(SKIPPED_TAGS)
        self.root = root
        self.every_box = every_box
        self.emptied = emptied
        self.misplaced: set[str] = set()  # signatures of emptied boxes that are not closed
        self.positions: list[_Position | None] = []  # by box index
        self.is_skipping = False  # the current element is a skipped closed box

    def enter(self, element: HtmlElement) -> bool:
        if element.tag not in BOX_TAGS:
            return super().enter(element)
        outer = self.root if self.box is None else self.positions[self.box.index]
        if outer is not None and outer.closed:
            position: _Position | None = outer  # the boxes below are closed too
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

    def find_position(self, block: TextBlock) -> _Position | None:
        position = self.positions[block.box.index]
        return position.inner.get(LINK_SIGN) if position is not None and block.linked and not position.closed else position


def _holds_text(position: _Position | None) -> bool | None:
    """Return whether a block at the position is text, or None if the position is unknown."""
    return None if position is None else False if position.closed else position.text


def _get_doubt(position: _Position | None) -> float:
    """Return how little the position says about its blocks (`apply_profile.measure_doubt`)."""
    return 1.0 if position is None else 0.0 if position.closed else position.doubt


def _is_repeated(profile: Profile, block: TextBlock) -> bool:
    """Return whether the site profile removes every line of the block as repeated, wherever the block is."""
    return all(find_line_reason(profile, block.path, line, ending=True) is not None for line in block.text.split("\n"))


def _make_blocks(blocks: Sequence[TextBlock], positions: Sequence[_Position | None]) -> Iterator[Block]:
    """Yield the blocks of the body. Each list and each table is one block."""
    held = [_holds_text(position) and is_displayed(block) for block, position in zip(blocks, positions, strict=True)]
    decisions = _complete_groups(blocks, _add_subheadings(blocks, held))
    known = zip(blocks, positions, decisions, strict=True)
    markup = MarkupReader()
    for (decision, _), group in groupby(known, key=lambda found: (found[2], find_group(found[0]) if found[2] else 0)):
        members = [(block, position) for block, position, _ in group]
        yield from (
            _make_kept(members, markup) if decision else _make_removed(members, NO_TEXT_POSITION if decision is False else UNKNOWN_POSITION)
        )


def _add_subheadings(blocks: Sequence[TextBlock], decisions: Sequence[bool | None]) -> list[bool | None]:
    """Return the decisions, with True for a subheading at an unknown position between two blocks of text.

    Few pages of a site may have a subheading.
    """
    text = [decision is True and block.box.tag not in HEADING_TAGS for block, decision in zip(blocks, decisions, strict=True)]
    return [
        True
        if decision is None
        and block.box.tag in SUBHEADING_TAGS
        and not block.links
        and 0 < i < len(text) - 1
        and text[i - 1]
        and text[i + 1]
        else decision
        for i, (block, decision) in enumerate(zip(blocks, decisions, strict=True))
    ]


def _complete_groups(blocks: Sequence[TextBlock], decisions: Sequence[bool | None]) -> list[bool | None]:
    """Return the decisions, with True for the members at unknown positions of a list or table that has text at a known one.

    Few pages of a site may have a table; without this, its header stays and its rows go.
    """
    groups = [find_group(block) for block in blocks]
    text = {group for group, decision in zip(groups, decisions, strict=True) if decision}
    return [True if decision is None and group in text else decision for group, decision in zip(groups, decisions, strict=True)]


def _make_kept(members: Sequence[tuple[TextBlock, _Position | None]], markup: MarkupReader) -> Iterator[Block]:
    first, position = members[0]
    blocks = [block for block, _ in members]
    text = join_members(blocks)
    kind = choose_type(first)
    if text:
        yield Block(kind, text, path=_get_path(first, position), markup=markup.read(blocks, kind, text))


def _make_removed(members: Iterable[tuple[TextBlock, _Position | None]], reason: str) -> Iterator[Block]:
    for block, position in members:
        why = NOT_DISPLAYED if _holds_text(position) else reason
        yield Block(choose_type(block), block.text, kept=False, layer=LAYER, reason=why, path=_get_path(block, position))


def _get_path(block: TextBlock, position: _Position | None) -> str:
    """Return the block's path, from the position if possible. A closed position may represent boxes inside it."""
    return block.path if position is None or position.closed else position.path


# ---- removal of boxes without text, before the page is parsed -----------------------------------------------------------------

# Two thirds of a page's elements are in menus and teasers.
# With pruning, a page of a known site takes 3.4 ms of CPU instead of 4.0 ms; the search for the boxes takes 0.25 ms of that.
# docs/decisions/site-profiles.md has the measurement.
#
# The box itself stays, with its attributes; only its content is removed.
# The content is removed only if the parser result for the rest of the page stays the same. This requires well-nested boxes.
# A box that may hold a field (a heading, a time, a caption, data) stays whole.

# Elements that end only at their own end tag, and that no start tag ends (htmlStartClose in libxml2's HTMLparser.c).
NESTED_TAGS = frozenset(("div", "section", "article", "aside", "footer", "header", "main", "nav"))
# Raw text is skipped as a whole, because "<script>a<div</script>" contains no further tag. Comments are skipped too.
_RAW_TEXT_TAGS = "script|style|title|textarea|iframe|noembed|noframes|xmp|plaintext"
_BOX_TAGS = f"(?:{'|'.join(sorted(NESTED_TAGS))})"
# An end tag does not close a box while one of these is open in it.
# A box also ends with one of these that is open around it (htmlEndPriority, same file).
_TABLE_TAGS = "table|thead|tbody|tfoot|tr|th|td"
_WHOLE_TAGS = "h1|h2|figure"  # elements that are read with their whole content
_PAGE_TAGS = "html|head|body|frameset"
_NAME_END = r"(?=[\s/>])"  # the end of a tag's name
# Frequent tags that are not tokens. To skip them at once saves a fifth of the time of the search.
_FREQUENT_TAGS = "a|p|li|ul|span|svg|path|img|h3|button|i|b"
_TOKEN = re.compile(
    rf"<(?!/?(?:{_FREQUENT_TAGS}){_NAME_END})(?:({_BOX_TAGS}){_NAME_END}(?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+(?<!/)"  # BEGIN
    rf"|/(?:({_BOX_TAGS}){_NAME_END}|({_WHOLE_TAGS}|{_TABLE_TAGS}){_NAME_END}"  # END, READ_END
    rf"|(?:{_PAGE_TAGS}){_NAME_END}()|[A-Z]()|(?![a-z])[^>]*+)"  # PAGE, ODD, no tag
    rf"|({_WHOLE_TAGS}|figcaption|time|meta|link|base|{_TABLE_TAGS}){_NAME_END}"  # READ
    rf"|({_RAW_TEXT_TAGS}){_NAME_END}(?:[^<]++|<(?!/(?i:\7)[\s/>]))*+"  # RAW_TEXT
    rf"|(?:{_PAGE_TAGS}){_NAME_END}()"  # PAGE_BEGIN
    # ODD_BEGIN: upper case, or "<div/>", which is an empty box for libxml2 and an open one for a browser
    rf"|(?:[A-Z]|{_BOX_TAGS}{_NAME_END})()"
    r"|!--(?!-?>)(?:[^-]++|-(?!-!?>))*+|[!?][^>]*+)".encode()  # comments
)
_BEGIN, _END, _READ_END, _PAGE, _ODD, _READ, _RAW_TEXT, _PAGE_BEGIN, _ODD_BEGIN = range(1, 10)
_WHOLE_TAG_NAMES = frozenset(_WHOLE_TAGS.encode().split(b"|"))
_NESTED_BUT_DIV = sorted(NESTED_TAGS - {"div"})
_SAFE_ANCESTORS = NESTED_TAGS | {"html", "body"}
_CLASS = re.compile(rb"[\s/\"']class\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_MAX_CACHED_TAGS = 5_000  # start tags in the cache; a site has a few hundred different start tags of boxes
_MAX_CACHED_BYTES = 500  # bytes of attributes; longer ones are not cached
_MIN_TRIED_PAGES = 32  # pages to try before pruning may stop for a site that does not benefit


class HtmlPruner:
    """Prunes the boxes of one site, given by their signatures (`blocks.make_signature`).

    It learns which of them do not benefit. Extraction results do not change.
    """

    def __init__(self, signs: Set[str]) -> None:
        self.signs = frozenset(sign for sign in signs if sign.partition(".")[0] in NESTED_TAGS)
        self._known: dict[tuple[bytes, bytes], bool] = {}  # by tag name and attributes as written
        self._tried = self._gained = 0
        self._misplaced: Counter[str] = Counter()

    @property
    def is_worthwhile(self) -> bool:
        """False if the site has no closed boxes, or if most of its pages were parsed without pruning after all."""
        return bool(self.signs) and (self._tried < _MIN_TRIED_PAGES or 2 * self._gained >= self._tried)

    def record(self, *, gained: bool) -> None:
        """Record whether a page could be extracted without the content of its closed boxes."""
        self._tried += 1
        self._gained += gained

    def record_misplaced(self, signs: Set[str]) -> None:
        """Record signatures of boxes that were emptied on a page where they are not closed.

        If this happens to a signature on more than one page in ten, the pruner drops the signature.
        """
        self._misplaced.update(signs)
        often = {sign for sign in signs if 10 * self._misplaced[sign] > self._tried}
        if often:
            self.signs -= often
            self._known.clear()
            self._tried = self._gained = 0

    def prune(self, html: bytes) -> bytes | None:
        """Return the page (UTF-8) without the content of its closed boxes.

        Returns None if the boxes are not well nested, or if none of them is closed.
        """
        parts: list[bytes] = []
        open_boxes: list[bytes] = []
        # One loop without calls, because it runs 600 times per page.
        # `content_start` is where the content of the current closed box begins; `depth` is the number of open boxes up to and including it.
        # The page is in `parts` up to the position `copied`.
        content_start = depth = copied = 0
        # `must_stay`: the current closed box holds a field, so its content stays. `in_whole_element`: a heading or a figure is open.
        must_stay = in_whole_element = False
        for token in _TOKEN.finditer(html):
            kind = token.lastindex
            if kind == _BEGIN:
                name = token[_BEGIN]
                open_boxes.append(name)
                if not depth and not in_whole_element and self._is_closed(name, html[token.end(_BEGIN) : token.end()]):
                    whole_tag = START_TAG_ATTRIBUTES.match(html, token.end(_BEGIN))
                    if whole_tag is None or _is_inside_tag(html, token.start()):
                        return None
                    content_start, depth, must_stay = whole_tag.end(), len(open_boxes), False
            elif kind == _END:
                if not open_boxes or open_boxes.pop() != token[_END]:
                    return None
                if len(open_boxes) < depth:
                    if _is_inside_tag(html, token.start()):
                        return None
                    depth = 0
                    if not must_stay:
                        parts.append(html[copied:content_start])
                        copied = token.start()
            elif kind == _READ:
                must_stay = must_stay or token[_READ] != b"figure"
                in_whole_element = in_whole_element or token[_READ] in _WHOLE_TAG_NAMES
            elif kind == _READ_END:
                whole = token[_READ_END] in _WHOLE_TAG_NAMES
                in_whole_element, must_stay = in_whole_element and not whole, must_stay or not whole
            elif kind == _RAW_TEXT:
                content = token[0]
                if b"<!--" in content and content.rfind(b"<script") > 0:  # may be escaped twice and end elsewhere
                    return None
                must_stay = must_stay or b"ld+json" in content
            elif kind in (_ODD, _ODD_BEGIN) or (kind in (_PAGE, _PAGE_BEGIN) and open_boxes):
                return None
        if open_boxes or not parts:
            return None
        return b"".join((*parts, html[copied:]))

    def find_doubtful(self, tree: HtmlElement) -> set[str]:
        """Return signatures of boxes that were emptied on the parsed page and may not have ended at their end tags.

        A div always does. The end tag of a surrounding element that is not a box also ends any other box (htmlEndPriority).
        """
        boxes = filter(is_empty, tree.iter(*_NESTED_BUT_DIV))
        return {
            sign
            for box in boxes
            if (sign := make_signature(box.tag, box.get("class") or "")) in self.signs
            and any(outer.tag not in _SAFE_ANCESTORS for outer in box.iterancestors())
        }

    def _is_closed(self, name: bytes, attributes: bytes) -> bool:
        known = self._known.get((name, attributes))
        if known is None:
            found = _CLASS.search(attributes)
            classes = b"" if found is None else next(filter(None, found.groups()), b"")
            known = make_signature(name.decode(), classes.decode("utf-8", "replace")) in self.signs
            if len(attributes) <= _MAX_CACHED_BYTES:
                if len(self._known) >= _MAX_CACHED_TAGS:
                    self._known.clear()
                self._known[name, attributes] = known
        return known


def is_empty(box: HtmlElement) -> bool:
    """Return whether the box has neither children nor text, like an emptied box."""
    return len(box) == 0 and not box.text


def _is_inside_tag(html: bytes, at: int) -> bool:
    """Return whether a tag, or text that resembles one, is open at byte `at`."""
    return html.rfind(b"<", 0, at) > html.rfind(b">", 0, at)
