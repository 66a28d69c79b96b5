"""The page as blocks: runs of text between block boundaries, in page order, each with the box it stands in. Decides nothing.

A *box* is a block-level element; a *text block* is the text between two boundaries (the edge of a box, or two `br` in a row).
The walk keeps its own stack of states, so nesting of any depth is followed without recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from newsmill.model import BlockType

# Block-level elements of the HTML standard's default stylesheet (section 15.3), button and label: their text is never part of a sentence.
_BOX_TAG_NAMES = """address article aside blockquote body button caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup hr html label legend li main menu nav ol optgroup p pre search section summary table tbody
    td tfoot th thead tr ul"""
BOX_TAGS = frozenset(_BOX_TAG_NAMES.split())
# Never text for a reader: scripts, choices of a form, ruby glosses, and fallbacks for content that did not load.
_SKIPPED_TAG_NAMES = """script style noscript template svg math select option datalist textarea iframe object embed audio video canvas
    head title map input param source track progress meter rt rp rtc"""
SKIPPED_TAGS = frozenset(_SKIPPED_TAG_NAMES.split())
MANY_CHARACTERS = 100_000  # characters of one block; articles have fewer
MAX_PATH_DEPTH = 40  # boxes named in a path; the deepest body of 314 evaluation pages stands in 36
MIN_LINKED_SHARE = 0.5  # share of a block's characters inside links from which the link is part of its path: a teaser among paragraphs
BOLD_TAGS = frozenset(("b", "strong"))
COUNTED_TAGS = frozenset(("a", "br", "b", "strong", "time", "img", "picture"))  # counted; a hidden link is a link all the same
NAMING_ATTRIBUTES = (
    "class",
    "id",
    "itemprop",
    "role",
    "data-component",
    "data-testid",
    "data-type",
)  # attributes that say what a box is for
LINK_SIGN = "a"  # the last part of a path whose text is mostly link
HEADING_TAGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
SUBHEADING_TAGS = HEADING_TAGS - {"h1"}
CELL_TAGS = frozenset(("td", "th"))
ITEM_TAGS = frozenset(("li", "dt", "dd"))
CAPTION_TAGS = frozenset(("figcaption", "caption"))

# A CJK, Thai or Burmese character counts as a word, as in benchmarks: those scripts set no spaces
_SPACELESS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f\u1000-\u109f"
WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")
# soft hyphen and zero-width characters cut words apart; the joiners U+200C and U+200D stay, Persian and Hindi spell with them
INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
HIDING_CLASS = re.compile(
    r"(?:^|[\s_-])(?:sr-only|visually-?hidden|screen-?reader(?:-text)?|a11y-hidden|offscreen|clip-text"
    # what opens under the pointer; the word it opens from is often called "tooltip" as well, so only its inner part
    r"|(?:tooltip|popover|rollover|hovercard|flyout)[\w-]*[_-](?:text|content|body|block|box|inner))(?:$|[\s_-])",
    re.I,
)
HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|clip\s*:\s*rect|clip-path\s*:\s*inset\(50%", re.I)
DIGITS = re.compile(r"\d+")
# a token a build tool made: letters and digits change places at least twice ("css-1x2ab3", "sc-5a6b7c"); no bound is needed, one pass
GENERATED_NAME = re.compile(r"[a-z]\d+[a-z]+\d|\d[a-z]+\d+[a-z]", re.I)


class Box:
    """A block-level element: where it stands and what it calls itself."""

    __slots__ = ("depth", "element", "index", "kind", "parent", "path_key", "sign", "tag")

    def __init__(self, element: HtmlElement, tag: str, parent: Box | None, index: int, keys: dict[tuple[int, str], int]) -> None:
        classes = element.get("class") or ""
        self.element = element
        self.tag = tag
        self.parent = parent
        self.index = index
        self.depth: int = parent.depth + 1 if parent else 0
        self.kind: BlockType | None = TYPES_BY_TAG.get(tag) or (parent.kind if parent else None)  # by the nearest box that says so
        self.sign = make_signature(tag, classes)
        # boxes of the same path have the same key; a number, because the path of a deep box is long
        self.path_key: int = keys.setdefault((parent.path_key if parent else 0, self.sign), len(keys) + 1)

    @property
    def names(self) -> str:
        """What the box calls itself: the attributes that say what it is for."""
        return " ".join(filter(None, map(self.element.get, NAMING_ATTRIBUTES)))

    @property
    def path(self) -> str:
        """Signatures from the outside in, "body/main/article.story/p"; of a deep box only the inner ones, so that no path grows long."""
        signs = [box.sign for box in islice(self.ancestors(), MAX_PATH_DEPTH)]
        return "/".join(reversed(signs if len(signs) < MAX_PATH_DEPTH or self.depth < MAX_PATH_DEPTH else [*signs, "…"]))

    def ancestors(self) -> Iterator[Box]:
        """This box and every box around it, inside out."""
        box: Box | None = self
        while box is not None:
            yield box
            box = box.parent


@dataclass(slots=True)
class TextBlock:
    """A run of text between two block boundaries. Character counts leave white space at the ends out."""

    index: int
    text: str  # white space collapsed; a single `br` is a newline
    box: Box
    link: int  # characters inside links
    bold: int  # characters in bold
    timed: int  # characters inside <time>
    links: int  # how many links begin here
    images: int  # how many images stand in or just before it
    inline: str  # class and id of the inline element its text begins in
    parts: tuple[str, ...] = ()  # the text as gathered; empty where no link begins in the block
    link_edges: tuple[tuple[int, str | None], ...] = ()  # number of the part from which a link's URL, or none, holds
    _words: list[str] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def words(self) -> list[str]:
        """Lower-cased. Found when somebody asks: of a page read by its profile nobody does."""
        if self._words is None:
            self._words = _find_words(self.text.lower())
        return self._words

    @property
    def type(self) -> BlockType:
        """What kind of block it is, by the nearest box that says so."""
        return self.box.kind or BlockType.PARAGRAPH

    @property
    def linked(self) -> bool:
        """True where most of the block is link."""
        return self.link > MIN_LINKED_SHARE * len(self.text)

    @property
    def path(self) -> str:
        """The path of its box, and the link that holds most of it."""
        return f"{self.box.path}/{LINK_SIGN}" if self.linked else self.box.path


TYPES_BY_TAG = (
    dict.fromkeys(HEADING_TAGS, BlockType.HEADING)
    | dict.fromkeys(ITEM_TAGS, BlockType.LIST)
    | dict.fromkeys(CELL_TAGS, BlockType.TABLE)
    | dict.fromkeys(CAPTION_TAGS, BlockType.CAPTION)
    | {"blockquote": BlockType.QUOTE, "pre": BlockType.CODE}
)


@dataclass(slots=True)
class Layout:
    """The page as `segment` saw it."""

    blocks: list[TextBlock] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)  # outside in, page order


@lru_cache(maxsize=20_000)  # a site repeats its class attributes; 20,000 short strings are under 5 MB
def make_signature(tag: str, classes: str) -> str:
    """Tag and classes of an element in a form that pages of one layout share: digits masked, generated names left out.

    >>> signature("div", "post-123 story css-1x2ab3")
    'div.post-0.story'
    """
    if not classes:
        return tag
    # "w-1/2" is a class of some frameworks, and "/" parts the boxes of a path
    kept = sorted({DIGITS.sub("0", name.replace("/", "_")) for name in classes.split()[:8] if not GENERATED_NAME.search(name)})
    return ".".join((tag, *kept[:4]))


def is_hidden(element: HtmlElement, classes: str) -> bool:
    """True when the element's own attributes keep it from the eye."""
    style = element.get("style")
    return bool((style and HIDING_STYLE.search(style)) or (classes and HIDING_CLASS.search(classes)) or element.get("hidden") is not None)


def split_words(text: str) -> list[str]:
    """The words of a text, lower-cased; in scripts without spaces every character is one."""
    return _find_words(remove_invisible(text).lower())


def _find_words(text: str) -> list[str]:
    """All words, equal ones as one object where they are many: 1.5 million Thai characters are 13 MB instead of 130.

    Characters that are words are one object across the whole page: its lines may be many and short.
    """
    if text.isascii() and len(text) < MANY_CHARACTERS:
        return WORD.findall(text)
    if len(text) < MANY_CHARACTERS:
        return [_intern_character(word) if len(word) == 1 else word for word in WORD.findall(text)]
    known: dict[str, str] = {}
    return [known.setdefault(word, word) for word in map(re.Match[str].group, WORD.finditer(text))]


@lru_cache(maxsize=50_000)  # the scripts without spaces have 40,000 characters; all of them take 10 MB
def _intern_character(character: str) -> str:
    return character


def remove_invisible(text: str) -> str:
    """The text without soft hyphens and zero-width characters."""
    return INVISIBLE.sub("", text) if INVISIBLE.search(text) else text


def segment(tree: HtmlElement) -> Layout:
    """Cut a parsed page into text blocks. Time and memory are linear in the size of the tree."""
    layout = BlockWalk(SKIPPED_TAGS).run(tree)
    # a page that is all <noscript> shows its text to readers without JavaScript, and we are one
    return layout if layout.blocks else BlockWalk(SKIPPED_TAGS - {"noscript"}).run(tree)


class BlockWalk:
    """One pass over the tree: text is gathered until a boundary, then becomes a block."""

    def __init__(self, skipped: frozenset[str]) -> None:
        self.layout = Layout()
        self.skipped = skipped
        self.box: Box | None = None
        self.keys: dict[tuple[int, str], int] = {}
        self.parts: list[str] = []
        self.link = self.bold = self.timed = 0  # characters gathered
        self.links = self.images = self.breaks = 0
        self.inline = ""
        self.in_link = self.in_bold = self.in_time = 0  # open elements
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
        """Note that an element begins; False when nothing inside it is text for a reader."""
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
        """Note an inline element that means something for its block."""
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
        """One `br` is a line end within the block; a second with nothing between is a boundary."""
        self.breaks += 1
        if self.breaks > 1:
            self.flush()
        elif self.parts:
            self.parts.append("\n")

    def add(self, text: str) -> None:
        """Gather text; white space counts only inside a block."""
        if text.isspace():
            if self.parts:
                self.parts.append(" ")
            return
        self.breaks = 0
        if self.in_link or self.in_bold or self.in_time:
            length = len(text)
            self.link += length if self.in_link else 0
            self.bold += length if self.in_bold else 0
            self.timed += length if self.in_time else 0
        self.parts.append(text.replace("\n", " ") if "\n" in text else text)

    def flush(self) -> None:
        """End the current block, if it holds any text."""
        self.breaks = 0
        if not self.parts:
            self.inline = ""
            return
        text = _collapse_lines(remove_invisible("".join(self.parts)))
        linked = (tuple(self.parts), tuple(self.link_edges)) if self.link else ((), ())
        self.parts = []
        # a link around several boxes goes on in the next block
        self.link_edges = [(0, self.link_edges[-1][1])] if self.in_link and self.link_edges else []
        if self.box is not None and text:
            blocks = self.layout.blocks
            counted = (self.link, self.bold, self.timed, self.links, self.images)
            blocks.append(TextBlock(len(blocks), text, self.box, *counted, self.inline, *linked))
            self.link = self.bold = self.timed = self.links = self.images = 0
            self.inline = ""


def _collapse_lines(text: str) -> str:
    """White space collapsed inside each line, empty lines left out."""
    if "\n" not in text:
        return " ".join(text.split())
    return "\n".join(line for part in text.split("\n") if (line := " ".join(part.split())))
