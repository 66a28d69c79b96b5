"""The hand gate: rules a person would give for leaving a block out, each with the name that `explain` shows.

With the block model the gate only names reasons (as a second filter it cost 0.2 points on guides and won nothing on news, FINDINGS 2.3);
without a model it is the whole filter. Pure: a view of the page in, a reason out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice, pairwise

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import CAPTION_TAGS, HEADING_TAGS, SUBHEADING_TAGS
from newsmill.extraction.body.class_words import GROUPS
from newsmill.extraction.body.page_stats import BESIDE_BIT, COMMENTS_BIT, PageStats
from newsmill.extraction.boilerplate import trailing_lines
from newsmill.extraction.boilerplate.vocabulary import build_alternation
from newsmill.model import BlockType

MIN_ALL_LINK_SHARE = 0.9  # share of the characters inside links
LINK_WORDS = range(3, 40)  # a linked word or two may be a heading, forty are prose with a link around it
MAX_KEPT_WORDS_ABOVE = 60  # kept words before which a headline is the page's own (the rule that paid best, FINDINGS 2.1)
MAX_SHORT_WORDS = 25  # words; bylines and prompts are no longer
MAX_PROMPT_WORDS = 60  # words; a newsletter box with its small print
MAX_BIOGRAPHY_WORDS = 150  # words of a box about the author
HEADLINE_REPEATED = "headline repeated"
_GROUP_BITS = {group: 1 << bit for bit, group in enumerate(GROUPS)}
_READ_MORE = re.compile(rf"^\W{{0,3}}(?:{build_alternation('read_more')})(?=\W|$)", re.IGNORECASE)
_SIGN_UP = re.compile(build_alternation("sign_up"), re.IGNORECASE)
_BIOGRAPHY = re.compile(r"(?:author|writer|reporter|contributor|autor(?:en)?)[_-]*(?:bio|biography|vita)(?=$|[\s_-])", re.IGNORECASE)
_BYLINE = re.compile(r"^(?:by|von|par|por|di|door|av|af|autor[ae]?|text)\s*:?\s+[^\W\d_]", re.IGNORECASE)


def find_reason(view: PageStats, i: int) -> str | None:
    """Why a person would leave block i out: by a rule, else by what its boxes call themselves. None where nothing speaks."""
    return find_rule(view, i) or next((name for name, group in HINTS.items() if _has_group(view, i, group)), None)


def find_rule(view: PageStats, i: int) -> str | None:
    """The name of the first rule that would leave block i out, strong enough to do so without a model."""
    return next((name for name, holds in RULES.items() if holds(view, i)), None)


def _is_headline_repeated(view: PageStats, i: int) -> bool:
    """The page's headline again: an h1, or a heading of the title's words, before much of the body has passed."""
    block = view.blocks[i]
    if block.box.tag not in HEADING_TAGS or view.upto_kept[i] > MAX_KEPT_WORDS_ABOVE:
        return False
    have = set(block.words)
    alike = len(have & view.title_words) >= 0.8 * len(have | view.title_words) > 0
    return block.box.tag == "h1" or alike


def _is_only_link(view: PageStats, i: int) -> bool:
    return view.link_share[i] >= MIN_ALL_LINK_SHARE and view.own.words[i] in LINK_WORDS


def _is_in_link_run(view: PageStats, i: int) -> bool:
    """One of several neighbours that are mostly link."""
    beside = [j for j in (i - 1, i + 1) if 0 <= j < len(view.blocks)]
    return view.link_share[i] >= HALF and any(view.link_share[j] >= HALF for j in beside)


def is_read_more(view: PageStats, i: int) -> bool:
    """True for a short block with a link that begins like an invitation to read on."""
    block = view.blocks[i]
    return len(block.words) <= MAX_SHORT_WORDS and block.links > 0 and _READ_MORE.search(block.text) is not None


def _is_newsletter(view: PageStats, i: int) -> bool:
    words = view.own.words[i]
    return (words <= MAX_SHORT_WORDS and _SIGN_UP.search(view.blocks[i].text) is not None) or (
        words <= MAX_PROMPT_WORDS and _has_group(view, i, "newsletter")
    )


def _is_byline(view: PageStats, i: int) -> bool:
    block = view.blocks[i]
    return len(block.words) <= MAX_SHORT_WORDS and (
        _has_group(view, i, "byline") or (len(block.words) <= 8 and _BYLINE.search(block.text) is not None)
    )


def _is_caption(view: PageStats, i: int) -> bool:
    tags = {box.tag for box in view.blocks[i].box.ancestors()}
    return bool(tags & CAPTION_TAGS) or ("figure" in tags and _has_group(view, i, "caption"))


def _is_repeated(view: PageStats, i: int) -> bool:
    """A block of some length whose exact words stand earlier on the page."""
    words = view.blocks[i].words
    return len(words) >= 4 and view.first_with(words) < i


def is_in_comments(view: PageStats, i: int) -> bool:
    """True when a box around block i, inside its part of the page, calls itself comments or replies."""
    return bool(view.apart(view.blocks[i].box) & COMMENTS_BIT)


def is_beside_text(view: PageStats, i: int) -> bool:
    """True when block i stands in an element for what is not the text itself (HTML standard, section 4.3), inside its part of the page."""
    return bool(view.apart(view.blocks[i].box) & BESIDE_BIT)


def is_in_biography(view: PageStats, i: int) -> bool:
    """True when the block stands in a small box that calls itself the author's biography, or right in a box inside one."""
    near = islice(view.blocks[i].box.ancestors(), 3)
    return any(_BIOGRAPHY.search(box.names) is not None and view.boxes.words[box.index] <= MAX_BIOGRAPHY_WORDS for box in near)


def _has_group(view: PageStats, i: int, group: str) -> bool:
    """True when the block's own box or the one around it names itself so."""
    box = view.blocks[i].box
    return any(view.bits(near) & _GROUP_BITS[group] for near in (box, box.parent) if near is not None)


RULES: dict[str, Callable[[PageStats, int], bool]] = {
    HEADLINE_REPEATED: _is_headline_repeated,
    "read-more line": is_read_more,
    "nothing but a link": _is_only_link,
    "run of links": _is_in_link_run,
    "newsletter or sign-up box": _is_newsletter,
    "byline": _is_byline,
    "caption": _is_caption,
    "said before on this page": _is_repeated,
}
# What a class says explains a decision but must not make it: as rules these cost as much as they won (FINDINGS 2.1)
HINTS = {
    "teaser": "teaser",
    "related pages": "related",
    "comment": "comment",
    "advertisement": "advert",
    "share bar": "share",
    "menu": "menu",
    "tags": "tags",
    "standfirst": "standfirst",
    "consent dialogue": "consent",
    "aside": "aside",
}

# Rules that hold whatever the block model says, each true of sites in general, each with the reason that `explain` shows.
#
# The model weighs hints; these are certain: a headline is a field of its own, comments are nobody's article, a text that fills several boxes
# of its own word for word stands in for something that did not load. Pure: a view and the model's choice in, what to take off or add out.

FIRST_BLOCKS = 3  # kept blocks among which the page's own headline stands; further down an h1 is a part of the text
MIN_COPIES = 3  # equal blocks in boxes of their own, from which they are placeholders; two may be a teaser and its text
MIN_PLACEHOLDER_WORDS = 8  # words; shorter texts repeat for many reasons
MAX_CREDIT_WORDS = 12  # words of a picture's credit
MIN_PARAGRAPH_WORDS = 25  # words that no teaser or label has
MAX_PARAGRAPH_LINK_SHARE = 0.2  # share of a paragraph's words in links; more is a list of links
MIN_PATH_BLOCKS = 4  # kept blocks that make a path the article's
PULL_QUOTE_WORDS = range(6, 61)  # words; a shorter quotation may be said twice
MAX_PULL_QUOTES = 30  # of a page; more are the text itself, and comparing each with all would take quadratic time
BESIDE_TEXT, EMPTY_SECTION = "beside the text", "heading of a section that is left out"
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")  # a line without one ("___") parts sections and says nothing
STEP_RUN_WORDS = 8  # words side by side that are a step's own
MIN_PATH_KEPT_SHARE = 0.6  # share of that path's words that must be kept


def find_refused(view: PageStats, kept: frozenset[int]) -> Mapping[int, str]:
    """The blocks of the model's choice that go all the same, each with its reason."""
    repeated = _find_repeated_paths(view)
    found = {i: reason for i in kept if (reason := _find_refusal(view, i, repeated)) is not None}
    found |= dict.fromkeys(_find_pull_quotes(view, kept - found.keys()), "quoted from the text")
    found |= dict.fromkeys(_find_empty_sections(view, kept - found.keys()), EMPTY_SECTION)
    first = sorted(kept - found.keys())[:FIRST_BLOCKS]
    return found | {i: HEADLINE_REPEATED for i in first if view.blocks[i].box.tag == "h1" and find_rule(view, i) == HEADLINE_REPEATED}


def _find_pull_quotes(view: PageStats, kept: Set[int]) -> list[int]:
    """Quotations that repeat a part of another kept block word for word, set apart for the eye (4 pages better of 987, none worse)."""
    quotes = [i for i in kept if view.blocks[i].type is BlockType.QUOTE and view.own.words[i] in PULL_QUOTE_WORDS]
    if not quotes or len(quotes) > MAX_PULL_QUOTES:
        return []
    text = {i: f" {' '.join(view.blocks[i].words)} " for i in kept}
    return [i for i in quotes if any(text[i] in other and len(text[i]) < len(other) for other in text.values())]


def _find_empty_sections(view: PageStats, kept: Set[int]) -> list[int]:
    """Headings whose section was left out: the next kept block is a heading of the same or a higher level (2 pages better, none worse)."""
    found = []
    for i, following in pairwise(sorted(kept)):
        heading, after = view.blocks[i].box.tag, view.blocks[following].box.tag
        if following > i + 1 and heading in SUBHEADING_TAGS and after in HEADING_TAGS and after <= heading:
            found.append(i)
    return found


def find_restored(view: PageStats, chosen: Sequence[int], kept: frozenset[int]) -> frozenset[int]:
    """Paragraphs that the model dropped though trafilatura took them and most text of exactly their path is kept; steps of a recipe;
    subheadings.

    A widget in the middle of an article makes what follows it look like the rest of the page; its path says that it is not.
    """
    like = Counter(view.of_path[i] for i in kept)
    words, left = Counter[int](), Counter[int]()
    for i in chosen:
        words[view.of_path[i]] += view.own.words[i]
        left[view.of_path[i]] += view.own.words[i] if i in kept else 0
    article = {path for path, count in like.items() if count >= MIN_PATH_BLOCKS and left[path] >= MIN_PATH_KEPT_SHARE * words[path]}
    paragraphs = {i for i in chosen if i not in kept and view.of_path[i] in article and _is_paragraph(view, i)}
    paragraphs |= _find_declared_steps(view, chosen) - kept
    text = kept | paragraphs
    return frozenset(paragraphs | {i for i in chosen if i not in text and _is_subheading(view, i, text)})


def _find_declared_steps(view: PageStats, chosen: Sequence[int]) -> set[int]:
    """Blocks that say nothing but what the page's data declare as steps of its recipe or guide."""
    known = set(_list_runs(view.facts.steps))
    return {i for i in chosen if known and len(said := view.blocks[i].words) >= STEP_RUN_WORDS and known.issuperset(_list_runs(said))}


def _list_runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every run of STEP words side by side."""
    return (tuple(words[at : at + STEP_RUN_WORDS]) for at in range(len(words) - STEP_RUN_WORDS + 1))


def _is_subheading(view: PageStats, i: int, text: Set[int]) -> bool:
    """True for a heading without a link right between two blocks of text: what it heads is there (10 pages better of 987, none worse)."""
    tags = [view.blocks[j].box.tag if j in text else "h1" for j in (i - 1, i + 1)]
    return view.blocks[i].box.tag in SUBHEADING_TAGS and not view.link_share[i] and HEADING_TAGS.isdisjoint(tags)


def _is_paragraph(view: PageStats, i: int) -> bool:
    return view.shares[i] >= HALF and view.own.words[i] >= MIN_PARAGRAPH_WORDS and view.link_share[i] < MAX_PARAGRAPH_LINK_SHARE


def _find_refusal(view: PageStats, i: int, repeated: Set[int]) -> str | None:
    if view.of_path[i] in repeated and len(view.blocks[i].words) >= MIN_PLACEHOLDER_WORDS:
        return "placeholder"
    if is_in_biography(view, i):
        return "about the author"
    if view.link_share[i] >= HALF and is_read_more(view, i) and trailing_lines.is_invitation(view.blocks[i].text):
        return "read-more line"
    return "photo credit" if view.own.words[i] <= MAX_CREDIT_WORDS and trailing_lines.is_photo_credit(view.blocks[i].text) else None


def find_settled(view: PageStats, i: int) -> str | None:
    """Why block i is no part of the article whatever a model would say, or None: it need not be asked.

    What trafilatura had left out is never won back from comments, asides, menus and footers, and hardly ever is a line that is all link and
    has no kept neighbour (7 of 4,050 such blocks on 260 pages, out of fold); both together are a quarter of the blocks near a body.
    """
    if _LETTER_OR_DIGIT.search(view.blocks[i].text) is None:
        return "only punctuation"
    if view.shares[i] >= HALF:
        return None
    if is_in_comments(view, i):
        return "among comments"
    if is_beside_text(view, i):
        return BESIDE_TEXT
    lonely = view.kept_before[i] > 1 and view.kept_after[i] > 1
    return "nothing but a link" if lonely and view.link_share[i] >= MIN_ALL_LINK_SHARE else None


def _find_repeated_paths(view: PageStats) -> Set[int]:
    """The paths of several blocks that all say the same: "your settings keep us from showing this video"."""
    said: dict[int, list[str]] = {}
    different = set[int]()
    for block, path in zip(view.blocks, view.of_path, strict=True):
        if path not in different and said.setdefault(path, block.words) != block.words:
            different.add(path)
    return {path for path in said.keys() - different if view.paths.blocks[path] >= MIN_COPIES}
