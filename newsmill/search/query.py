"""The query language: what a person types, parsed. Any input is a query, never an error; a `QueryNote` says what has no meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from newsmill.exceptions import ConfigError
from newsmill.search.parsed_query import Query
from newsmill.search.query_notes import QueryNote
from newsmill.search.query_parser import MAX_ITEMS, MAX_QUERY_CHARACTERS, Parser, field_of, is_filter_without_value, is_word, read_items


def parse_query(text: str, now: datetime | None = None, *, user: str = "") -> Query:
    """The query that a text means. `now`: from which "yesterday" counts back, default: the present. `user`: whose marks is:, has:, tag: and
    note: are about.

    >>> parse_query('"old town"').node
    Terms(words=('old', 'town'), part='', exact=True, prefix=False)
    """
    notes = [QueryNote("cut", str(MAX_QUERY_CHARACTERS))] if len(text) > MAX_QUERY_CHARACTERS else []
    items = read_items(text)
    if not items:
        return Query()
    if len(items) > MAX_ITEMS:
        notes.append(QueryNote("items", str(MAX_ITEMS)))
    return Parser(items[:MAX_ITEMS], now or datetime.now(UTC), notes, user).parse()


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One of the parts of a query that must all match: a word, a phrase, a filter or a group, or several of them joined by OR."""

    text: str
    fields: frozenset[str]  # of its filters, "" for words; "lang" also for language:
    has_exclusion: bool


def check_is_lasting(text: str) -> None:
    """Raise ConfigError for a query with a date that depends on today, such as after:7d: it is another query tomorrow.

    >>> check_is_lasting("harbour after:2026-11-01")
    """
    times = datetime(2001, 1, 1, tzinfo=UTC), datetime(2013, 6, 17, 13, 30, tzinfo=UTC)
    early, late = (replace(parse_query(text, now), notes=()) for now in times)
    if early != late:
        raise ConfigError("a query as of a time cannot have a date that depends on today; write the day, as in after:2026-11-30")


def split_query(text: str) -> list[QueryPart]:
    """The parts of a query that must all match, in order. With a space between each two they are the same query.

    Each is a query of its own, to which others can be added: its quotation marks and brackets are closed, and operators without a word are
    left out.

    >>> [part.text for part in split_query('town rail OR bus NOT lang:de (a "b c')]
    ['town', 'rail OR bus', 'NOT lang:de', '(a "b c")']
    """
    items = read_items(text)[:MAX_ITEMS]
    parser = Parser(items, datetime.now(UTC), [], "")
    parser.parse()
    return [_close_part(items[first:end]) for first, end in parser.parts]


def close_query(text: str) -> str:
    """The same query in a form to which words and filters can be added.

    >>> close_query('rail NOT (bus OR "night train')
    'rail NOT (bus OR "night train")'
    """
    return " ".join(part.text for part in split_query(text))


def restrict_to_source(query: str, source: str) -> str:
    """The query for documents of one source.

    >>> restrict_to_source("OR rail NOT", "The Paper")
    'source:"The Paper" rail'
    """
    return f'source:"{source}" {close_query(query)}'.rstrip()


def _close_part(items: Sequence[re.Match[str]]) -> QueryPart:
    last, text = items[-1], items[0].string[items[0].start() : items[-1].end()]
    if last["quoted"] is not None and last.end() == last.end("quoted"):
        text += '"'
    elif not last["equals"] and is_filter_without_value(last["name"], last["plain"] or ""):
        text += '""'  # without it the next word becomes the value
    text += ")" * sum(bool(item["open"]) - bool(item["close"]) for item in items)
    operands = [item for item in items if item["plain"] or item["quoted"] is not None or is_word(item["connective"])]
    return QueryPart(
        text,
        frozenset(field_of(item) for item in operands),
        any(item["minus"] or item["sign"] or item["connective"] == "NOT" for item in items),
    )
