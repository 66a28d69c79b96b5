"""The fast path: if a site's profile is proven, the text is the blocks at the positions where the site has its text.

`HtmlPruner` removes boxes in which the site never has text before the page is parsed, and one walk over the page skips others.
A page that does not resemble the profile's pages gives no body here and gets full extraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from lxml.html import HtmlElement

from newsmill.extraction.body.block_groups import choose_type, find_group, join_members
from newsmill.extraction.body.block_rules import NOT_DISPLAYED
from newsmill.extraction.body.blocks import HEADING_TAGS, SUBHEADING_TAGS, TextBlock, is_displayed
from newsmill.extraction.body.extract import Body
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile.apply_profile import LAYER, find_line_reason
from newsmill.extraction.site_profile.closed_positions import Position, ProfileWalk, build_positions
from newsmill.extraction.site_profile.html_pruner import HtmlPruner
from newsmill.extraction.site_profile.position_evidence import count_kept_words, is_strange
from newsmill.extraction.site_profile.site_keys import NON_PROSE_TYPES
from newsmill.model import Block, Document, Profile

MIN_LENGTH_FACTOR, MAX_LENGTH_FACTOR = 0.5, 2.0  # factors for the shortest and the longest text in the profile
NO_TEXT_POSITION = "this position never holds article text on this site"
UNKNOWN_POSITION = "this position is not known on this site"


def extract_fast_body(tree: HtmlElement, profile: Profile, *, every_box: bool = False, pruner: HtmlPruner | None = None) -> Body | None:
    """Return the body by the profile's paths, or None for a page that does not resemble the profile's pages. `tree` does not change.

    `every_box`: the result also has the blocks of boxes without text, as removed blocks.
    `pruner`: the pruner that emptied boxes before the page was parsed.
    If an emptied box is at a position that may hold text, the result is None and the function records this in `pruner`.
    The profile must have a norm (`profile_trust.is_proven`).
    """
    assert profile.norm is not None
    walk = ProfileWalk(build_positions(profile), every_box=every_box, emptied=pruner.signs if pruner else frozenset())
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


def _holds_text(position: Position | None) -> bool | None:
    """Return whether a block at the position is text, or None if the position is unknown."""
    return None if position is None else False if position.closed else position.text


def _get_doubt(position: Position | None) -> float:
    """Return how little the position says about its blocks (`position_evidence.measure_doubt`)."""
    return 1.0 if position is None else 0.0 if position.closed else position.doubt


def _is_repeated(profile: Profile, block: TextBlock) -> bool:
    """Return whether the site profile removes every line of the block as repeated, wherever the block is."""
    return all(find_line_reason(profile, block.path, line, ending=True) is not None for line in block.text.split("\n"))


def _make_blocks(blocks: Sequence[TextBlock], positions: Sequence[Position | None]) -> Iterator[Block]:
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
    """Return the decisions, with True for a subheading at an unknown position between two blocks of text: few pages may have one."""
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


def _make_kept(members: Sequence[tuple[TextBlock, Position | None]], markup: MarkupReader) -> Iterator[Block]:
    first, position = members[0]
    blocks = [block for block, _ in members]
    text = join_members(blocks)
    kind = choose_type(first)
    if text:
        yield Block(kind, text, path=_get_path(first, position), markup=markup.read(blocks, kind, text))


def _make_removed(members: Iterable[tuple[TextBlock, Position | None]], reason: str) -> Iterator[Block]:
    for block, position in members:
        why = NOT_DISPLAYED if _holds_text(position) else reason
        yield Block(choose_type(block), block.text, kept=False, layer=LAYER, reason=why, path=_get_path(block, position))


def _get_path(block: TextBlock, position: Position | None) -> str:
    """Return the block's path, from the position if possible. A closed position may represent boxes inside it."""
    return block.path if position is None or position.closed else position.path
