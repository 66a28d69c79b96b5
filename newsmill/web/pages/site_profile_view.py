"""What was learnt of a source's site, with examples, for its page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from newsmill import urls
from newsmill.extraction.site_profile import apply_profile, fast_path, field_positions
from newsmill.model import ArticleNorm, Profile
from newsmill.storage.profiles import Profiles
from newsmill.storage.statistics import SourceStatistics

MAX_EXAMPLES = 12  # of a kind


@dataclass(frozen=True, slots=True)
class Example:
    """A line or a place; digits are masked as 0. `pages`: of the profile's pages it stands on."""

    text: str
    place: str | None
    pages: int


@dataclass(frozen=True, slots=True)
class SiteProfileView:
    """The newest version of a profile. `lines` it removes, `paths` that never hold text, `body` where the text stands."""

    site: str
    version: int
    pages: int
    fit: float | None
    at: datetime
    lines: tuple[Example, ...]
    paths: tuple[Example, ...]
    body: tuple[Example, ...]
    fields: tuple[tuple[str, Example], ...]  # where title, authors or date stand
    norm: ArticleNorm | None
    is_fast: bool  # its pages are read by their places alone


def describe_profile(profiles: Profiles, fare: SourceStatistics) -> SiteProfileView | None:
    """Of the site of the source's newest document, else of its homepage; None where nothing is known yet."""
    address = fare.last.url if fare.last else fare.source.homepage
    site = urls.get_profile_site(address) if address else ""
    note, profile = profiles.newest(site), profiles.latest(site)
    if note is None or profile is None:
        return None
    return SiteProfileView(
        site,
        note.version,
        profile.pages,
        profile.fit,
        note.created_at,
        tuple(most_frequent(_lines(profile))),
        tuple(most_frequent(_paths(profile))),
        tuple(most_frequent(_body(profile))[:5]),
        tuple(_fields(profile)),
        profile.norm,
        fast_path.is_proven(profile),
    )


def most_frequent(examples: Iterator[Example]) -> list[Example]:
    """Those on the most pages."""
    return sorted(examples, key=lambda one: (-one.pages, one.text))[:MAX_EXAMPLES]


def _lines(profile: Profile) -> Iterator[Example]:
    for key in apply_profile.find_removed_lines(profile):
        place, mark, line = key.partition(" | ")
        if mark:
            yield Example(line, place, profile.lines[key].pages)


def _paths(profile: Profile) -> Iterator[Example]:
    for path, seen in profile.paths.items():
        if apply_profile.find_path_reason(profile, path):
            yield Example(path, None, seen.pages)


def _body(profile: Profile) -> Iterator[Example]:
    for path, seen in profile.paths.items():
        if seen.kept > 1 and 2 * seen.kept_words > seen.words:
            yield Example(path, None, seen.kept)


def _fields(profile: Profile) -> Iterator[tuple[str, Example]]:
    for name, seen in profile.fields.items():
        place = field_positions.find_proven_position(profile, name)
        if place is not None:
            yield name, Example(place, None, seen[place].agreed)
