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
from newsmill.extraction.metadata.person_names import names_of, type_of
from newsmill.extraction.metadata.timestamps import TOLERANCE, read_moment
from newsmill.extraction.metadata.titles import words
from newsmill.extraction.metadata.written_dates import find_written_dates
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.site_profile.site_keys import path_key
from newsmill.model import Author, AuthorType, Block, FieldStats, Profile

SOURCE = "profile"
MOST = 3  # places remembered of a field
ENOUGH = 20  # pages that must have shown a place
SURE = 0.9  # of them, on which it said what the field said
LONGEST = 300  # characters of a block that may be a field
GUESSES = frozenset(("dom", "url", "text", "feed"))  # sources of a date that a proven place overrules: nobody stated it for machines

Learnt = tuple[Sequence[Block], str | None, tuple[Author, ...], str | None]  # blocks, title, authors, day of publication
Says = Callable[[str], bool]


def learn(pages: Sequence[Learnt]) -> dict[str, dict[str, FieldStats]]:
    """For each field its best places, those that agreed most often first."""
    seen: dict[str, dict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in ("title", "authors", "published_at")}
    for blocks, title, authors, day in pages:
        first = first_at(blocks)
        for name, says in _questions(title, authors, day):
            for path, text in first.items():
                count = seen[name][path]
                count[0] += 1
                count[1] += says(text)
    return {name: best for name, counts in seen.items() if (best := _best(counts))}


def first_at(blocks: Sequence[Block]) -> dict[str, str]:
    """The first short block of every place."""
    first: dict[str, str] = {}
    for block in blocks:
        if block.path and len(block.text) <= LONGEST:
            first.setdefault(path_key(block.path), block.text)
    return first


def _questions(title: str | None, authors: tuple[Author, ...], day: str | None) -> Iterable[tuple[str, Says]]:
    """For each field the page has: whether a text says it."""
    if title is not None:
        wanted = words(title)
        yield "title", lambda text: words(text) == wanted
    if authors:
        people = {author.name.casefold() for author in authors}
        one = min(people)
        yield "authors", lambda text: one in text.casefold() and {name.casefold() for name in names_of(text)} == people
    if day is not None:
        yield "published_at", lambda text: text_bylines.name_of(text, (), day) == "dateline"


def _best(counts: Mapping[str, list[int]]) -> dict[str, FieldStats]:
    agreed = sorted(
        ((path, FieldStats(*pair)) for path, pair in counts.items() if pair[1] > 1), key=lambda item: (-item[1].agreed, item[0])
    )
    return dict(agreed[:MOST])


def proven(profile: Profile, field: str) -> str | None:
    """The place of a field, where one is known for sure."""
    places = profile.fields.get(field, {})
    return next((path for path, seen in places.items() if seen.pages >= ENOUGH and seen.agreed >= SURE * seen.pages), None)


def vote(profile: Profile, blocks: Sequence[Block], found: Fields, now: datetime) -> Fields:
    """The fields, with what the site's own places say where the page's data are silent or stand alone. `now`: when it was fetched."""
    first = first_at(blocks) if profile.fields else {}
    for field, read in (("title", _title), ("authors", _authors), ("published_at", _published)):
        place = proven(profile, field)
        if place is not None and place in first:
            found = read(first[place], found, now)
    return found


def _title(text: str, found: Fields, now: datetime) -> Fields:
    if not words(text) or words(text) == words(found.title or ""):
        return found
    return replace(found, title=normalise_line(text), provenance={**found.provenance, "title": SOURCE})


def _authors(text: str, found: Fields, now: datetime) -> Fields:
    """Names where the page's data give none, or only an organisation."""
    if any(author.type is AuthorType.PERSON for author in found.authors):
        return found
    people = tuple(Author(name, type_of(name)) for name in names_of(text))
    return replace(found, authors=people, provenance={**found.provenance, "authors": SOURCE}) if people else found


def _published(text: str, found: Fields, now: datetime) -> Fields:
    """A day where the page states none for machines."""
    if found.published is not None and found.published.source not in GUESSES:
        return found
    written = next(iter(find_written_dates(text, found.language)), None)
    moment = read_moment(written.days[0], SOURCE, now + TOLERANCE) if written is not None and len(written.days) == 1 else None
    if moment is None or (found.published is not None and found.published.day == moment.day):
        return found
    return replace(found, published=moment, provenance={**found.provenance, "published_at": SOURCE})
