"""The conditions of `newsmill reextract --where`."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from newsmill.exceptions import ConfigError
from newsmill.model import SPIDER, PassOptions
from newsmill.storage.schema import documents

OPERATORS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt}
_CONDITION = re.compile(r"\s*(extractor|profile|confidence)\s*(<=|>=|!=|<|>|=)\s*(\d{1,6}(?:\.\d{1,6}){0,3})\s*")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_NUMBERS = {"profile": documents.c.profile_version, "confidence": documents.c.confidence}


def check_conditions(conditions: Sequence[str]) -> None:
    """Raise ConfigError for a condition that cannot be read."""
    for condition in conditions:
        found = _CONDITION.fullmatch(condition)
        if found is None or (found[1] != "extractor" and found[3].count(".") > (found[1] == "confidence")):
            raise ConfigError(
                f"--where {condition!r}: expected extractor, profile or confidence, an operator (<, <=, =, !=, >=, >) and a number,"
                " as in extractor<2.4"
            )


def select_wanted(conn: Connection, options: PassOptions) -> list[ColumnElement[bool]]:
    """The documents of a pass: those with an archived page that meet all conditions. The conditions were checked."""
    wanted = [documents.c.archive_ref.is_not(None), documents.c.extractor != SPIDER]
    if options.source is not None:
        wanted.append(documents.c.source == options.source)
    if options.since is not None:
        wanted.append(documents.c.fetched_at >= options.since)
    for condition in options.where:
        found = _CONDITION.fullmatch(condition)
        assert found is not None
        name, compare, value = found[1], OPERATORS[found[2]], found[3]
        wanted.append(_select_versions(conn, compare, value) if name == "extractor" else compare(_NUMBERS[name], float(value)))
    return wanted


def _select_versions(conn: Connection, compare: Any, value: str) -> ColumnElement[bool]:
    """The documents whose extractor has a version that compares so. One without a version, such as the rules of a source, has none."""
    names = conn.execute(select(documents.c.extractor).distinct()).scalars().all()
    version = parse_version(value)
    return documents.c.extractor.in_(
        [name for name in names if (found := _VERSION.search(name)) is not None and compare(parse_version(found[0]), version)]
    )


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a version without zeros at its end.

    >>> parse_version("2.4.0") == parse_version("2.4") > parse_version("2.3.1")
    True
    """
    numbers = [int(part) for part in text.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
