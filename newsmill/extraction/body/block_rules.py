"""The hand gate: rules a person would give for leaving a block out, each with the name that `explain` shows.

With the block model the gate only names reasons (as a second filter it cost 0.2 points on guides and won nothing on news, FINDINGS 2.3);
without a model it is the whole filter. Pure: a view of the page in, a reason out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import CAPTIONS, HEADINGS
from newsmill.extraction.body.class_words import GROUPS
from newsmill.extraction.boilerplate.vocabulary import any_of
from newsmill.extraction.page_stats import BESIDE, COMMENTS, View

ALL_LINK = 0.9  # share of the characters inside links
LINK_WORDS = range(3, 40)  # a linked word or two may be a heading, forty are prose with a link around it
TOP = 60  # kept words before which a headline is the page's own (the rule that paid best, FINDINGS 2.1)
SHORT = 25  # words; bylines and prompts are no longer
PROMPT = 60  # words; a newsletter box with its small print
ABOUT = 150  # words of a box about the author
HEADLINE = "headline repeated"
_BIT = {group: 1 << bit for bit, group in enumerate(GROUPS)}
_READ_MORE = re.compile(rf"^\W{{0,3}}(?:{any_of('read_more')})(?=\W|$)", re.IGNORECASE)
_SIGN_UP = re.compile(any_of("sign_up"), re.IGNORECASE)
_BIOGRAPHY = re.compile(r"(?:author|writer|reporter|contributor|autor(?:en)?)[_-]*(?:bio|biography|vita)(?=$|[\s_-])", re.IGNORECASE)
_BY = re.compile(r"^(?:by|von|par|por|di|door|av|af|autor[ae]?|text)\s*:?\s+[^\W\d_]", re.IGNORECASE)


def reason(view: View, i: int) -> str | None:
    """Why a person would leave block i out: by a rule, else by what its boxes call themselves. None where nothing speaks."""
    return rule(view, i) or next((name for name, group in HINTS.items() if _named(view, i, group)), None)


def rule(view: View, i: int) -> str | None:
    """The name of the first rule that would leave block i out, strong enough to do so without a model."""
    return next((name for name, holds in RULES.items() if holds(view, i)), None)


def _headline(view: View, i: int) -> bool:
    """The page's headline again: an h1, or a heading of the title's words, before much of the body has passed."""
    block = view.blocks[i]
    if block.box.tag not in HEADINGS or view.upto_kept[i] > TOP:
        return False
    have = set(block.words)
    alike = len(have & view.title_words) >= 0.8 * len(have | view.title_words) > 0
    return block.box.tag == "h1" or alike


def _all_link(view: View, i: int) -> bool:
    return view.link_share[i] >= ALL_LINK and view.own.words[i] in LINK_WORDS


def _link_run(view: View, i: int) -> bool:
    """One of several neighbours that are mostly link."""
    beside = [j for j in (i - 1, i + 1) if 0 <= j < len(view.blocks)]
    return view.link_share[i] >= HALF and any(view.link_share[j] >= HALF for j in beside)


def is_read_more(view: View, i: int) -> bool:
    """True for a short block with a link that begins like an invitation to read on."""
    block = view.blocks[i]
    return len(block.words) <= SHORT and block.links > 0 and _READ_MORE.search(block.text) is not None


def _newsletter(view: View, i: int) -> bool:
    words = view.own.words[i]
    return (words <= SHORT and _SIGN_UP.search(view.blocks[i].text) is not None) or (words <= PROMPT and _named(view, i, "newsletter"))


def _byline(view: View, i: int) -> bool:
    block = view.blocks[i]
    return len(block.words) <= SHORT and (_named(view, i, "byline") or (len(block.words) <= 8 and _BY.search(block.text) is not None))


def _caption(view: View, i: int) -> bool:
    tags = {box.tag for box in view.blocks[i].box.ancestors()}
    return bool(tags & CAPTIONS) or ("figure" in tags and _named(view, i, "caption"))


def _again(view: View, i: int) -> bool:
    """A block of some length whose exact words stand earlier on the page."""
    words = view.blocks[i].words
    return len(words) >= 4 and view.first_with(words) < i


def in_comments(view: View, i: int) -> bool:
    """True when a box around block i, inside its part of the page, calls itself comments or replies."""
    return bool(view.apart(view.blocks[i].box) & COMMENTS)


def beside(view: View, i: int) -> bool:
    """True when block i stands in an element for what is not the text itself (HTML standard, section 4.3), inside its part of the page."""
    return bool(view.apart(view.blocks[i].box) & BESIDE)


def about_author(view: View, i: int) -> bool:
    """True when the block stands in a small box that calls itself the author's biography, or right in a box inside one."""
    near = islice(view.blocks[i].box.ancestors(), 3)
    return any(_BIOGRAPHY.search(box.names) is not None and view.boxes.words[box.index] <= ABOUT for box in near)


def _named(view: View, i: int, group: str) -> bool:
    """True when the block's own box or the one around it names itself so."""
    box = view.blocks[i].box
    return any(view.bits(near) & _BIT[group] for near in (box, box.parent) if near is not None)


RULES: dict[str, Callable[[View, int], bool]] = {
    HEADLINE: _headline,
    "read-more line": is_read_more,
    "nothing but a link": _all_link,
    "run of links": _link_run,
    "newsletter or sign-up box": _newsletter,
    "byline": _byline,
    "caption": _caption,
    "said before on this page": _again,
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
