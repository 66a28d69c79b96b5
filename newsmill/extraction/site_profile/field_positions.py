"""The positions at which a site's pages have their fields, learned from extracted fields.

The position of a field is proven if its first block matches the field on at least 90 % of at least 20 pages.
A proven position supplies the field if the page's data lacks it. It also overrides a guessed date, and a title from the page's data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from newsmill.extraction.metadata.author_names import split_names
from newsmill.extraction.metadata.text_bylines import classify_byline
from newsmill.extraction.metadata.titles import split_title_words
from newsmill.extraction.site_profile.site_keys import make_path_key
from newsmill.model import POSITION_FIELDS, Author, Block, FieldStats, Profile

MIN_POSITION_PAGES = 20  # pages that a proven position must be on
MIN_POSITION_AGREEMENT = 0.9  # share of these pages on which the position must match the field
MAX_FIELD_CHARACTERS = 300  # characters of a block that may be a field


def find_first_texts(blocks: Sequence[Block]) -> dict[str, str]:
    """Return the text of the first short block at every position, by path key."""
    first: dict[str, str] = {}
    for block in blocks:
        if block.path and len(block.text) <= MAX_FIELD_CHARACTERS:
            first.setdefault(make_path_key(block.path), block.text)
    return first


def find_field_position(profile: Profile, field: str) -> str | None:
    """Return the path key of the field's proven position, or None."""
    places = profile.fields.get(field, {})
    return next(
        (path for path, seen in places.items() if seen.pages >= MIN_POSITION_PAGES and seen.agreed >= MIN_POSITION_AGREEMENT * seen.pages),
        None,
    )


def find_field_texts(profile: Profile, blocks: Sequence[Block]) -> dict[str, str]:
    """Return the text of the page at the proven position of each field."""
    first = find_first_texts(blocks) if profile.fields else {}
    positions = ((field, find_field_position(profile, field)) for field in POSITION_FIELDS)
    return {field: first[position] for field, position in positions if position in first}


MAX_POSITIONS = 3  # positions stored per field

FieldSample = tuple[Sequence[Block], str | None, tuple[Author, ...], str | None]  # blocks, title, authors, day of publication
IsField = Callable[[str], bool]


def learn_field_positions(pages: Sequence[FieldSample]) -> dict[str, dict[str, FieldStats]]:
    """Return for each field its best positions, those that matched most often first. Fields without a position are left out."""
    seen: dict[str, dict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in POSITION_FIELDS}
    for blocks, title, authors, day in pages:
        first = find_first_texts(blocks)
        for name, is_field in _list_checks(title, authors, day):
            for path, text in first.items():
                count = seen[name][path]
                count[0] += 1
                count[1] += is_field(text)
    return {name: best for name, counts in seen.items() if (best := _select_best(counts))}


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
