"""What the block model sees of a block: language-neutral numbers about it, its neighbours, the boxes around it, and its page.

Only blocks near the body get a row: kept by trafilatura, within three blocks of a kept one, or inside the box that holds most of what
was kept or most of the page's prose. The rest of the page is menus and teasers, and looking at it costs more than it finds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from newsmill.read.align import HALF
from newsmill.read.blocks import HEADINGS, Box, Layout, TextBlock, words

NEAR = 3
MOST = 0.7
PROSE = 12
FAR = 99  # stands for "none on this page" in distances
END = re.compile(r"[.!?…。！？।؟][\"'”’»«)\]」』）]*$")
COMMAS = re.compile(r"[,،、，;:]")
SEPARATORS = re.compile(r"[|·•»›→▶©®@#/]")

GROUPS = {
    "share": "share sharing social facebook twitter whatsapp follow",
    "related": "related recommend recommended recommendation recommendations more mehr readmore also similar suggest suggested trending popular latest next onward outbrain taboola",
    "teaser": "teaser card promo tile preview listing feed grid carousel slider slide swiper thumb thumbnail",
    "newsletter": "newsletter subscribe subscription subscriber signup abo optin mailing login register registration paywall premium donate donation donations member membership cta",
    "byline": "byline author authors autor auteur writer contributor contributors reporter bio profile avatar",
    "caption": "caption credit credits copyright figure image img photo picture gallery legend media bildunterschrift",
    "comment": "comment comments disqus reply replies discussion kommentar kommentare forum feedback review reviews",
    "advert": "ad ads advert adverts advertisement advertising sponsor sponsored anzeige banner affiliate dfp commercial werbung",
    "menu": "nav navigation menu breadcrumb breadcrumbs topbar toolbar tabs tab pagination pager skip search sitemap language",
    "footer": "footer foot bottom legal disclaimer imprint colophon",
    "header": "header masthead head top hero kicker eyebrow overline flag label badge",
    "title": "title headline heading hed titre titulo",
    "standfirst": "subtitle subhead subheadline subheading standfirst dek deck lead lede intro excerpt summary abstract description chapo",
    "meta": "meta date datetime time timestamp published updated dateline info readtime reading views duration",
    "tags": "tag tags topic topics category categories keyword keywords rubrik thema",
    "body": "body content articlebody story text entry post paragraph prose richtext rte copy main article texto inhalt",
    "aside": "aside sidebar widget rail infobox factbox box module complementary inset supplement callout pullout aux secondary",
    "table": "table toc contents list specs",
    "quote": "quote pullquote blockquote zitat",
    "embed": "embed video player audio podcast iframe tweet instagram youtube oembed playlist live",
    "consent": "cookie cookies consent gdpr privacy modal popup overlay dialog toast notice alert message",
    "hidden": "hidden hide print noprint collapse collapsed invisible mobile desktop",
    "product": "product products price shop buy offer deal deals recipe ingredient ingredients rating faq question answer",
}
_BITS = {word: 1 << bit for bit, group in enumerate(GROUPS.values()) for word in group.split()}
_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_RANGE = range(len(GROUPS))


@lru_cache(maxsize=20_000)  # a site repeats its class attributes; 20,000 short strings are under 5 MB
def groups(names: str) -> int:
    """Class words as bits, one for each group of GROUPS that a word of `names` belongs to."""
    bits = 0
    for name in _NAME.findall(names):
        bits |= _BITS.get(name.lower(), 0)
    return bits


@lru_cache(maxsize=4_000)
def _flags(bits: int) -> tuple[int, ...]:
    return tuple(bits >> bit & 1 for bit in _RANGE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says of itself, as far as the model listens."""

    title: str = ""
    description: str = ""
    news: int = 0
    article: int = 0
    other: int = 0
    og: int = 0
    authors: str = ""
    body: str = ""


class View:
    """Everything about one page that rows share. Built once; `rows` reads it."""

    def __init__(self, layout: Layout, shares: Sequence[float], facts: Facts) -> None:
        blocks = layout.blocks
        self.blocks, self.shares, self.facts = blocks, shares, facts
        self.count = [len(block.words) for block in blocks]
        self.linked = [min(1.0, block.link / len(block.text)) for block in blocks]
        self.prose = [n if n >= PROSE and link < HALF else 0 for n, link in zip(self.count, self.linked, strict=True)]
        self.kept_words = [n * share for n, share in zip(self.count, shares, strict=True)]
        self.link_words = [n * link for n, link in zip(self.count, self.linked, strict=True)]
        self.sum_words = [0, *accumulate(self.count)]
        self.sum_kept = [0.0, *accumulate(self.kept_words)]
        self.sum_linked = [0.0, *accumulate(self.link_words)]
        self.sum_prose = [0, *accumulate(self.prose)]
        self._boxes(layout.boxes)
        kept = [i for i, share in enumerate(shares) if share >= HALF]
        self.kept = kept
        self.first, self.last = (kept[0], kept[-1]) if kept else (0, len(blocks) - 1)
        self.main = self._heaviest(layout.boxes, self.box_kept, self.sum_kept[-1]) if kept else None
        self.dense = self._heaviest(layout.boxes, self.box_prose, self.sum_prose[-1])
        if self.main is None:
            self.main = self.dense
        self._paths()
        self._distances()
        self._title()
        self._articles(layout.boxes)
        self._vocabulary()

    def _boxes(self, boxes: list[Box]) -> None:
        size = len(boxes)
        self.box_words = [0] * size
        self.box_kept = [0.0] * size
        self.box_linked = [0.0] * size
        self.box_prose = [0] * size
        self.box_blocks = [0] * size
        self.box_children: list[int] = [0] * size
        self.box_own = [0] * size
        self.box_bits = [groups(f"{b.names} {b.element.get('id') or ''} {b.element.get('data-component') or ''} {b.element.get('data-testid') or ''} {b.element.get('itemprop') or ''} {b.element.get('role') or ''}") if b.element.attrib else 0 for b in boxes]
        self.box_first = [-1] * size
        for i, block in enumerate(self.blocks):
            j = block.box.index
            self.box_words[j] += self.count[i]
            self.box_kept[j] += self.kept_words[i]
            self.box_linked[j] += self.link_words[i]
            self.box_prose[j] += self.prose[i]
            self.box_blocks[j] += 1
            self.box_own[j] += 1
            if self.box_first[j] < 0:
                self.box_first[j] = i
        for box in reversed(boxes):
            if box.parent is not None:
                i, j = box.index, box.parent.index
                self.box_words[j] += self.box_words[i]
                self.box_kept[j] += self.box_kept[i]
                self.box_linked[j] += self.box_linked[i]
                self.box_prose[j] += self.box_prose[i]
                self.box_blocks[j] += self.box_blocks[i]
                if self.box_blocks[i]:
                    self.box_children[j] += 1
                    if self.box_first[j] < 0 or self.box_first[i] < self.box_first[j]:
                        self.box_first[j] = self.box_first[i]

    def _heaviest(self, boxes: list[Box], weight: Sequence[float], total: float) -> Box | None:
        """The smallest box that holds MOST of a weight."""
        best = None
        for box in boxes:
            if weight[box.index] >= MOST * total and total and (best is None or box.depth > best.depth):
                best = box
        return best

    def _paths(self) -> None:
        keys: dict[tuple[int, str], int] = {}
        box_key: dict[int, int] = {}
        self.path: list[int] = []
        def key(box: Box) -> int:
            chain = []
            node: Box | None = box
            while node is not None and node.index not in box_key:
                chain.append(node)
                node = node.parent
            parent = box_key[node.index] if node is not None else -1
            for item in reversed(chain):
                parent = keys.setdefault((parent, item.sign), len(keys))
                box_key[item.index] = parent
            return parent
        self.path = [key(block.box) for block in self.blocks]
        self.path_count = Counter(self.path)
        self.path_words: Counter[int] = Counter()
        self.path_kept: Counter[int] = Counter()
        self.path_linked: Counter[int] = Counter()
        self.path_prose: Counter[int] = Counter()
        # the short path: last two signs, shared by containers whose wrappers differ
        self.short = [f"{b.box.parent.sign if b.box.parent else ''}/{b.box.sign}" for b in self.blocks]
        self.short_words: Counter[str] = Counter()
        self.short_kept: Counter[str] = Counter()
        self.short_count = Counter(self.short)
        for i, p in enumerate(self.path):
            self.path_words[p] += self.count[i]
            self.path_kept[p] += self.kept_words[i]
            self.path_linked[p] += self.link_words[i]
            self.path_prose[p] += self.prose[i]
            s = self.short[i]
            self.short_words[s] += self.count[i]
            self.short_kept[s] += self.kept_words[i]
        self.copies = Counter(tuple(block.words) for block in self.blocks)

    def _distances(self) -> None:
        """For every block: blocks since the last h1 and heading, and to the nearest kept block on each side."""
        n = len(self.blocks)
        self.since_h1, self.since_head, self.head_kept, self.head_level = [FAR] * n, [FAR] * n, [-1.0] * n, [0] * n
        self.kept_before, self.kept_after = [FAR] * n, [FAR] * n
        h1 = head = kept = -1
        for i, block in enumerate(self.blocks):
            if h1 >= 0:
                self.since_h1[i] = min(FAR, i - h1)
            if head >= 0:
                self.since_head[i] = min(FAR, i - head)
                self.head_kept[i] = self.shares[head]
                self.head_level[i] = int(self.blocks[head].box.tag[1]) if self.blocks[head].box.tag in HEADINGS else 0
            if kept >= 0:
                self.kept_before[i] = min(FAR, i - kept)
            tag = block.box.tag
            if tag == "h1":
                h1 = i
            if tag in HEADINGS:
                head = i
            if self.shares[i] >= HALF:
                kept = i
        kept = -1
        for i in range(n - 1, -1, -1):
            if kept >= 0:
                self.kept_after[i] = min(FAR, kept - i)
            if self.shares[i] >= HALF:
                kept = i

    def _title(self) -> None:
        """The heading that says what the page's title says: where the article begins on the page."""
        want = set(words(self.facts.title))
        self.title_at, best = -1, 0.5
        for i, block in enumerate(self.blocks):
            tag = block.box.tag
            if tag in HEADINGS and want:
                have = set(block.words)
                score = len(have & want) / max(1, len(have | want)) + (0.3 if tag == "h1" else 0)
                if score > best:
                    self.title_at, best = i, score
        if self.title_at < 0:
            self.title_at = next((i for i, block in enumerate(self.blocks) if block.box.tag == "h1"), -1)
        self.title_chain = self._chain(self.blocks[self.title_at].box) if self.title_at >= 0 else {}

    @staticmethod
    def _chain(box: Box) -> dict[int, int]:
        """Box index -> steps up, for a box and all around it."""
        return {b.index: up for up, b in enumerate(box.ancestors())}

    def _articles(self, boxes: list[Box]) -> None:
        """Number of the article element a box stands in (0 none), of h1 seen before a block."""
        self.article_of = [0] * len(boxes)
        number = 0
        for box in boxes:
            outer = self.article_of[box.parent.index] if box.parent is not None else 0
            if outer == 0 and box.tag == "article":
                number += 1
                outer = number
            self.article_of[box.index] = outer
        self.articles = number
        words_in: Counter[int] = Counter()
        for i, block in enumerate(self.blocks):
            words_in[self.article_of[block.box.index]] += self.prose[i]
        self.article_words = words_in
        self.h1_seen = []
        seen = 0
        for block in self.blocks:
            seen += block.box.tag == "h1"
            self.h1_seen.append(seen)
        group: Counter[tuple[int, str]] = Counter()
        group_words: Counter[tuple[int, str]] = Counter()
        group_kept: Counter[tuple[int, str]] = Counter()
        group_linked: Counter[tuple[int, str]] = Counter()
        for box in boxes:
            if box.parent is not None and self.box_blocks[box.index]:
                k = (box.parent.index, box.sign)
                group[k] += 1
                group_words[k] += self.box_words[box.index]
                group_kept[k] += self.box_kept[box.index]
                group_linked[k] += self.box_linked[box.index]
        self.group, self.group_words, self.group_kept, self.group_linked = group, group_words, group_kept, group_linked

    def _vocabulary(self) -> None:
        """In how many kept blocks each word stands."""
        self.vocabulary: Counter[str] = Counter()
        for i in self.kept:
            self.vocabulary.update(set(self.blocks[i].words))

    def near(self) -> list[int]:
        """Which blocks get a row."""
        inside = {box.index for box in (self.main, self.dense) if box is not None}
        found = []
        for i, block in enumerate(self.blocks):
            if not block.words:
                continue
            if self.shares[i] >= HALF or self.kept_before[i] <= NEAR or self.kept_after[i] <= NEAR or any(b.index in inside for b in block.box.ancestors()):
                found.append(i)
        return found


def _ratio(part: float, whole: float, empty: float = -1.0) -> float:
    return part / whole if whole else empty


ANCESTORS = ("li", "td", "blockquote", "figure", "figcaption", "aside", "nav", "header", "footer", "form", "article", "section", "main", "button", "details", "table", "ul", "ol", "dl", "p", "a")
_ANC_BIT = {tag: 1 << i for i, tag in enumerate(ANCESTORS)}
_ANC_RANGE = range(len(ANCESTORS))


def rows(view: View, chosen: Sequence[int] | None = None) -> tuple[list[int], list[list[float]]]:
    """The rows of the blocks near the body: their indices and, for each, one number per name of NAMES."""
    chosen = view.near() if chosen is None else chosen
    above = {}  # box index -> depth for main and its ancestors
    if view.main is not None:
        above = {box.index: box for box in view.main.ancestors()}
    inner_cache: dict[int, tuple[Box, int, int, int]] = {}

    def inner(box: Box) -> tuple[Box, int, int, int]:
        """(chunk, its class bits, ancestor-tag bits inside, depth below) for a box."""
        found = inner_cache.get(box.index)
        if found is None:
            own = view.box_bits[box.index]
            tags = _ANC_BIT.get(box.tag, 0)
            if box.index in above or box.parent is None or box.parent.index in above:
                found = (box, own, tags, 0)
            else:
                chunk, bits, t, d = inner(box.parent)
                found = (chunk, bits | own, t | tags, d + 1)
            inner_cache[box.index] = found
        return found

    page = _page(view)
    title = set(words(view.facts.title))
    description = set(words(view.facts.description))
    authors = set(words(view.facts.authors))
    body_grams = set()
    if view.facts.body:
        w = words(view.facts.body)
        body_grams = set(zip(w, w[1:], w[2:], strict=False))
    sem = {}  # boxes whose itemprop is articleBody, or article tags: number
    number = 0
    out = []
    articles: dict[int, int] = {}
    for i in chosen:
        out.append(_row(view, i, inner, above, title, description, authors, body_grams, articles) + page)
    return list(chosen), out


def _page(view: View) -> list[float]:
    total, kept = view.sum_words[-1], view.sum_kept[-1]
    f = view.facts
    main = view.main
    return [
        total, kept, len(view.kept), _ratio(kept, total), view.sum_prose[-1], _ratio(view.sum_linked[-1], total),
        _ratio(kept, len(view.kept)), len(view.blocks), f.news, f.article, f.other, f.og,
        view.box_words[main.index] if main else 0, _ratio(view.box_kept[main.index], view.box_words[main.index]) if main else -1,
        _ratio(view.box_linked[main.index], view.box_words[main.index]) if main else -1,
        _ratio(view.box_prose[main.index], view.box_words[main.index]) if main else -1,
        _ratio(view.box_kept[view.dense.index], kept) if view.dense else -1,
        1 if main is view.dense else 0, len(view.main.ancestors.__self__.tag) if False else 0,
    ]


def _window(view: View, i: int, size: int) -> tuple[float, float, float]:
    """Kept share, link share and prose share of the words in the blocks around, the block itself left out."""
    a, b = max(0, i - size), min(len(view.blocks), i + size + 1)
    n = view.sum_words[b] - view.sum_words[a] - view.count[i]
    if not n:
        return (-1.0, -1.0, -1.0)
    return (
        (view.sum_kept[b] - view.sum_kept[a] - view.kept_words[i]) / n,
        (view.sum_linked[b] - view.sum_linked[a] - view.link_words[i]) / n,
        (view.sum_prose[b] - view.sum_prose[a] - view.prose[i]) / n,
    )


def _side(view: View, a: int, b: int) -> tuple[float, float, float, float]:
    """Words, kept share, link share and prose share of the blocks from a up to b."""
    a, b = max(0, a), min(len(view.blocks), max(0, b))
    if a >= b:
        return (-1.0, -1.0, -1.0, -1.0)
    n = view.sum_words[b] - view.sum_words[a]
    if not n:
        return (0.0, -1.0, -1.0, -1.0)
    return (n, (view.sum_kept[b] - view.sum_kept[a]) / n, (view.sum_linked[b] - view.sum_linked[a]) / n, (view.sum_prose[b] - view.sum_prose[a]) / n)


def _holder(view: View, j: int, i: int) -> list[float]:
    """What a box holds besides block i: words, kept, linked and prose shares, blocks."""
    n = view.box_words[j] - view.count[i]
    return [
        n,
        _ratio(view.box_kept[j] - view.kept_words[i], n),
        _ratio(view.box_linked[j] - view.link_words[i], n),
        _ratio(view.box_prose[j] - view.prose[i], n),
        view.box_blocks[j],
    ]


def _neighbour(view: View, i: int, j: int) -> list[float]:
    if not 0 <= j < len(view.blocks):
        return [-1, -1, -1, -1, -1]
    return [view.count[j], view.shares[j], view.linked[j], 1 if view.path[j] == view.path[i] else 0, 1 if view.blocks[j].box.tag in HEADINGS else 0]


def _row(view: View, i: int, inner, above, title, description, authors, body_grams, articles) -> list[float]:
    block = view.blocks[i]
    box, text, n = block.box, block.text, view.count[i]
    parent = box.parent or box
    grand = parent.parent or parent
    great = grand.parent or grand
    chunk, bits, tags, below = inner(box)
    own_bits = view.box_bits[box.index] | (groups(block.inline) if block.inline else 0)
    length = len(text)
    tokens = text.split() if n < 60 else ()
    upper = sum(1 for t in tokens if t[0].isupper()) / len(tokens) if tokens else -1
    last = text[-1]
    total = view.sum_words[-1]
    main = view.main
    in_main = main is not None and main.index in {b.index for b in (chunk, chunk.parent) if b}
    tag = box.tag
    p = view.path[i]
    pw = view.path_words[p] - n
    s = view.short[i]
    sw = view.short_words[s] - n
    unique = set(block.words)
    w3 = block.words
    grams = list(zip(w3, w3[1:], w3[2:], strict=False))
    element = box.element
    tag_all = tags
    lca_depth = chunk.parent.depth if chunk.parent else 0
    ci = chunk.index
    row = [
        view.shares[i], n, length / n, view.linked[i], block.links, block.bold / length, block.timed / length, block.images,
        2 if END.search(text[-6:]) else 1 if last in ":：" else 0,
        1 if text[0].islower() else 0, upper, 1 if text.isupper() else 0,
        sum(1 for w in w3 if w[0].isdigit()) / n, len(COMMAS.findall(text)) / n, len(SEPARATORS.findall(text)),
        text.count("\n"), 1 if text[0] in "\"“„«'‘»" else 0,
        int(tag[1]) if tag in HEADINGS else 0, 1 if tag == "p" else 0, 1 if tag == "li" else 0, 1 if tag in ("td", "th") else 0, 1 if tag == "div" else 0,
        1 if tag == "figcaption" else 0, 1 if tag == "button" or tag == "label" else 0, 1 if tag in ("dt", "dd") else 0, 1 if box.hidden else 0,
        view.box_own[box.index],
        # place
        i / len(view.blocks), i - view.first, view.last - i,
        view.sum_words[i] / total, view.sum_words[i] - view.sum_words[view.first], view.sum_words[view.last + 1] - view.sum_words[i + 1],
        view.kept_before[i], view.kept_after[i], view.since_h1[i], view.since_head[i], view.head_kept[i], view.head_level[i],
        box.depth, main.depth - lca_depth if main else -1, below, 1 if in_main else 0,
        box.depth - main.depth if main else 0,
        # neighbours
        *_neighbour(view, i, i - 1), *_neighbour(view, i, i + 1), *_neighbour(view, i, i - 2)[:3], *_neighbour(view, i, i + 2)[:3],
        *_window(view, i, 3), *_window(view, i, 8),
        *_side(view, i - 4, i), *_side(view, i + 1, i + 5), *_side(view, 0, i)[1:], *_side(view, i + 1, len(view.blocks))[1:],
        # boxes
        *_holder(view, box.index, i)[1:], *_holder(view, parent.index, i), *_holder(view, grand.index, i), *_holder(view, great.index, i),
        *_holder(view, ci, i), view.box_children[parent.index], view.box_children[grand.index],
        i - view.box_first[ci], i - view.box_first[parent.index], view.box_children[chunk.parent.index] if chunk.parent else 0,
        # path
        view.path_count[p], pw, _ratio(view.path_kept[p] - view.kept_words[i], pw), _ratio(view.path_linked[p] - view.link_words[i], pw),
        _ratio(view.path_prose[p] - view.prose[i], pw), _ratio(pw, view.path_count[p] - 1, 0),
        view.short_count[s], _ratio(view.short_kept[s] - view.kept_words[i], sw), _ratio(sw, view.short_count[s] - 1, 0),
        view.copies[tuple(w3)],
        # likeness
        len(unique & title) / len(unique), _ratio(len(unique & title), len(title)), _ratio(len(unique & description), len(unique)),
        len(unique & authors) / len(unique),
        (sum(1 for g in grams if g in body_grams) / len(grams) if grams else -1) if body_grams else -2,
        *_structure(view, i, box, chunk), *_affinity(view, i, unique),
        *_flags(own_bits | view.box_bits[parent.index]), *_flags(bits), *(tag_all >> k & 1 for k in _ANC_RANGE),
    ]
    return row


def _up(view: View, box: Box, other: int) -> tuple[int, int]:
    """Steps up from a box, and from the box of another block, to the box that holds both."""
    if not 0 <= other < len(view.blocks):
        return (-1, -1)
    there = view.blocks[other].box
    a, b, x, y = box, there, 0, 0
    while a is not b:
        if a.depth >= b.depth and a.parent is not None:
            a, x = a.parent, x + 1
        elif b.parent is not None:
            b, y = b.parent, y + 1
        else:
            break
    return (x, y)


def _structure(view: View, i: int, box: Box, chunk: Box) -> list[float]:
    before = i - view.kept_before[i] if view.kept_before[i] < FAR else -1
    after = i + view.kept_after[i] if view.kept_after[i] < FAR else -1
    number = view.article_of[box.index]
    out: list[float] = [*_up(view, box, i - 1), *_up(view, box, i + 1), *_up(view, box, before), *_up(view, box, after)]
    if view.title_at >= 0:
        out += [i - view.title_at, *_up(view, box, view.title_at), 1 if number == view.article_of[view.blocks[view.title_at].box.index] else 0]
    else:
        out += [-999, -1, -1, -1]
    out += [view.h1_seen[i], view.h1_seen[-1], number, view.articles, view.article_words[number]]
    for b in (box, box.parent or box, chunk):
        k = (b.parent.index if b.parent else -1, b.sign)
        n = view.group_words[k] - view.box_words[b.index]
        out += [view.group[k], n, _ratio(view.group_kept[k] - view.box_kept[b.index], n), _ratio(view.group_linked[k] - view.box_linked[b.index], n)]
    return out


def _affinity(view: View, i: int, unique: set[str]) -> list[float]:
    """How much of the block's vocabulary stands in other kept blocks: all words, and long ones (names and topics)."""
    own = 1 if view.shares[i] >= HALF else 0
    known = view.vocabulary
    long = [w for w in unique if len(w) > 5]
    return [
        sum(1 for w in unique if known[w] > own) / len(unique),
        sum(1 for w in long if known[w] > own) / len(long) if long else -1.0,
        sum(known[w] - own for w in unique) / len(unique) / (len(view.kept) or 1),
    ]


_N5 = ("words", "kept", "linked", "same_path", "heading")
_S4 = ("words", "kept", "linked", "prose")
_H5 = ("words", "kept", "linked", "prose", "blocks")
NAMES = (
    "kept words letters_per_word linked links bold timed images end lower_start capitals all_capitals digits commas separators lines quoted "
    "heading is_p is_li is_cell is_div is_figcaption is_button is_dt hidden box_own place after_first before_last words_before "
    "words_since_first words_to_last kept_before kept_after since_h1 since_heading heading_kept heading_level depth main_above below in_main "
    "depth_in_main"
).split()
NAMES += [f"prev_{x}" for x in _N5] + [f"next_{x}" for x in _N5] + [f"prev2_{x}" for x in _N5[:3]] + [f"next2_{x}" for x in _N5[:3]]
NAMES += [f"window3_{x}" for x in _S4[1:]] + [f"window8_{x}" for x in _S4[1:]]
NAMES += [f"before4_{x}" for x in _S4] + [f"after4_{x}" for x in _S4] + [f"all_before_{x}" for x in _S4[1:]] + [f"all_after_{x}" for x in _S4[1:]]
NAMES += [f"box_{x}" for x in _H5[1:]] + [f"{b}_{x}" for b in ("parent", "grand", "great", "chunk") for x in _H5]
NAMES += "parent_children grand_children into_chunk into_parent main_children".split()
NAMES += "path_blocks path_words path_kept path_linked path_prose path_mean short_blocks short_kept short_mean copies".split()
NAMES += "in_title title_in in_description in_authors in_json".split()
NAMES += "up_prev down_prev up_next down_next up_kept_before down_kept_before up_kept_after down_kept_after".split()
NAMES += "since_title up_title down_title title_article h1_seen h1_total article_number articles article_words".split()
NAMES += [f"{b}_{x}" for b in ("like_box", "like_parent", "like_chunk") for x in ("count", "words", "kept", "linked")]
NAMES += "affinity topic commonness".split()
NAMES += [f"own_{g}" for g in GROUPS] + [f"inner_{g}" for g in GROUPS] + [f"in_{t}" for t in ANCESTORS]
NAMES += (
    "page_words page_kept page_kept_blocks page_kept_share page_prose page_linked page_mean page_blocks page_news page_article page_other "
    "page_og main_words main_kept main_linked main_prose dense_kept main_is_dense page_spare"
).split()
