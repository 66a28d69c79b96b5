"""Removal of a site's boxes without text from HTML, before the page is parsed.

Two thirds of a page's elements are in menus and teasers.
With pruning, a page of a known site takes 3.4 ms of CPU instead of 4.0 ms; the search for the boxes takes 0.25 ms of that.
docs/decisions/site-profiles.md has the measurement.

The box itself stays, with its attributes; only its content is removed.
The content is removed only if the parser result for the rest of the page stays the same. This requires well-nested boxes.
A box that may hold a field (a heading, a time, a caption, data) stays whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set

from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import make_signature
from newsmill.extraction.html import START_TAG_ATTRIBUTES

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
    """Prunes the boxes of one site, given by their signatures, and learns which do not benefit. Extraction results do not change."""

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
        """Record boxes that were emptied on a page where they are not closed. One that is on more than one page in ten is dropped."""
        self._misplaced.update(signs)
        often = {sign for sign in signs if 10 * self._misplaced[sign] > self._tried}
        if often:
            self.signs -= often
            self._known.clear()
            self._tried = self._gained = 0

    def prune(self, html: bytes) -> bytes | None:
        """Return the page (UTF-8) without the content of its closed boxes; None if they are not well nested, or none is closed."""
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
