"""Boxes that never hold text on a site, emptied before the page is parsed: two thirds of its elements stand in menus and teasers.

A known page takes 3.4 instead of 4.0 ms of CPU with it, of which finding the boxes takes 0.25 ms ("What does one known page cost?" in
benchmarks/README.md). `benchmarks/throughput.py --mature` measures known pages as a whole.

The box itself stays, with its attributes. Only what is in it goes, and only where the parser makes the same of everything else: on a page
whose boxes are nested without a fault. A box that holds what a field may be read from (a heading, a time, a caption, data) stays whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set

from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import make_signature
from newsmill.extraction.html import START_TAG_ATTRIBUTES

# Elements that nothing but their own end tag ends, and that no start tag ends (htmlStartClose in libxml2's HTMLparser.c).
NESTED_TAGS = frozenset(("div", "section", "article", "aside", "footer", "header", "main", "nav"))
# Raw text is passed over as a whole (in "<script>a<div</script>" nothing is a tag), and so are comments.
_RAW_TEXT_TAGS = "script|style|title|textarea|iframe|noembed|noframes|xmp|plaintext"
_BOX_TAGS = f"(?:{'|'.join(sorted(NESTED_TAGS))})"
# A box does not end while one of these is open in it, and ends with one that is open around it (htmlEndPriority, there too).
_TABLE_TAGS = "table|thead|tbody|tfoot|tr|th|td"
_WHOLE_TAGS = "h1|h2|figure"  # read with all that is in them
_PAGE_TAGS = "html|head|body|frameset"
_NAME_END = r"(?=[\s/>])"  # of a tag's name
_FREQUENT_TAGS = "a|p|li|ul|span|svg|path|img|h3|button|i|b"  # and no token: passed over at once, a fifth of the whole
_TOKEN = re.compile(
    rf"<(?!/?(?:{_FREQUENT_TAGS}){_NAME_END})(?:({_BOX_TAGS}){_NAME_END}(?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+(?<!/)"  # BEGIN
    rf"|/(?:({_BOX_TAGS}){_NAME_END}|({_WHOLE_TAGS}|{_TABLE_TAGS}){_NAME_END}"  # END, READ_END
    rf"|(?:{_PAGE_TAGS}){_NAME_END}()|[A-Z]()|(?![a-z])[^>]*+)"  # PAGE, ODD, no tag
    rf"|({_WHOLE_TAGS}|figcaption|time|meta|link|base|{_TABLE_TAGS}){_NAME_END}"  # READ
    rf"|({_RAW_TEXT_TAGS}){_NAME_END}(?:[^<]++|<(?!/(?i:\7)[\s/>]))*+"  # RAW_TEXT
    rf"|(?:{_PAGE_TAGS}){_NAME_END}()"  # PAGE_BEGIN
    # ODD_BEGIN: upper case, or "<div/>", which libxml2 takes for an empty box and a browser for an open one
    rf"|(?:[A-Z]|{_BOX_TAGS}{_NAME_END})()"
    r"|!--(?!-?>)(?:[^-]++|-(?!-!?>))*+|[!?][^>]*+)".encode()  # comments
)
_BEGIN, _END, _READ_END, _PAGE, _ODD, _READ, _RAW_TEXT, _PAGE_BEGIN, _ODD_BEGIN = range(1, 10)
_WHOLE_TAG_NAMES = frozenset(_WHOLE_TAGS.encode().split(b"|"))
_NESTED_BUT_DIV = sorted(NESTED_TAGS - {"div"})
_SAFE_ANCESTORS = NESTED_TAGS | {"html", "body"}
_CLASS = re.compile(rb"[\s/\"']class\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_MAX_CACHED_TAGS = 5_000  # start tags that are remembered; a site spells its boxes in a few hundred ways
_MAX_CACHED_BYTES = 500  # bytes of attributes that are not remembered
_MIN_TRIED_PAGES = 32  # pages after which a site that has none to gain from is left alone


class HtmlPruner:
    """Those of one site, by their signatures (`blocks.signature`). It learns which of them are not worth the try; results do not change."""

    def __init__(self, signs: Set[str]) -> None:
        self.signs = frozenset(sign for sign in signs if sign.partition(".")[0] in NESTED_TAGS)
        self._known: dict[tuple[bytes, bytes], bool] = {}  # by name and attributes as written
        self._tried = self._gained = 0
        self._misplaced: Counter[str] = Counter()

    @property
    def is_worthwhile(self) -> bool:
        """False for a site most of whose pages had to be parsed as a whole all the same."""
        return bool(self.signs) and (self._tried < _MIN_TRIED_PAGES or 2 * self._gained >= self._tried)

    def record(self, *, gained: bool) -> None:
        """Whether a page could be read without the content of its closed boxes."""
        self._tried += 1
        self._gained += gained

    def record_misplaced(self, signs: Set[str]) -> None:
        """These stand on a page where they are not closed; they are let be when that happens on more than one page in ten."""
        self._misplaced.update(signs)
        often = {sign for sign in signs if 10 * self._misplaced[sign] > self._tried}
        if often:
            self.signs -= often
            self._known.clear()
            self._tried = self._gained = 0

    def prune(self, html: bytes) -> bytes | None:
        """The page (UTF-8) without what is in its closed boxes; None where its boxes are not well nested, or none of them is closed."""
        parts: list[bytes] = []
        open_boxes: list[bytes] = []
        # One loop without calls: it is passed 600 times a page.
        begun = depth = done = 0  # where the content of the current closed box begins, and how many boxes are open in it and around it
        spoilt = inside = False  # whether something is read from the current box; whether a heading or figure is open
        for token in _TOKEN.finditer(html):
            kind = token.lastindex
            if kind == _BEGIN:
                name = token[_BEGIN]
                open_boxes.append(name)
                if not depth and not inside and self._is_closed(name, html[token.end(_BEGIN) : token.end()]):
                    whole_tag = START_TAG_ATTRIBUTES.match(html, token.end(_BEGIN))
                    if whole_tag is None or _is_inside_tag(html, token.start()):
                        return None
                    begun, depth, spoilt = whole_tag.end(), len(open_boxes), False
            elif kind == _END:
                if not open_boxes or open_boxes.pop() != token[_END]:
                    return None
                if len(open_boxes) < depth:
                    if _is_inside_tag(html, token.start()):
                        return None
                    depth = 0
                    if not spoilt:
                        parts.append(html[done:begun])
                        done = token.start()
            elif kind == _READ:
                spoilt = spoilt or token[_READ] != b"figure"
                inside = inside or token[_READ] in _WHOLE_TAG_NAMES
            elif kind == _READ_END:
                whole = token[_READ_END] in _WHOLE_TAG_NAMES
                inside, spoilt = inside and not whole, spoilt or not whole
            elif kind == _RAW_TEXT:
                content = token[0]
                if b"<!--" in content and content.rfind(b"<script") > 0:  # may be escaped twice, and end elsewhere
                    return None
                spoilt = spoilt or b"ld+json" in content
            elif kind in (_ODD, _ODD_BEGIN) or (kind in (_PAGE, _PAGE_BEGIN) and open_boxes):
                return None
        if open_boxes or not parts:
            return None
        return b"".join((*parts, html[done:]))

    def find_doubtful(self, tree: HtmlElement) -> set[str]:
        """Signatures of boxes that were emptied on a page, now parsed, and may not have ended where their end tags stood.

        A div does; any other box is also ended by the end tag of an element around it that is no box (htmlEndPriority).
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
    """Whether nothing is in it, as in one that was emptied."""
    return len(box) == 0 and not box.text


def _is_inside_tag(html: bytes, at: int) -> bool:
    """Whether a tag, or what looks like one, has begun before and not ended."""
    return html.rfind(b"<", 0, at) > html.rfind(b">", 0, at)
