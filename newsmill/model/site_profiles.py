"""Site profiles: what the pages of one site have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LineStats:
    """The number of pages of a profile that contain a line. Digits in the line are masked."""

    pages: int
    kept: int  # of these, pages where it is part of the text
    ending: int  # of these, pages where it is one of the last lines of the text
    sections: int  # sections of the site, by the first part of the URL path


@dataclass(frozen=True, slots=True)
class PathStats:
    """The text under one block path on a profile's pages."""

    pages: int
    kept: int  # of these, pages where most of its words are part of the text
    words: int
    kept_words: int
    sections: int


POSITION_FIELDS = ("title", "authors", "published_at")  # of a document, whose positions a profile may contain


@dataclass(frozen=True, slots=True)
class FieldStats:
    """The number of pages on which the element at a path has the value of a document field."""

    pages: int  # pages that have the element and the field
    agreed: int  # of these, pages where both have the same value


@dataclass(frozen=True, slots=True)
class ArticleNorm:
    """The typical article of a site: words of its text, and the number of the profile's pages with a title and with a date."""

    fewest: int
    median: int
    most: int
    titled: int
    dated: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Statistics of the pages of a site. `extraction.site_profile` decides how extraction uses them."""

    site: str  # host without "www."
    pages: int  # pages from which it was learned, without copies
    sections: int
    lines: Mapping[str, LineStats] = field(default_factory=dict)  # by site_profile.site_keys.make_line_key; lines on two pages or more
    paths: Mapping[str, PathStats] = field(default_factory=dict)
    fit: float | None = None  # mean fit of the pages of the profile, 0 to 1
    version: int = 0  # the store assigns it; 0 before
    since: datetime | None = None  # pages fetched before this time have an older layout; None: all pages have this layout
    fields: Mapping[str, Mapping[str, FieldStats]] = field(default_factory=dict)  # one of POSITION_FIELDS → path → statistics
    norm: ArticleNorm | None = None
    pathless: int | None = None  # pages whose text has no paths, because it is in a script; None: not counted
    reach: float | None = None  # share of its pages with text that the fast path finds, each with a profile of the other pages
    agreement: float | None = None  # mean F1 over words between the fast and the full path on these pages
    fast: bool = True  # False: the paths disagreed on later pages, so all pages take the full path
    site_tags: tuple[str, ...] = ()  # keywords in <meta> that nearly all pages have alike, so that they are not tags of an article
    looked_at: int = 0  # documents of the site at the last learning or check; the store updates it, like `fast`
