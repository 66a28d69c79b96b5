"""Markup of a block that plain text cannot express: links, list items, table cells, and heading levels.

Links are located again in the normalised text, in which usually only white space differs.
If normalisation changed characters across a link's boundary, the links of that text are left out: a wrong link is worse than none.
The functions have no side effects.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TypeVar

import ada_url
from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import CELL_TAGS, HEADING_TAGS, ITEM_TAGS, Box, TextBlock
from newsmill.extraction.normalise import normalise
from newsmill.model import Block, BlockType, ListItem, Markup, TableCell, TextLink
from newsmill.text.urls import MAX_URL_CHARACTERS

LIST_TAGS = frozenset(("ul", "ol", "dl", "menu", "dir"))
LINK_SCHEMES = ("http:", "https:", "mailto:")  # a reader can follow these, and none of them executes code
MAX_LIST_DEPTH = 8  # levels of nested lists; deeper ones are layout
# Columns of a table; cells further right share the last one.
# The limit stops colspan and rowspan from making a small page large.
MAX_COLUMNS = 100
_EMPTY = Markup()
_STRUCTURED = (BlockType.HEADING, BlockType.LIST, BlockType.TABLE)  # types of blocks that have markup besides links
Span = TypeVar("Span", TextLink, ListItem, TableCell)


class MarkupReader:
    """Reads the markup of one page's blocks. It caches the item numbers of each list and the columns of each table."""

    def __init__(self) -> None:
        self._numbers: dict[int, Mapping[HtmlElement, int]] = {}  # by list box
        self._columns: dict[int, Mapping[HtmlElement, int]] = {}  # by table box

    def read(self, members: Sequence[TextBlock], kind: BlockType, text: str) -> Markup | None:
        """Return the markup of a block with text `text`, made of `members`, or None if it has none. URLs are unchanged from the page."""
        box = members[0].box
        if kind not in _STRUCTURED and not any(member.link_edges for member in members):
            return None
        level = _read_level(box) if kind is BlockType.HEADING else None
        places = _find_member_spans(members, text)
        if places is None:
            return None if level is None else Markup(level)
        links = tuple(link for member, place in zip(members, places, strict=True) for link in _list_links(member, text, *place))
        items = tuple(self._items(members, places)) if kind is BlockType.LIST else ()
        cells = tuple(self._cells(members, places)) if kind is BlockType.TABLE else ()
        found = Markup(level, links, items, cells)
        return None if found == _EMPTY else found

    def _items(self, members: Sequence[TextBlock], places: Sequence[tuple[int, int]]) -> Iterator[ListItem]:
        """Yield one item per `li`. Adjacent paragraphs of one `li` form one item."""
        last: tuple[Box, ListItem] | None = None
        for member, (start, end) in zip(members, places, strict=True):
            box = _find_nearest(member.box, ITEM_TAGS) or member.box
            if last is not None and last[0] is box:
                last = (box, replace(last[1], end=end))
                continue
            if last is not None:
                yield last[1]
            depth = sum(outer.tag in LIST_TAGS for outer in box.ancestors()) - 1
            last = (box, ListItem(start, end, min(max(depth, 0), MAX_LIST_DEPTH), self._number(box)))
        if last is not None:
            yield last[1]

    def _number(self, item: Box) -> int | None:
        holder = _find_nearest(item, LIST_TAGS)
        if holder is None or holder.tag != "ol":
            return None
        if holder.index not in self._numbers:
            self._numbers[holder.index] = _number_items(holder.element)
        return self._numbers[holder.index].get(item.element)

    def _cells(self, members: Sequence[TextBlock], places: Sequence[tuple[int, int]]) -> Iterator[TableCell]:
        row, last = -1, None
        for member, (start, end) in zip(members, places, strict=True):
            cell, line = _find_nearest(member.box, CELL_TAGS), _find_nearest(member.box, ("tr",))
            row += line is None or line is not last
            last = line
            column = 0 if cell is None else self._column(cell)
            yield TableCell(start, end, row, column, cell is not None and _is_header_cell(cell))

    def _column(self, cell: Box) -> int:
        table = _find_nearest(cell, ("table",))
        if table is None:
            return 0
        if table.index not in self._columns:
            self._columns[table.index] = _assign_columns(table.element)
        return self._columns[table.index].get(cell.element, 0)


def resolve_links(block: Block, base: str) -> Block:
    """Return the block with absolute URLs in its links. Links without a URL that a reader can follow are left out."""
    if block.markup is None or not block.markup.links:
        return block
    found = ((link, resolve_url(link.url, base)) for link in block.markup.links)
    links = tuple(TextLink(link.start, link.end, url) for link, url in found if url is not None)
    markup = Markup(block.markup.level, links, block.markup.items, block.markup.cells)
    return replace(block, markup=None if markup == _EMPTY else markup)


def resolve_url(href: str, base: str) -> str | None:
    """Return the absolute URL (WHATWG URL standard) of a link, without credentials.

    Returns None for schemes other than http, https and mailto, and for links of more than MAX_URL_CHARACTERS characters.

    >>> resolve_url("../b?q=1", "https://example.org/a/"), resolve_url("javascript:alert(1)", "https://example.org/")
    ('https://example.org/b?q=1', None)
    """
    if len(href) > MAX_URL_CHARACTERS:
        return None
    href = href.encode("utf-8", "replace").decode()  # a lone surrogate is not a character
    url = _join_url(base, href) or _join_url(href, href)  # the base may not be a URL
    if url is None or not url.startswith(LINK_SCHEMES):
        return None
    if "@" not in url or url.startswith("mailto:"):
        return url
    parsed = ada_url.URL(url)
    parsed.username = parsed.password = ""
    return str(parsed.href)


def _join_url(base: str, href: str) -> str | None:
    try:
        return str(ada_url.join_url(base, href))
    except ValueError:
        return None


def cut_block(block: Block, text: str, start: int = 0) -> Block:
    """Return the block with only `text`, a part of its text that begins at character `start`. Its markup is cut to fit."""
    if block.markup is None or block.text == text:
        return replace(block, text=text)
    markup = block.markup
    if not block.text.startswith(text, start):
        return replace(block, text=text, markup=None if markup.level is None else Markup(markup.level))
    end = start + len(text)
    cut = Markup(
        markup.level, _cut_spans(markup.links, start, end), _cut_spans(markup.items, start, end), _cut_spans(markup.cells, start, end)
    )
    return replace(block, text=text, markup=None if cut == _EMPTY else cut)


def _cut_spans(spans: Sequence[Span], start: int, end: int) -> tuple[Span, ...]:
    """Return the parts of `spans` between `start` and `end`, relative to `start`. `spans` are in text order."""
    first, last = bisect_right(spans, start, key=lambda span: span.end), bisect_left(spans, end, key=lambda span: span.start)
    inside = spans[first:last]
    return tuple(replace(span, start=max(span.start, start) - start, end=min(span.end, end) - start) for span in inside)


def _read_level(box: Box) -> int:
    heading = _find_nearest(box, HEADING_TAGS)
    return 2 if heading is None else int(heading.tag[1])


def _find_nearest(box: Box, tags: frozenset[str] | Sequence[str]) -> Box | None:
    """Return the box itself or the nearest one around it with one of these tags, or None."""
    return next((outer for outer in box.ancestors() if outer.tag in tags), None)


def _is_header_cell(cell: Box) -> bool:
    around = _find_nearest(cell, ("thead", "table"))
    return cell.tag == "th" or (around is not None and around.tag == "thead")


def _find_member_spans(members: Sequence[TextBlock], text: str) -> list[tuple[int, int]] | None:
    """Return the span of each member in the block's text, or None if normalisation changed more than white space between members."""
    if len(members) == 1:
        return [(0, len(text))] if text else None
    places, at = [], 0
    for member in members:
        piece = normalise(member.text)
        start = at + next((len(gap) for gap in ("", "\n", " | ") if text.startswith(gap + piece, at) and (gap or not at)), -1)
        if not piece or start < at:
            return None
        at = start + len(piece)
        places.append((start, at))
    return places if at == len(text) else None


def _list_links(member: TextBlock, text: str, start: int, end: int) -> Iterator[TextLink]:
    """Yield the links of one member, whose text is `text[start:end]`."""
    if not member.link_edges:
        return
    spans = _find_plain_spans(member.parts, text[start:end]) or _find_normalised_spans(member.parts, text[start:end])
    edges = [*member.link_edges, (len(spans), None)]
    for (from_part, href), (to_part, _) in pairwise(edges):
        inside = [span for span in spans[from_part:to_part] if span[0] < span[1]]
        if href is not None and inside:
            yield TextLink(start + inside[0][0], start + inside[-1][1], href)


def _find_plain_spans(parts: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Return the span of each part in a text in which each run of white space became one character; empty if more changed."""
    spans, at, gap = [], 0, False
    for part in parts:
        collapsed = " ".join(part.split())
        gap = gap or not collapsed or part[0].isspace()
        first = at + (gap and at > 0) if collapsed else at
        if text[first : first + len(collapsed)] != collapsed:
            return []
        spans.append((first, first + len(collapsed)))
        at, gap = first + len(collapsed), part[-1].isspace() or (gap and not collapsed)
    return spans if at == len(text) else []


def _find_normalised_spans(parts: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Return the same for a text in which normalisation changed each part separately; empty if it changed parts jointly."""
    shown = ["".join(normalise(part).split()) for part in parts]
    if "".join(shown) != "".join(text.split()):
        return []
    before = list(accumulate(map(len, shown), initial=0))  # number of non-space characters before each part
    places = [at for at, char in enumerate(text) if not char.isspace()]
    return [(places[first], places[last - 1] + 1) if first < last else (0, 0) for first, last in pairwise(before)]


def _number_items(ordered: HtmlElement) -> dict[HtmlElement, int]:
    """Return the number of each item of an `ol` (HTML standard, section 4.4.5). A reversed list is numbered upwards."""
    numbers, number = {}, _parse_integer(ordered.get("start"), 1)
    for item in ordered.iterchildren("li"):
        number = _parse_integer(item.get("value"), number)
        numbers[item] = number
        number += 1
    return numbers


def _parse_integer(text: str | None, otherwise: int) -> int:
    """Return the integer in `text`, or `otherwise` if it is not one of up to nine digits without a sign, as CommonMark requires."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) <= 9 else otherwise


def _assign_columns(table: HtmlElement) -> dict[HtmlElement, int]:
    """Return the column of each cell. Cells take the first columns that no cell of an earlier row extends into."""
    columns: dict[HtmlElement, int] = {}
    reaching: dict[int, int] = {}  # column → number of further rows that a cell spans
    for row in _list_rows(table):
        column, below = 0, {at: rows - 1 for at, rows in reaching.items() if rows > 1}
        for cell in row.iterchildren("td", "th"):
            while column in reaching:
                column += 1
            columns[cell] = min(column, MAX_COLUMNS - 1)
            width, rows = max(1, _parse_integer(cell.get("colspan"), 1)), _parse_integer(cell.get("rowspan"), 1)
            if rows > 1:
                below.update(dict.fromkeys(range(column, min(column + width, MAX_COLUMNS)), rows - 1))
            column = min(column + width, MAX_COLUMNS)
        reaching = below
    return columns


def _list_rows(table: HtmlElement) -> Iterator[HtmlElement]:
    """Yield the rows of the table itself, without those of nested tables."""
    for child in table.iterchildren("tr", "thead", "tbody", "tfoot"):
        if child.tag == "tr":
            yield child
        else:
            yield from child.iterchildren("tr")
