"""What the spelling of a URL alone says: an article, a trap, or something else. Takes URLs in normal form."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def is_trap(url: str) -> bool:
    """Whether following such addresses may never end: very long, very deep, or path segments that repeat (/a/b/a/b)."""
    if len(url) > 2_000:  # the longest address old browsers and sitemaps allow (2,048)
        return True
    segments = [s for s in urlsplit(url).path.split("/") if s]
    return len(segments) > 14 or any(segments.count(s) > 3 for s in set(segments))


def looks_like_article(url: str) -> bool:
    """Whether the address alone looks like an article's."""
    path = urlsplit(url).path
    slug = path.rstrip("/").rpartition("/")[2]
    return slug.count("-") >= 3 or re.search(r"\d{5,}|/\d{4}/\d{1,2}/", path) is not None
