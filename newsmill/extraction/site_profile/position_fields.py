"""Fields from the positions at which a site's pages have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from newsmill.extraction.metadata import author_names, titles
from newsmill.extraction.metadata.fields import Fields
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, parse_timestamp
from newsmill.extraction.metadata.written_dates import find_written_dates
from newsmill.extraction.normalise import normalise_line
from newsmill.model import Author, AuthorType

SOURCE = "profile"
# Sources of a date that a proven position overrides, because the page does not state them for machines.
GUESSED_SOURCES = frozenset(("dom", "url", "text", "feed"))


def apply_positions(found: Fields, texts: Mapping[str, str], now: datetime) -> Fields:
    """Return the fields with values from the site's proven positions, if the page's data lacks a field or is its only source.

    `texts` are the texts at these positions by field (`field_positions.find_field_texts`).
    `now` is the time of the fetch, the upper limit for dates.
    """
    for field, read in (("title", _apply_title), ("authors", _apply_authors), ("published_at", _apply_published)):
        if field in texts:
            found = read(texts[field], found, now)
    return found


def _apply_title(text: str, found: Fields, now: datetime) -> Fields:
    if not titles.split_title_words(text) or titles.split_title_words(text) == titles.split_title_words(found.title or ""):
        return found
    return replace(found, title=normalise_line(text), provenance={**found.provenance, "title": SOURCE})


def _apply_authors(text: str, found: Fields, now: datetime) -> Fields:
    """Replace the authors if the page's data names none or only an organisation."""
    if any(author.type is AuthorType.PERSON for author in found.authors):
        return found
    people = tuple(Author(name, author_names.classify_author(name)) for name in author_names.split_names(text))
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
