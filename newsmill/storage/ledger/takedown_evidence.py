"""What a takedown remembers of a removed text: enough to recognise the article, not enough to read it. Pure.

A page may name a barred URL as its canonical one by mistake, because its template names one URL for all articles. It is the removed article
if it has a title of the article, or if its text agrees with one of its texts. Kept are hashes of titles and fingerprints of texts, so that
nobody can read them. Who knows a title can confirm it; the barred URL mostly has its words. A page at any other URL of the site is compared
as well, and must agree with the text at more points.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from newsmill.model import Document
from newsmill.similarity import near_duplicates

# Of the 18 points of a fingerprint: at a similarity of 0.5, one edited copy in 1,500 agrees at fewer, at 0.3 one in 17. Texts that share
# one of twenty paragraphs agree at three in one of 100 cases, unrelated texts (1 / 1,024 at each point) in one of a million.
MIN_AGREEING_POINTS = 3

# At any other URL of the site, half of the points must agree, or 13 if the titles differ: articles of a series have one title, and share a
# beginning and phrases. Of pairs of texts at a similarity of 0.2, one in 240 agrees at nine points, and at 0.5 one in 20 at 13.
# Of copies at 0.7, one in 50 agrees at fewer than nine, and of copies at 0.9, one in 150 at fewer than 13.
MIN_POINTS_OF_TITLE = 9
MIN_POINTS_OF_SITE = 13

Evidence = dict[str, Any]  # {"titles": [hash, …], "texts": [[number, …], …]}, as JSON keeps it


def make_evidence(versions: Iterable[tuple[str | None, str]], site_name: str | None) -> Evidence | None:
    """The evidence of the versions (title, text) of an article, the current one first.

    None if the current text is too short for a fingerprint: then nothing tells a page that names the URL from the article.
    """
    known = [(_hash_title(title, site_name), near_duplicates.fingerprint(text)) for title, text in versions]
    if not known or known[0][1] is None:
        return None
    titles = dict.fromkeys(title for title, _ in known if title is not None)
    texts = dict.fromkeys(text for _, text in known if text is not None)
    return {"titles": [*titles], "texts": [[*text] for text in texts]}


def merge_evidence(one: Evidence | None, other: Evidence | None) -> Evidence | None:
    """The evidence of two articles with one barred URL; None if that of either is None."""
    if one is None or other is None:
        return None
    titles = dict.fromkeys((*one["titles"], *other["titles"]))
    texts = dict.fromkeys(tuple(text) for evidence in (one, other) for text in evidence["texts"])
    return {"titles": [*titles], "texts": [[*text] for text in texts]}


def shows_removed_article(document: Document, evidence: Evidence | None) -> bool:
    """Whether a page that names a barred URL is the removed article. Without evidence it counts as that."""
    if evidence is None or _hash_title(document.title, document.site_name) in evidence["titles"]:
        return True
    text = near_duplicates.fingerprint(document.text)
    known = [tuple(one) for one in evidence["texts"]]
    return text is not None and any(near_duplicates.count_agreeing_points(text, one) >= MIN_AGREEING_POINTS for one in known)


def list_marks(evidence: Evidence) -> list[str]:
    """What the evidence of two versions of one article nearly always has in common: a title, or a band of a fingerprint."""
    bands = {f"band {number} {band}" for text in evidence["texts"] for number, band in enumerate(text)}
    return [*(f"title {title}" for title in evidence["titles"]), *sorted(bands)]


def repeats_removed_article(page: Evidence, removed: Evidence) -> bool:
    """Whether a page at any URL of the site is the removed article, by the evidence of both."""
    is_titled = not set(page["titles"]).isdisjoint(removed["titles"])
    agreeing = [near_duplicates.count_agreeing_points(tuple(one), tuple(other)) for one in page["texts"] for other in removed["texts"]]
    return max(agreeing, default=0) >= (MIN_POINTS_OF_TITLE if is_titled else MIN_POINTS_OF_SITE)


def _hash_title(title: str | None, site_name: str | None) -> str | None:
    """The hash of the words of a title; None for one without words, and for the name of the site, which all its articles may have."""
    words = near_duplicates.split_words(title or "")
    if not words or words == near_duplicates.split_words(site_name or ""):
        return None
    return blake2b(" ".join(words).encode(), digest_size=16).hexdigest()
