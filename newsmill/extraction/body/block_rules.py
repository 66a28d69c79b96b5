"""Rules about single blocks. Each rule has a reason, which `explain` shows. Input: the statistics of a page. Output: reasons.

`find_reason` names why a person would remove a block. It only explains the decisions of the block model.
As a second filter it cost 0.2 points of F1 on guides and gained nothing on news.
`find_settled`, `find_refused` and `find_restored` override the model, for example because comments are not the article.
The functions have no side effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from newsmill.extraction.body import trailing_lines
from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import CAPTION_TAGS, HEADING_TAGS, SUBHEADING_TAGS, is_displayed
from newsmill.extraction.body.layout_stats import BESIDE_BIT, COMMENTS_BIT
from newsmill.extraction.body.page_stats import PageStats
from newsmill.extraction.class_words import CLASS_GROUPS
from newsmill.extraction.vocabulary import compile_words
from newsmill.model import BlockType
from newsmill.text import lazy_re as re

HEADLINE_REPEATED = "headline repeated"
BESIDE_TEXT, NOT_DISPLAYED = "beside the text", "not displayed"
MIN_ALL_LINK_SHARE = 0.9  # share of a block's characters inside links
LINK_WORDS = range(3, 40)  # words; a shorter link may be a heading, a longer one is prose inside a link
MAX_KEPT_WORDS_ABOVE = 60  # words; a headline after more kept words is not the page's own
MAX_SHORT_WORDS = 25  # words; the maximum of a byline or prompt
MAX_PROMPT_WORDS = 60  # words; a newsletter box including its small print
_GROUP_BITS = {group: 1 << bit for bit, group in enumerate(CLASS_GROUPS)}
_READ_MORE = compile_words(r"^\W{0,3}{read_more}(?=\W|$)")
_SIGN_UP = compile_words("{sign_up}")
_BYLINE = re.compile(r"^(?:by|von|par|por|di|door|av|af|autor[ae]?|text)\s*:?\s+[^\W\d_]", re.IGNORECASE)


def find_settled(stats: PageStats, i: int) -> str | None:
    """Return why block i is not part of the article regardless of the model, or None if the model decides.

    A block in an aside, menu or footer is not part of the text, nor is one in comments that trafilatura removed.
    A removed block that is only a link and has no kept neighbour hardly ever is: 7 of 4,050 such blocks on 260 pages (out of fold).
    All together they are a quarter of the blocks near a body.
    """
    if is_beside_text(stats, i):
        return BESIDE_TEXT
    if stats.shares[i] >= HALF:
        return None
    if is_in_comments(stats, i):
        return "among comments"
    lonely = stats.kept_before[i] > 1 and stats.kept_after[i] > 1
    return "nothing but a link" if lonely and stats.link_share[i] >= MIN_ALL_LINK_SHARE else None


def find_refused(stats: PageStats, kept: frozenset[int]) -> Mapping[int, str]:
    """Return the kept blocks that the rules remove, each with its reason."""
    return {i: reason for i in kept if (reason := _find_refusal(stats, i)) is not None}


def _find_refusal(stats: PageStats, i: int) -> str | None:
    if not is_displayed(stats.blocks[i]):
        return NOT_DISPLAYED
    if stats.link_share[i] >= HALF and is_read_more(stats, i) and trailing_lines.is_invitation(stats.blocks[i].text):
        return "read-more line"
    return None


def find_restored(stats: PageStats, chosen: Sequence[int], kept: frozenset[int]) -> frozenset[int]:
    """Return the blocks to keep although the model removed them: code and subheadings."""
    code = {i for i in chosen if i not in kept and _is_code_in_text(stats, i, kept)}
    text = kept | code
    return frozenset(code | {i for i in chosen if i not in text and _is_subheading(stats, i, text)})


def _is_code_in_text(stats: PageStats, i: int, text: Set[int]) -> bool:
    """Return True for code with text before and after it. A button or a link to its source may stand between them.

    Of 1,582 gold pages 4 became better (one from 0.59 to 0.97), one worse by 0.013.
    """
    return stats.blocks[i].type is BlockType.CODE and any(i - step in text for step in (1, 2)) and any(i + step in text for step in (1, 2))


def _is_subheading(stats: PageStats, i: int, text: Set[int]) -> bool:
    """Return True for a heading without a link directly between two blocks of text (10 of 987 pages better, none worse).

    A link or button may stand above it, but not below: "Read more" has its link below.
    """
    above = i - 2 if i > 1 and i - 1 not in text and stats.link_share[i - 1] >= MIN_ALL_LINK_SHARE else i - 1
    tags = [stats.blocks[j].box.tag if j in text else "h1" for j in (above, i + 1)]
    return stats.blocks[i].box.tag in SUBHEADING_TAGS and not stats.link_share[i] and HEADING_TAGS.isdisjoint(tags)


def find_reason(stats: PageStats, i: int) -> str | None:
    """Return why a person would remove block i: by a rule, else by the names of its boxes. None if nothing indicates it."""
    return find_rule(stats, i) or next((name for name, group in HINTS.items() if _has_group(stats, i, group)), None)


def find_rule(stats: PageStats, i: int) -> str | None:
    """Return the name of the first rule that applies to block i, or None. Each rule is reliable enough without a model."""
    return next((name for name, holds in RULES.items() if holds(stats, i)), None)


def _is_headline_repeated(stats: PageStats, i: int) -> bool:
    """Return True for a repeated headline: an h1, or a heading with the title's words, within the first kept words of the body."""
    block = stats.blocks[i]
    if block.box.tag not in HEADING_TAGS or stats.upto_kept[i] > MAX_KEPT_WORDS_ABOVE:
        return False
    have = set(block.words)
    alike = len(have & stats.title_words) >= 0.8 * len(have | stats.title_words) > 0
    return block.box.tag == "h1" or alike


def is_read_more(stats: PageStats, i: int) -> bool:
    """Return True for a short block that has a link and begins with a read-more phrase."""
    block = stats.blocks[i]
    return len(block.words) <= MAX_SHORT_WORDS and block.links > 0 and _READ_MORE.search(block.text) is not None


def _is_only_link(stats: PageStats, i: int) -> bool:
    return stats.link_share[i] >= MIN_ALL_LINK_SHARE and stats.own.words[i] in LINK_WORDS


def _is_in_link_run(stats: PageStats, i: int) -> bool:
    """Return True for one of several adjacent blocks that are mostly link."""
    beside = [j for j in (i - 1, i + 1) if 0 <= j < len(stats.blocks)]
    return stats.link_share[i] >= HALF and any(stats.link_share[j] >= HALF for j in beside)


def _is_newsletter(stats: PageStats, i: int) -> bool:
    words = stats.own.words[i]
    return (words <= MAX_SHORT_WORDS and _SIGN_UP.search(stats.blocks[i].text) is not None) or (
        words <= MAX_PROMPT_WORDS and _has_group(stats, i, "newsletter")
    )


def _is_byline(stats: PageStats, i: int) -> bool:
    block = stats.blocks[i]
    return len(block.words) <= MAX_SHORT_WORDS and (
        _has_group(stats, i, "byline") or (len(block.words) <= 8 and _BYLINE.search(block.text) is not None)
    )


def _is_caption(stats: PageStats, i: int) -> bool:
    tags = {box.tag for box in stats.blocks[i].box.ancestors()}
    return bool(tags & CAPTION_TAGS) or ("figure" in tags and _has_group(stats, i, "caption"))


def _is_repeated(stats: PageStats, i: int) -> bool:
    """Return True for a block of at least four words whose exact words occur earlier on the page."""
    words = stats.blocks[i].words
    return len(words) >= 4 and stats.find_first(words) < i


def is_in_comments(stats: PageStats, i: int) -> bool:
    """Return True if a box around block i, inside its part of the page, has a name for comments or replies."""
    return bool(stats.find_apart_bits(stats.blocks[i].box) & COMMENTS_BIT)


def is_beside_text(stats: PageStats, i: int) -> bool:
    """Return True if block i is in an element for secondary content (HTML standard, section 4.3), inside its part of the page."""
    return bool(stats.find_apart_bits(stats.blocks[i].box) & BESIDE_BIT)


def _has_group(stats: PageStats, i: int, group: str) -> bool:
    """Return True if the block's box or its parent has a name in this group of class words."""
    box = stats.blocks[i].box
    return any(stats.find_group_bits(near) & _GROUP_BITS[group] for near in (box, box.parent) if near is not None)


RULES: dict[str, Callable[[PageStats, int], bool]] = {
    HEADLINE_REPEATED: _is_headline_repeated,
    "read-more line": is_read_more,
    "nothing but a link": _is_only_link,
    "run of links": _is_in_link_run,
    "newsletter or sign-up box": _is_newsletter,
    "byline": _is_byline,
    "caption": _is_caption,
    "repeated on this page": _is_repeated,
}
# A class explains a decision but does not make it: as rules these lost as much F1 as they gained.
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
