"""Segmentation of a page into text blocks, in page order.

The walk keeps its own stack, so it follows nesting of any depth without recursion.
The module does not decide which blocks to keep.
"""

from __future__ import annotations

from lxml import etree
from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import (
    BOLD_TAGS,
    BOX_TAGS,
    CODE_LINE_END,
    COUNTED_TAGS,
    EMPTY_LINES,
    MAX_INVISIBLE_CHARACTERS,
    NOTHING_TO_SEE,
    SKIPPED_TAGS,
    Box,
    Layout,
    TextBlock,
    is_hidden,
    remove_invisible,
)
from newsmill.model import BlockType


def segment(tree: HtmlElement) -> Layout:
    """Return the text blocks and boxes of a parsed page. Time and memory are linear in the size of the tree."""
    layout = BlockWalk(SKIPPED_TAGS).run(tree)
    # A page that consists of <noscript> shows its text to clients without JavaScript, such as this one.
    return layout if layout.blocks else BlockWalk(SKIPPED_TAGS - {"noscript"}).run(tree)


class BlockWalk:
    """One pass over the tree. It collects text until a boundary and then makes a block of it."""

    def __init__(self, skipped: frozenset[str]) -> None:
        self.layout = Layout()
        self.skipped = skipped
        self.box: Box | None = None
        self.keys: dict[tuple[int, str], int] = {}
        self.parts: list[str] = []
        self.link = self.bold = self.timed = 0  # characters collected
        self.links = self.images = self.breaks = 0
        self.inline = ""
        self.in_link = self.in_bold = self.in_time = 0  # number of open elements
        self.link_edges: list[tuple[int, str | None]] = []

    def run(self, tree: HtmlElement) -> Layout:
        enter, leave, add = self.enter, self.leave, self.add
        walk = etree.iterwalk(tree, events=("start", "end", "comment", "pi"))
        for event, element in walk:
            if event == "start":
                if not enter(element):
                    walk.skip_subtree()
                elif text := element.text:
                    add(text)
                continue
            if event == "end":
                leave(element.tag)
            if text := element.tail:
                add(text)
        self.flush()
        return self.layout

    def enter(self, element: HtmlElement) -> bool:
        """Record the start of an element. Return False if the element contains no text for a reader."""
        tag = element.tag
        if tag in BOX_TAGS:
            self.flush()
            self.box = Box(element, tag, self.box, len(self.layout.boxes), self.keys)
            self.layout.boxes.append(self.box)
            return True
        if tag in self.skipped:
            return False
        classes = element.get("class")
        if tag in COUNTED_TAGS:
            if tag == "a":
                self.link_edges.append((len(self.parts), element.get("href")))
            self.count(tag)
        elif is_hidden(element, classes or ""):
            return False
        if not self.parts and (classes or element.get("id")):
            self.inline = f"{self.inline} {classes or ''} {element.get('id') or ''}"
        return True

    def count(self, tag: str) -> None:
        """Record an inline element that matters for its block."""
        if tag == "a":
            self.in_link += 1
            self.links += 1
        elif tag == "br":
            self.line_break()
        elif tag in BOLD_TAGS:
            self.in_bold += 1
        elif tag == "time":
            self.in_time += 1
        else:
            self.images += 1

    def leave(self, tag: str) -> None:
        if tag in BOX_TAGS:
            self.flush()
            if self.box is not None:
                self.box = self.box.parent
        elif tag == "a":
            self.in_link -= 1
            self.link_edges.append((len(self.parts), None))
        elif tag in BOLD_TAGS:
            self.in_bold -= 1
        elif tag == "time":
            self.in_time -= 1

    def line_break(self) -> None:
        """Record a `br`. One is a line end within the block; a second without text between them is a boundary."""
        self.breaks += 1
        if self.breaks > 1:
            self.flush()
        elif self.parts:
            self.parts.append("\n")

    def add(self, text: str) -> None:
        """Collect text. White space counts only inside a block, and its line ends only in code (`pre`)."""
        line_end = CODE_LINE_END if self.box is not None and self.box.kind is BlockType.CODE else " "
        if text.isspace():
            if self.parts:
                self.parts.append(line_end * min(2, text.count("\n")) or " ")
            return
        if len(text) < MAX_INVISIBLE_CHARACTERS and NOTHING_TO_SEE.fullmatch(text):
            return  # editors put such a character between two line breaks
        self.breaks = 0
        if self.in_link or self.in_bold or self.in_time:
            length = len(text)
            self.link += length if self.in_link else 0
            self.bold += length if self.in_bold else 0
            self.timed += length if self.in_time else 0
        self.parts.append(text.replace("\n", line_end) if "\n" in text else text)

    def flush(self) -> None:
        """End the current block and append it if it contains text."""
        self.breaks = 0
        if not self.parts:
            self.inline = ""
            return
        written = remove_invisible("".join(self.parts))
        text = _collapse_lines(written)
        breaks = text.count("\n")
        if CODE_LINE_END in written:
            text = _collapse_code(written)
        linked = (tuple(self.parts), tuple(self.link_edges)) if self.link else ((), ())
        self.parts = []
        # A link around several boxes continues in the next block.
        self.link_edges = [(0, self.link_edges[-1][1])] if self.in_link and self.link_edges else []
        if self.box is not None and text:
            blocks = self.layout.blocks
            counted = (self.link, self.bold, self.timed, self.links, self.images)
            blocks.append(TextBlock(len(blocks), text, self.box, *counted, self.inline, breaks, *linked))
            self.link = self.bold = self.timed = self.links = self.images = 0
            self.inline = ""


def _collapse_lines(text: str) -> str:
    """Return the text with white space collapsed inside each line and without empty lines."""
    if "\n" not in text:
        return " ".join(text.split())
    return "\n".join(line for part in text.split("\n") if (line := " ".join(part.split())))


def _collapse_code(text: str) -> str:
    """Return the same with the line ends of code and at most one empty line in a row: a program, or a poem with its verses."""
    lines = (" ".join(part.split()) for part in text.replace(CODE_LINE_END, "\n").split("\n"))
    return EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()
