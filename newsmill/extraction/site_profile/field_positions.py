"""Positions of article fields on a site's pages, learned from extracted fields and used if a page's own data is insufficient.

A position is the path of a block. It is proven if its first block matches the field on at least 90 % of at least 20 pages.
A proven position supplies the field if the page's data lacks it.
It also overrides a guessed date, and a title from the page's data.
The functions have no side effects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from newsmill.extraction.metadata.authors import classify_author, classify_byline, split_names
from newsmill.extraction.metadata.date_parsers import MAX_AHEAD, find_written_dates, parse_timestamp
from newsmill.extraction.metadata.fields import Fields
from newsmill.extraction.metadata.titles import split_title_words
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.site_profile.site_keys import make_path_key
from newsmill.model import Author, AuthorType, Block, FieldStats, Profile

SOURCE = "profile"
MAX_POSITIONS = 3  # positions stored per field
MIN_POSITION_PAGES = 20  # pages that a proven position must be on
MIN_POSITION_AGREEMENT = 0.9  # share of these pages on which the position must match the field
MAX_FIELD_CHARACTERS = 300  # characters of a block that may be a field
# Sources of a date that a proven position overrides, because the page does not state them for machines.
GUESSED_SOURCES = frozenset(("dom", "url", "text", "feed"))

FieldSample = tuple[Sequence[Block], str | None, tuple[Author, ...], str | None]  # blocks, title, authors, day of publication
IsField = Callable[[str], bool]


def learn_positions(pages: Sequence[FieldSample]) -> dict[str, dict[str, FieldStats]]:
    """Return for each field its best positions, those that matched most often first. Fields without a position are left out."""
    seen: dict[str, dict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in ("title", "authors", "published_at")}
    for blocks, title, authors, day in pages:
        first = find_first_texts(blocks)
        for name, is_field in _list_checks(title, authors, day):
            for path, text in first.items():
                count = seen[name][path]
                count[0] += 1
                count[1] += is_field(text)
    return {name: best for name, counts in seen.items() if (best := _select_best(counts))}


def find_first_texts(blocks: Sequence[Block]) -> dict[str, str]:
    """Return the text of the first short block at every position, by path key."""
    first: dict[str, str] = {}
    for block in blocks:
        if block.path and len(block.text) <= MAX_FIELD_CHARACTERS:
            first.setdefault(make_path_key(block.path), block.text)
    return first


def _list_checks(title: str | None, authors: tuple[Author, ...], day: str | None) -> Iterable[tuple[str, IsField]]:
    """Yield for each field that the page has: its name, and a function that returns whether a text matches it."""
    if title is not None:
        wanted = split_title_words(title)
        yield "title", lambda text: split_title_words(text) == wanted
    if authors:
        names = {author.name.casefold() for author in authors}
        any_name = min(names)
        yield "authors", lambda text: any_name in text.casefold() and {name.casefold() for name in split_names(text)} == names
    if day is not None:
        yield "published_at", lambda text: classify_byline(text, (), day) == "dateline"


def _select_best(counts: Mapping[str, list[int]]) -> dict[str, FieldStats]:
    agreed = sorted(
        ((path, FieldStats(*pair)) for path, pair in counts.items() if pair[1] > 1), key=lambda item: (-item[1].agreed, item[0])
    )
    return dict(agreed[:MAX_POSITIONS])


def find_proven_position(profile: Profile, field: str) -> str | None:
    """Return the path key of the field's proven position, or None."""
    places = profile.fields.get(field, {})
    return next(
        (path for path, seen in places.items() if seen.pages >= MIN_POSITION_PAGES and seen.agreed >= MIN_POSITION_AGREEMENT * seen.pages),
        None,
    )


def apply_positions(profile: Profile, blocks: Sequence[Block], found: Fields, now: datetime) -> Fields:
    """Return the fields with values from the site's proven positions, if the page's data lacks a field or is its only source.

    `now` is the time of the fetch, the upper limit for dates.
    """
    first = find_first_texts(blocks) if profile.fields else {}
    for field, read in (("title", _apply_title), ("authors", _apply_authors), ("published_at", _apply_published)):
        place = find_proven_position(profile, field)
        if place is not None and place in first:
            found = read(first[place], found, now)
    return found


def _apply_title(text: str, found: Fields, now: datetime) -> Fields:
    if not split_title_words(text) or split_title_words(text) == split_title_words(found.title or ""):
        return found
    return replace(found, title=normalise_line(text), provenance={**found.provenance, "title": SOURCE})


def _apply_authors(text: str, found: Fields, now: datetime) -> Fields:
    """Replace the authors if the page's data names none or only an organisation."""
    if any(author.type is AuthorType.PERSON for author in found.authors):
        return found
    people = tuple(Author(name, classify_author(name)) for name in split_names(text))
    return replace(found, authors=people, provenance={**found.provenance, "authors": SOURCE}) if people else found


def _apply_published(text: str, found: Fields, now: datetime) -> Fields:
    """Replace the day of publication if the page does not state one for machines."""
    if found.published is not None and found.published.source not in GUESSED_SOURCES:
        return found
    written = next(iter(find_written_dates(text, found.language)), None)
    moment = parse_timestamp(written.days[0], SOURCE, now + MAX_AHEAD) if written is not None and len(written.days) == 1 else None
    if moment is None or (found.published is not None and found.published.day == moment.day):
        return found
    return replace(found, published=moment, provenance={**found.provenance, "published_at": SOURCE})
