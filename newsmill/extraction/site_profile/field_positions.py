"""Where the fields of a site's articles stand on its pages: learnt from the fields that were found, used where a page's own data fail.

A place is the path of a block. It is proven when on nearly every page of many the first block there says what the field says; then it
speaks where the page's data are silent, and against a guess or a headline that only this page's data give. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from newsmill.extraction.metadata import text_bylines
from newsmill.extraction.metadata.fields import Fields
from newsmill.extraction.metadata.person_names import classify_author, split_names
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, parse_timestamp
from newsmill.extraction.metadata.titles import split_title_words
from newsmill.extraction.metadata.written_dates import find_written_dates
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.site_profile.site_keys import make_path_key
from newsmill.model import Author, AuthorType, Block, FieldStats, Profile

SOURCE = "profile"
MAX_POSITIONS = 3  # places remembered of a field
MIN_POSITION_PAGES = 20  # pages that must have shown a place
MIN_POSITION_AGREEMENT = 0.9  # of them, on which it said what the field said
MAX_FIELD_CHARACTERS = 300  # characters of a block that may be a field
GUESSED_SOURCES = frozenset(
    ("dom", "url", "text", "feed")
)  # sources of a date that a proven place overrules: nobody stated it for machines

FieldSample = tuple[Sequence[Block], str | None, tuple[Author, ...], str | None]  # blocks, title, authors, day of publication
IsField = Callable[[str], bool]


def learn_positions(pages: Sequence[FieldSample]) -> dict[str, dict[str, FieldStats]]:
    """For each field its best places, those that agreed most often first."""
    seen: dict[str, dict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in ("title", "authors", "published_at")}
    for blocks, title, authors, day in pages:
        first = find_first_texts(blocks)
        for name, says in _list_checks(title, authors, day):
            for path, text in first.items():
                count = seen[name][path]
                count[0] += 1
                count[1] += says(text)
    return {name: best for name, counts in seen.items() if (best := _select_best(counts))}


def find_first_texts(blocks: Sequence[Block]) -> dict[str, str]:
    """The first short block of every place."""
    first: dict[str, str] = {}
    for block in blocks:
        if block.path and len(block.text) <= MAX_FIELD_CHARACTERS:
            first.setdefault(make_path_key(block.path), block.text)
    return first


def _list_checks(title: str | None, authors: tuple[Author, ...], day: str | None) -> Iterable[tuple[str, IsField]]:
    """For each field the page has: whether a text says it."""
    if title is not None:
        wanted = split_title_words(title)
        yield "title", lambda text: split_title_words(text) == wanted
    if authors:
        people = {author.name.casefold() for author in authors}
        one = min(people)
        yield "authors", lambda text: one in text.casefold() and {name.casefold() for name in split_names(text)} == people
    if day is not None:
        yield "published_at", lambda text: text_bylines.classify_byline(text, (), day) == "dateline"


def _select_best(counts: Mapping[str, list[int]]) -> dict[str, FieldStats]:
    agreed = sorted(
        ((path, FieldStats(*pair)) for path, pair in counts.items() if pair[1] > 1), key=lambda item: (-item[1].agreed, item[0])
    )
    return dict(agreed[:MAX_POSITIONS])


def find_proven_position(profile: Profile, field: str) -> str | None:
    """The place of a field, where one is known for sure."""
    places = profile.fields.get(field, {})
    return next(
        (path for path, seen in places.items() if seen.pages >= MIN_POSITION_PAGES and seen.agreed >= MIN_POSITION_AGREEMENT * seen.pages),
        None,
    )


def apply_positions(profile: Profile, blocks: Sequence[Block], found: Fields, now: datetime) -> Fields:
    """The fields, with what the site's own places say where the page's data are silent or stand alone. `now`: when it was fetched."""
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
    """Names where the page's data give none, or only an organisation."""
    if any(author.type is AuthorType.PERSON for author in found.authors):
        return found
    people = tuple(Author(name, classify_author(name)) for name in split_names(text))
    return replace(found, authors=people, provenance={**found.provenance, "authors": SOURCE}) if people else found


def _apply_published(text: str, found: Fields, now: datetime) -> Fields:
    """A day where the page states none for machines."""
    if found.published is not None and found.published.source not in GUESSED_SOURCES:
        return found
    written = next(iter(find_written_dates(text, found.language)), None)
    moment = parse_timestamp(written.days[0], SOURCE, now + MAX_AHEAD) if written is not None and len(written.days) == 1 else None
    if moment is None or (found.published is not None and found.published.day == moment.day):
        return found
    return replace(found, published=moment, provenance={**found.provenance, "published_at": SOURCE})
