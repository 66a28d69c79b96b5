"""The text blocks of a page, each with its box.

A *box* is a block-level element. A *text block* is the text between two boundaries: the edge of a box, or two `br` in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from lxml.html import HtmlElement

from newsmill.model import BlockType
from newsmill.text import lazy_re as re

# Block-level elements of the HTML standard's default stylesheet (section 15.3), and button and label,
# because their text is never part of a sentence.
_BOX_TAG_NAMES = """address article aside blockquote body button caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup hr html label legend li main menu nav ol optgroup p pre search section summary table tbody
    td tfoot th thead tr ul"""
BOX_TAGS = frozenset(_BOX_TAG_NAMES.split())
# Elements without article text: scripts, form options, ruby glosses, and fallbacks for content that did not load.
_SKIPPED_TAG_NAMES = """script style noscript template svg math select option datalist textarea iframe object embed audio video canvas
    head title map input param source track progress meter rt rp rtc"""
SKIPPED_TAGS = frozenset(_SKIPPED_TAG_NAMES.split())
MANY_CHARACTERS = 100_000  # characters of one block; articles have fewer
MAX_PATH_DEPTH = 40  # boxes named in a path; the deepest body of 314 evaluation pages has 36
# Share of a block's characters inside links above which the link is part of its path.
# This separates a teaser from paragraphs.
MIN_LINKED_SHARE = 0.5
BOLD_TAGS = frozenset(("b", "strong"))
COUNTED_TAGS = frozenset(("a", "br", "b", "strong", "time", "img", "picture"))  # a hidden link counts too
# Attributes that name the purpose of a box.
NAMING_ATTRIBUTES = frozenset(("class", "id", "itemprop", "role", "data-component", "data-testid", "data-type"))
LINK_SIGN = "a"  # the last part of the path of a block that is mostly link
HEADING_TAGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
SUBHEADING_TAGS = HEADING_TAGS - {"h1"}
CELL_TAGS = frozenset(("td", "th"))
ITEM_TAGS = frozenset(("li", "dt", "dd"))
CAPTION_TAGS = frozenset(("figcaption", "caption"))

# A CJK, Thai or Burmese character counts as a word, as in the benchmarks, because these scripts have no spaces.
_SPACELESS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f\u1000-\u109f"
WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")
# Soft hyphens and zero-width characters split words. The joiners U+200C and U+200D stay: Persian and Hindi spelling needs them.
INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
CODE_LINE_END = "\x1c"  # a line end of the source in `pre`; white space that no parsed page contains
MAX_INVISIBLE_CHARACTERS = 8  # characters of a text that is only invisible
NOTHING_TO_SEE = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]+")
EMPTY_LINES = re.compile(r"\n{3,}")
HIDING_CLASS = re.compile(
    r"(?:^|[\s_-])(?:sr-only|visually-?hidden|screen-?reader(?:-text)?|a11y-hidden|offscreen|clip-text"
    # Text that opens on hover. Only the inner part counts: the visible word is often called "tooltip" too.
    r"|(?:tooltip|popover|rollover|hovercard|flyout)[\w-]*[_-](?:text|content|body|block|box|inner))(?:$|[\s_-])",
    re.I,
)
HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|clip\s*:\s*rect|clip-path\s*:\s*inset\(50%", re.I)
# Styles of an element that nobody sees. Boxes around text have them for other reasons.
_UNSEEN_STYLE = re.compile(r"font-size\s*:\s*0(?![.\d])|(?:text-indent|left|top)\s*:\s*-\d{3}", re.I)
DIGITS = re.compile(r"\d+")
# A token that a build tool generated: letters and digits alternate at least twice ("css-1x2ab3", "sc-5a6b7c").
# The search is one pass, so it needs no bound.
GENERATED_NAME = re.compile(r"[a-z]\d+[a-z]+\d|\d[a-z]+\d+[a-z]", re.I)


class Box:
    """A block-level element: its position in the tree and its names."""

    __slots__ = ("_names", "depth", "element", "index", "kind", "parent", "path_key", "sign", "tag")

    def __init__(self, element: HtmlElement, tag: str, parent: Box | None, index: int, keys: dict[tuple[int, str], int]) -> None:
        classes = element.get("class") or ""
        self.element = element
        self._names: str | None = None
        self.tag = tag
        self.parent = parent
        self.index = index
        self.depth: int = parent.depth + 1 if parent else 0
        self.kind: BlockType | None = TYPES_BY_TAG.get(tag) or (parent.kind if parent else None)  # from the nearest box with a type
        self.sign = make_signature(tag, classes)
        # Boxes with the same path have the same key. It is a number because the path of a deep box is long.
        self.path_key: int = keys.setdefault((parent.path_key if parent else 0, self.sign), len(keys) + 1)

    @property
    def names(self) -> str:
        """The values of the attributes that name the purpose of the box, joined by spaces."""
        if self._names is None:
            self._names = " ".join([value for name, value in self.element.items() if value and name in NAMING_ATTRIBUTES])
        return self._names

    @property
    def path(self) -> str:
        """The signatures of the boxes, outermost first: "body/main/article.story/p". A deep box has "…" and MAX_PATH_DEPTH of them."""
        signs = [box.sign for box in islice(self.ancestors(), MAX_PATH_DEPTH)]
        return "/".join(reversed(signs if len(signs) < MAX_PATH_DEPTH or self.depth < MAX_PATH_DEPTH else [*signs, "…"]))

    def ancestors(self) -> Iterator[Box]:
        """Yield this box and every box around it, innermost first."""
        box: Box | None = self
        while box is not None:
            yield box
            box = box.parent


@dataclass(slots=True)
class TextBlock:
    """A run of text between two block boundaries. Character counts exclude white space at the ends."""

    index: int
    text: str  # white space collapsed; a single `br` is a newline, and a line end in `pre`
    box: Box
    link: int  # characters inside links
    bold: int  # characters in bold
    timed: int  # characters inside <time>
    links: int  # number of links that begin here
    images: int  # number of images in the block or directly before it
    inline: str  # class and id of the inline element in which the text begins
    breaks: int = 0  # number of `br` inside the text
    parts: tuple[str, ...] = ()  # the text before white space is collapsed; empty if the block contains no link
    link_edges: tuple[tuple[int, str | None], ...] = ()  # (number of a part, the link's URL from that part on, or None)
    _words: list[str] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def words(self) -> list[str]:
        """The words of the text, lower-cased. Computed on first use, because a page read by its profile never needs them."""
        if self._words is None:
            self._words = _find_words(self.text.lower())
        return self._words

    @property
    def type(self) -> BlockType:
        """The block's type, from the nearest box that determines one."""
        return self.box.kind or BlockType.PARAGRAPH

    @property
    def linked(self) -> bool:
        """True if most of the block is link."""
        return self.link > MIN_LINKED_SHARE * len(self.text)

    @property
    def path(self) -> str:
        """The path of the box, followed by LINK_SIGN if most of the block is link."""
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
    """The result of `segment`."""

    blocks: list[TextBlock] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)  # outer boxes before inner ones, in page order


@lru_cache(maxsize=20_000)  # a site repeats its class attributes; 20,000 short strings are under 5 MB
def make_signature(tag: str, classes: str) -> str:
    """Return an element's tag and classes in a form that pages of one layout share: digits masked, generated names left out.

    >>> make_signature("div", "post-123 story css-1x2ab3")
    'div.post-0.story'
    """
    if not classes:
        return tag
    # Some frameworks have classes such as "w-1/2", and "/" separates the boxes of a path.
    kept = sorted({DIGITS.sub("0", name.replace("/", "_")) for name in classes.split()[:8] if not GENERATED_NAME.search(name)})
    return ".".join((tag, *kept[:4]))


def is_hidden(element: HtmlElement, classes: str) -> bool:
    """Return True if the element's own attributes hide it."""
    style = element.get("style")
    return bool((style and HIDING_STYLE.search(style)) or (classes and HIDING_CLASS.search(classes)) or element.get("hidden") is not None)


def is_displayed(block: TextBlock) -> bool:
    """Return False if the block's own element is hidden, or if its style makes it too small or too far outside to be seen.

    No such block is in the gold texts (0 of 116 near the text of 40 pages). A hidden box around blocks may be an accordion or the rest of
    the text, which opens on a click (61 of 112 kept blocks are in the gold). A heading always counts as displayed, because some pages hide
    the headline that they show elsewhere.
    """
    element = block.box.element
    if block.box.tag in HEADING_TAGS:
        return True
    return not (is_hidden(element, element.get("class") or "") or _UNSEEN_STYLE.search(element.get("style") or ""))


def split_words(text: str) -> list[str]:
    """Return the words of a text, lower-cased. In scripts without spaces every character is a word."""
    return _find_words(remove_invisible(text).lower())


def _find_words(text: str) -> list[str]:
    """Return all words. Long texts share one object per distinct word: 1.5 million Thai characters take 13 MB instead of 130 MB.

    Single-character words share one object across the page, because a page may have many short lines.
    """
    if text.isascii() and len(text) < MANY_CHARACTERS:
        return WORD.findall(text)
    if "\u200c" in text or "\u200d" in text:  # trafilatura's text has no joiners
        text = text.replace("\u200c", "").replace("\u200d", "")
    if len(text) < MANY_CHARACTERS:
        return [_intern_character(word) if len(word) == 1 else word for word in WORD.findall(text)]
    known: dict[str, str] = {}
    return [known.setdefault(word, word) for word in map(re.Match[str].group, WORD.finditer(text))]


@lru_cache(maxsize=50_000)  # the scripts without spaces have 40,000 characters, which take 10 MB
def _intern_character(character: str) -> str:
    return character


def remove_invisible(text: str) -> str:
    """Return the text without soft hyphens and zero-width characters."""
    return INVISIBLE.sub("", text) if INVISIBLE.search(text) else text
