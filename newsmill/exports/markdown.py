"""A document as Markdown: CommonMark 0.31 with the tables of GitHub Flavored Markdown 0.29. Pure.

The text of a page stays text: every character that CommonMark could read as markup is escaped, and links lead only to http, https and
mailto. Rendered, the Markdown has the words of `text`. Captions and embeds are in neither.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import BinaryIO
from urllib.parse import quote

from newsmill.model import Block, BlockType, Document, ListItem, Markup, TableCell, TextLink
from newsmill.model.document_fields import Use, list_fields

FRONT_MATTER = ("id", *(name for name in list_fields(Use.FRONT_MATTER) if name != "id"))
MAX_LIST_DEPTH = 8  # of lists inside lists, so that indentation stays small
MAX_TABLE_COLUMNS = 100  # of a table; every row has a cell for each, so that one long row must not make all others long
_NO_MARKUP = Markup()
_NOT_IN_TEXT = (BlockType.CAPTION, BlockType.EMBED)

# CommonMark 0.31: backslash escapes (2.4), entities (2.5), emphasis (6.2: "_" inside a word is none), links (6.3), HTML (4.6, 6.6);
# GFM 0.29: strikethrough (6.5).
_INLINE = re.compile(r"[\\`*\[\]<~]|(?<![^\W_])_|_(?![^\W_])|&(?=[#A-Za-z0-9])")
# What begins a block at the start of a line: headings (4.2, 4.3), thematic breaks (4.1), quotes (5.1), list items (5.2), tables (GFM 4.10).
_LINE_START = re.compile(r"(?=#{1,6}(?:\s|$)|>|[-+](?:\s|$)|[-=:|\s]+$)|\d{1,9}(?=[.)](?:\s|$))")
_WHITESPACE = re.compile(r"\s+")
_FOLLOWED = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_SAFE = "-._~:/?#[]@!$&'*+,;=%"  # of a URL (RFC 3986), without the parentheses
_ENTITY = re.compile(r"&(?=#?\w+;)")
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")  # YAML 1.2 (5.1) takes them escaped only


def write_markdown(out: BinaryIO, documents: Iterable[Document]) -> None:
    """Each document as front matter and Markdown."""
    for document in documents:
        out.write(f"{render_front_matter(document)}\n{render_markdown(document)}\n".encode("utf-8", "replace"))


def render_front_matter(document: Document) -> str:
    """The fields that are known as a YAML front matter, each value written as JSON, which YAML 1.2 includes. Times are ISO 8601 in UTC."""
    values = ((name, getattr(document, name)) for name in FRONT_MATTER)
    lines = [f"{name}: {encode_value(value)}" for name, value in values if value not in (None, (), "")]
    return "\n".join(["---", *lines, "---", ""])


def encode_value(value: object) -> str:
    """A value of the front matter."""
    if isinstance(value, datetime):
        value = value.isoformat().replace("+00:00", "Z")
    elif isinstance(value, tuple):
        value = [getattr(item, "name", item) for item in value]
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def render_markdown(document: Document) -> str:
    """The text of a document as Markdown, without its title: paragraphs, headings, lists, quotes, tables, code and links."""
    blocks = [block for block in document.blocks if block.kept and block.type not in _NOT_IN_TEXT]
    parts: list[str] = []
    for kind, group in groupby(blocks, key=lambda block: block.type):
        if kind is BlockType.LIST:
            parts.append(_render_lists(list(group)))
        elif kind is BlockType.QUOTE:
            parts.append("\n>\n".join(filter(None, (_prefix_lines("> ", _render_paragraph(block)) for block in group))))
        else:
            parts.extend(_render_block(block) for block in group)
    return "\n\n".join(filter(None, parts))


def _render_block(block: Block) -> str:
    match block.type:
        case BlockType.HEADING:
            title = " ".join(_render_lines(block))
            level = (block.markup or _NO_MARKUP).level or 2
            return f"{'#' * min(max(level, 1), 6)} {_escape_closing_hashes(title)}" if title else ""
        case BlockType.TABLE:
            return _render_table(block)
        case BlockType.CODE:
            return _render_code(block.text)
    return _render_paragraph(block)


def _escape_closing_hashes(title: str) -> str:
    """The title of a heading. A run of "#" that ends it after a space would be left out (CommonMark 4.2), so it is escaped."""
    words = title.rstrip("#")
    return title if words == title or words[-1:].strip() else f"{words}\\{title[len(words) :]}"


def _render_paragraph(block: Block) -> str:
    return _join_lines(_render_lines(block))


def _join_lines(lines: Sequence[str], indent: str = "") -> str:
    """Lines with a hard line break between them."""
    return f"\\\n{indent}".join(lines)


def _prefix_lines(prefix: str, text: str) -> str:
    return "\n".join(prefix + line for line in text.split("\n")) if text else ""


def _render_code(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}" if text.strip() else ""


def _render_lists(blocks: Sequence[Block]) -> str:
    """Lists that follow one another. A list inside an item of the one before is a separate block, and continues with that item's indent."""
    lines: list[str] = []
    indents: list[int] = []  # of the text of the open item at each depth
    odd = False  # another mark begins another list (CommonMark 5.3)
    for before, block in zip((None, *blocks), blocks, strict=False):
        items = _list_items(block)
        if before is not None and _begins_new_list(before, block):
            odd = not odd
            lines.append("")
        for item in items:
            text = _render_lines(block, item.start, item.end)
            if not text:
                continue
            depth = min(item.depth, len(indents), MAX_LIST_DEPTH)
            is_inner = depth == len(indents) > 0
            del indents[depth:]
            indent = " " * (indents[-1] if indents else 0)
            mark = ("*" if odd else "-") if item.number is None else f"{min(max(item.number, 0), 999_999_999)}{')' if odd else '.'}"
            indents.append(len(indent) + len(mark) + 1)
            if is_inner and item.number not in (None, 1):
                lines.append("")  # such a list cannot interrupt a paragraph (CommonMark 5.3)
            lines.append(f"{indent}{mark} {_join_lines(text, ' ' * indents[-1])}")
    return "\n".join(lines)


def _begins_new_list(before: Block, block: Block) -> bool:
    """Whether a list ends before the next block of items. A block without a path comes from a script, and holds one item of a list."""
    return block.path is not None and _list_items(before)[-1].depth == _list_items(block)[0].depth == 0


def _list_items(block: Block) -> Sequence[ListItem]:
    """The items; of a block that does not know them, its lines."""
    return (block.markup or _NO_MARKUP).items or [ListItem(start, end) for start, end in _line_spans(block.text, 0, len(block.text))]


def _render_table(block: Block) -> str:
    """A table. One with a single column becomes paragraphs."""
    cells = (block.markup or _NO_MARKUP).cells or _split_cells(block.text)
    width = max((cell.column for cell in cells), default=0) + 1
    if width == 1:
        return "\n\n".join(filter(None, (_join_lines(_render_lines(block, cell.start, cell.end)) for cell in cells)))
    rows = [_render_row(block, list(row), width) for _, row in groupby(cells, key=lambda cell: cell.row)]
    first = cells[0].row
    if not all(cell.header for cell in cells if cell.row == first):
        rows.insert(0, _table_line([""] * width))
    return "\n".join([rows[0], _table_line(["---"] * width), *rows[1:]])


def _render_row(block: Block, cells: Sequence[TableCell], width: int) -> str:
    texts: list[list[str]] = [[] for _ in range(width)]
    for cell in cells:
        texts[cell.column] += _render_lines(block, cell.start, cell.end)
    return _table_line([" ".join(lines).replace("|", "\\|") for lines in texts])


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _split_cells(text: str) -> tuple[TableCell, ...]:
    """The cells of a table that only its text tells: a row each line, cells apart by a bar."""
    found = []
    for row, (start, end) in enumerate(_line_spans(text, 0, len(text))):
        at = start
        for column, cell in enumerate(text[start:end].split(" | ")):
            found.append(TableCell(at, at + len(cell), row, min(column, MAX_TABLE_COLUMNS - 1)))
            at += len(cell) + 3
    return tuple(found)


def _render_lines(block: Block, start: int = 0, end: int | None = None) -> list[str]:
    """The lines of a part of a block, escaped, with their links; empty ones left out."""
    links = (block.markup or _NO_MARKUP).links
    spans = _line_spans(block.text, start, len(block.text) if end is None else end)
    rendered = (_render_pieces(_split_at_links(block.text, links, *span)) for span in spans)
    return [line for line in rendered if line]


def _line_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for line in text[start:end].split("\n"):
        yield start, start + len(line)
        start += len(line) + 1


def _split_at_links(text: str, links: Sequence[TextLink], start: int, end: int) -> Iterator[tuple[str, str | None]]:
    """A line in pieces, each with the URL it links to. `links` are in the order of the text."""
    at = start
    for link in links[bisect_right(links, start, key=lambda link: link.end) : bisect_left(links, end, key=lambda link: link.start)]:
        first, last = max(link.start, at), min(link.end, end)
        if first < last and _FOLLOWED.match(link.url):
            yield text[at:first], None
            yield text[first:last], link.url
            at = last
    yield text[at:end], None


def _render_pieces(pieces: Iterable[tuple[str, str | None]]) -> str:
    out: list[str] = []
    for text, url in pieces:
        rendered = _INLINE.sub(r"\\\g<0>", _WHITESPACE.sub(" ", text))
        if not out:
            rendered = rendered.lstrip()
            rendered = _LINE_START.sub(r"\g<0>\\", rendered, count=1) if url is None and _LINE_START.match(rendered) else rendered
        if url is not None and rendered.strip():
            if out and out[-1].endswith("!"):
                out[-1] = out[-1][:-1] + "\\!"  # "![" begins an image
            rendered = f"[{rendered}]({_escape_destination(url)})"
        if rendered:
            out.append(rendered)
    return "".join(out).rstrip()


def _escape_destination(url: str) -> str:
    """The URL as a link destination (CommonMark 6.3): nothing in it ends the destination, a table cell or the line.

    >>> _escape_destination("https://example.org/a_(b)?q=x|y z")
    'https://example.org/a_\\\\(b\\\\)?q=x%7Cy%20z'
    """
    safe = quote(url.encode("utf-8", "replace"), safe=_SAFE + "()")
    return _ENTITY.sub(r"\\&", safe.replace("(", "\\(").replace(")", "\\)"))
