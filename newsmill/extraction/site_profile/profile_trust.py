"""When a profile is proven, outdated, mistrusted or due to be learned again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from statistics import median

from newsmill.extraction.normalise import count_line_words
from newsmill.extraction.site_profile.apply_profile import apply, find_removed_lines
from newsmill.extraction.site_profile.position_evidence import MATURE_PAGES, YOUNG_PAGES
from newsmill.extraction.site_profile.site_keys import make_path_key
from newsmill.model import Block, Profile

MIN_REACH = 0.5  # share of the profile's pages on which paths alone must find the text
MIN_AGREEMENT = 0.97  # mean F1 over words against full extraction on these pages
MIN_FIT = 0.9  # share of the words of the profile's pages at positions with text on another page


def is_proven(profile: Profile | None) -> bool:
    """Return whether the profile may extract pages without full extraction."""
    if profile is None or not profile.fast or profile.pages < MATURE_PAGES or profile.norm is None:
        return False
    return (profile.reach or 0.0) >= MIN_REACH and (profile.agreement or 0.0) >= MIN_AGREEMENT and (profile.fit or 0.0) >= MIN_FIT


MIN_RECENT_PAGES = 5  # pages; the minimum to report a changed layout


def measure_fit(profile: Profile, blocks: Iterable[Block]) -> float:
    """Return the share, 0 to 1, of a page's kept words at positions with text on another page of the profile.

    A text in a script has no positions. Its share is 1 if another page of the profile had such a text too, else 0.
    """
    known = total = 0
    blocks = tuple(blocks)
    for block in blocks:
        if block.kept and block.path:
            size = count_line_words(block.text)
            seen = profile.paths.get(make_path_key(block.path))
            known += size * (seen is not None and seen.kept > 1)
            total += size
    if total:
        return known / total
    is_known = profile.pathless is None or profile.pathless > 1
    return 1.0 if is_known or not any(block.kept for block in blocks) else 0.0


def has_layout_changed(profile: Profile, fits: Collection[float]) -> bool:
    """Return True if most of the recent pages (`fits`: their `measure_fit`) have their text where the profile's own pages have none."""
    return len(fits) >= MIN_RECENT_PAGES and median(fits) < 0.5 * (profile.fit or 0.0)


LEARNING_STEPS = (5, 20, 60)  # documents at which a site is learned; later, each time their number triples


MIN_PAGE_GROWTH = 1.5  # growth factor of the number of pages


def is_learning_due(documents: int, learned_at: int) -> bool:
    """Return whether to learn a site with `documents` documents again. `learned_at` is their number at the last learning (0: never)."""
    next_step = next((step for step in LEARNING_STEPS if step > learned_at), 3 * learned_at)
    return documents >= next_step


def is_improvement(old: Profile | None, new: Profile) -> bool:
    """Return whether `new` deserves a version: it treats pages differently from `old`, or knows the site's positions much better."""
    if old is None or (old.pages < YOUNG_PAGES <= new.pages) or (old.pages < MATURE_PAGES <= new.pages):
        return True
    # A position on every tenth page is on too few of 20 pages (MIN_KNOWN_PAGES) and causes full extraction.
    if new.pages >= MIN_PAGE_GROWTH * old.pages:
        return True
    return old.site_tags != new.site_tags or bool(find_removed_lines(old) ^ find_removed_lines(new))


MAX_UNPROVEN_DISAGREEMENTS = 3  # disagreements that do not count as evidence
MAX_DISAGREEMENT_SHARE = 0.15  # share of the pages extracted on both paths; above it, the site returns to full extraction


def is_mistrusted(agreed: int, disagreed: int) -> bool:
    """Return whether fast path and full extraction disagreed on too many pages. The site then uses full extraction until relearned."""
    return disagreed > MAX_UNPROVEN_DISAGREEMENTS and disagreed > MAX_DISAGREEMENT_SHARE * (agreed + disagreed)


def keeps_document(old: Profile | None, new: Profile, blocks: Sequence[Block]) -> bool:
    """Return whether a document with these kept blocks, cleaned with `old`, would keep every line under `new`.

    The result is False if `new` keeps lines that `old` removed, because the kept blocks do not show where these were.
    """
    if old is not None and find_removed_lines(old) - find_removed_lines(new):
        return False
    return all(block.kept for block in apply(new, blocks))
