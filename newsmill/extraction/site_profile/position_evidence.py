"""What a site profile tells about a position: whether it holds text, and how sure that is.

A position is the path of a block. Positions count from 20 pages on.
"""

from __future__ import annotations

from collections.abc import Iterable

from newsmill.extraction.body.blocks import HEADING_TAGS, LINK_SIGN
from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile.site_keys import make_line_key, make_path_key
from newsmill.model import Block, PathStats, Profile
from newsmill.text.sentences import cached_sentence

NEVER_TEXT = "this position is on {n} of {of} pages of this site and never part of the text"
TEASER_LINK = "a link stands at this position on {n} of {of} pages of this site"
YOUNG_PAGES = 5  # pages; a profile of fewer removes only short repeated lines at the end
MATURE_PAGES = 20  # pages; from here on paths count too, and one section suffices for lines that repeat inside the text
MIN_COMMON_SHARE = 0.5  # share of the pages that a short line which repeats inside the text must be on
MIN_KNOWN_PAGES = 5  # pages; a position on fewer gives no evidence
# Share of a position's words with the less common decision (text or not).
# Above it, the path cannot tell which of its blocks are text.
MAX_MIXED_SHARE = 0.15
MIN_SURE_PAGES = 3  # pages; a position on fewer does not restore blocks that a page's own extraction removes
MIN_SURE_SHARE = 0.97  # share of a position's words that were text, from which all of them are
# A page is strange if more of its text is at doubtful positions than this share and this number of words.
MAX_STRANGE_SHARE = 0.05
MAX_STRANGE_WORDS = 25
MAX_LINKED_SHARE = 0.15  # share of a site's words; if a link position has more of them, its links are part of the text


def find_path_reason(profile: Profile, path: str | None) -> str | None:
    """Return why the path alone removes a kept block, or None.

    The path must be on many pages and in more than one section, and must never hold text or always hold a link.
    """
    seen = profile.paths.get(make_path_key(path)) if path else None
    if path is None or seen is None or profile.pages < MATURE_PAGES or seen.pages < MIN_COMMON_SHARE * profile.pages:
        return None
    if seen.sections < 2:  # another section may have its text at this position
        return None
    if not seen.kept_words:
        return cached_sentence(NEVER_TEXT, n=seen.pages, of=profile.pages)
    return cached_sentence(TEASER_LINK, n=seen.pages, of=profile.pages) if _is_teaser_link(profile, path, seen) else None


def is_removed_position(profile: Profile, path: str | None) -> bool:
    """Return whether blocks at this position are removed because they are never text or always a link to another article."""
    return find_path_reason(profile, path) is not None


def _is_teaser_link(profile: Profile, path: str, seen: PathStats) -> bool:
    """Return whether the links at this position lead to other articles. A sentence of the text is a link only on some pages.

    Headings are exempt (a guide links what it compares), and so are sites whose text has many links.
    """
    *_, box, last = ("", *path.split("/"))
    if last != LINK_SIGN or box.split(".")[0] in HEADING_TAGS or profile.norm is None:
        return False
    return seen.kept_words <= MAX_LINKED_SHARE * profile.norm.median * profile.pages


def holds_text(seen: PathStats | None) -> bool | None:
    """Return whether most of a position's words were text, or None if it was on fewer than MIN_KNOWN_PAGES (MIN_SURE_PAGES if all were)."""
    if seen is None or not seen.words or (seen.pages < MIN_KNOWN_PAGES and (seen.pages < MIN_SURE_PAGES or seen.kept_words < seen.words)):
        return None
    return 2 * seen.kept_words > seen.words


def is_sure_text(profile: Profile, path: str, text: str) -> bool:
    """Return whether a block is text regardless of its own page.

    Nearly all words at its position were text, and none of its lines recurs on the site.
    The caller uses it only for profiles of at least MATURE_PAGES pages: other profiles have not corrected the block model's decisions.
    """
    seen = profile.paths.get(make_path_key(path))
    if seen is None or seen.pages < MIN_SURE_PAGES or seen.kept_words < MIN_SURE_SHARE * seen.words:
        return False
    return not any(make_line_key(path, line) in profile.lines for line in text.split("\n"))


def measure_doubt(seen: PathStats | None) -> float:
    """Return how little a position says about its blocks: 0 if nearly all or none of its words were text, 1 if it is unknown or half were.

    The value is twice the share of words with the less common decision.
    The profile is wrong about that share, and the factor 2 allows for errors that affect whole blocks.
    """
    if seen is None or holds_text(seen) is None:
        return 1.0
    other = min(seen.kept_words, seen.words - seen.kept_words) / seen.words
    return 2 * other if other > MAX_MIXED_SHARE else 0.0


def is_strange(doubtful: float, text: float) -> bool:
    """Return whether a page needs full extraction.

    `doubtful` is the number of words at doubtful positions, weighted by `measure_doubt`. `text` is the number of words of text.
    """
    return doubtful > max(MAX_STRANGE_WORDS, MAX_STRANGE_SHARE * text)


def count_kept_words(blocks: Iterable[Block]) -> int:
    """Return the number of words in kept blocks."""
    return sum(count_line_words(block.text) for block in blocks if block.kept)
