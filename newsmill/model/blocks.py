"""Blocks of a page, with the structure that plain text does not show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from newsmill.text.sentences import Detail


class BlockType(StrEnum):
    PARAGRAPH = "paragraph"
    HEADING = "heading"
    LIST = "list"
    QUOTE = "quote"
    TABLE = "table"
    CAPTION = "caption"
    CODE = "code"
    EMBED = "embed"


@dataclass(frozen=True, slots=True)
class TextLink:
    """A link inside a block. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    url: str  # absolute; http, https or mailto


@dataclass(frozen=True, slots=True)
class ListItem:
    """An item of a list. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    depth: int = 0  # 0: an item of an outermost list
    number: int | None = None  # None: the list is unordered


@dataclass(frozen=True, slots=True)
class TableCell:
    """Text in a table cell; several pieces of one cell share row and column. `start` and `end` count characters of the block's text."""

    start: int
    end: int
    row: int  # within the block
    column: int  # column of the grid with rowspan and colspan (HTML standard, section 4.9.12)
    header: bool = False


@dataclass(frozen=True, slots=True)
class Markup:
    """The structure of a block that its plain text does not show."""

    level: int | None = None  # level of a heading, 1 to 6
    links: tuple[TextLink, ...] = ()
    items: tuple[ListItem, ...] = ()
    cells: tuple[TableCell, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page: kept in the body, or removed by a layer for a reason."""

    type: BlockType
    text: str
    kept: bool = True
    layer: str | None = None  # trafilatura, model, gate (a rule that overrides the model), script, profile, rules
    reason: Detail | None = None
    path: str | None = None  # tags and classes from the root, e.g. "body/main/article.story/p"
    markup: Markup | None = None  # None: only type and text are known, as in documents of an older version
