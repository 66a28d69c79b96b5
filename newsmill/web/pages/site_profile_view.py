"""The site profile of a source, with examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from newsmill.extraction.site_profile import apply_profile, field_positions, position_evidence, profile_trust
from newsmill.model import ArticleNorm, Profile
from newsmill.storage.profiles import Profiles
from newsmill.storage.statistics import SourceStatistics
from newsmill.text import urls

MAX_EXAMPLES = 12  # of each kind
MAX_BODY_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A line with its path, or a path; digits are masked as 0."""

    text: str
    path: str | None
    pages: int  # of the profile's pages, those that have it


@dataclass(frozen=True, slots=True)
class SiteProfileView:
    """The newest version of a profile."""

    site: str
    version: int
    pages: int
    fit: float | None
    at: datetime
    lines: tuple[Example, ...]  # that are removed
    paths: tuple[Example, ...]  # that never hold article text
    body: tuple[Example, ...]  # paths of article text
    fields: tuple[tuple[str, Example], ...]  # paths of title, authors or date
    norm: ArticleNorm | None
    is_fast: bool  # pages are extracted by known paths only


def describe_profile(profiles: Profiles, statistics: SourceStatistics) -> SiteProfileView | None:
    """The profile for the site of the source's newest document, else of its homepage; None before one is learned."""
    url = statistics.last.url if statistics.last else statistics.source.homepage
    site = urls.get_profile_site(url) if url else ""
    version, profile = profiles.newest(site), profiles.latest(site)
    if version is None or profile is None:
        return None
    return SiteProfileView(
        site=site,
        version=version.version,
        pages=profile.pages,
        fit=profile.fit,
        at=version.created_at,
        lines=most_frequent(_lines(profile)),
        paths=most_frequent(_paths(profile)),
        body=most_frequent(_body(profile))[:MAX_BODY_EXAMPLES],
        fields=tuple(_fields(profile)),
        norm=profile.norm,
        is_fast=profile_trust.is_proven(profile),
    )


def most_frequent(examples: Iterator[Example]) -> tuple[Example, ...]:
    """The examples on the most pages."""
    return tuple(sorted(examples, key=lambda one: (-one.pages, one.text))[:MAX_EXAMPLES])


def _lines(profile: Profile) -> Iterator[Example]:
    for key in apply_profile.find_removed_lines(profile):
        path, separator, line = key.partition(" | ")
        if separator:
            yield Example(line, path, profile.lines[key].pages)


def _paths(profile: Profile) -> Iterator[Example]:
    for path, counts in profile.paths.items():
        if position_evidence.find_path_reason(profile, path):
            yield Example(path, None, counts.pages)


def _body(profile: Profile) -> Iterator[Example]:
    for path, counts in profile.paths.items():
        if counts.kept > 1 and 2 * counts.kept_words > counts.words:
            yield Example(path, None, counts.kept)


def _fields(profile: Profile) -> Iterator[tuple[str, Example]]:
    for name, counts in profile.fields.items():
        path = field_positions.find_field_position(profile, name)
        if path is not None:
            yield name, Example(path, None, counts[path].agreed)
