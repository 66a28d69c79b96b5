"""The query builder, for people who type no operators."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from newsmill.search.query import close_query, split_query
from newsmill.search.query_parser import SIGN

_PART = re.compile(
    rf'(?P<minus>{SIGN}?)(?:(?P<name>[a-z_]+):)?(?P<equals>=?)(?:["“”„](?P<quoted>[^"“”„]*)["“”„]|(?P<plain>[^\s()"“”„]+))', re.IGNORECASE
)
_WORD_OR_PHRASE = re.compile(r'["“”„](?P<quoted>[^"“”„]*)["“”„]?|[^\s()"“”„]+')
_ONE_VALUE = ("source", "lang", "author", "section", "after", "before")


@dataclass(slots=True)
class BuilderFields:
    """The fields of the query builder. `keep`: parts of the query that no field expresses, as they were typed."""

    keep: str = ""
    all: str = ""
    phrase: str = ""
    any: str = ""
    none: str = ""
    title: str = ""
    filters: dict[str, str] = field(default_factory=dict)  # of _ONE_VALUE


def read_fields(query: str) -> BuilderFields:
    """The fields that build a query again. Groups and words joined by operators are kept as they are.

    >>> read_fields('rail "night train" !strike lang:de is:starred')
    BuilderFields(keep='is:starred', all='rail', phrase='night train', any='', none='strike', title='', filters={'lang': 'de'})
    """
    fields = BuilderFields()
    for part in split_query(query):
        match = _PART.fullmatch(part.text)
        if match is None or not _read_part(fields, match):
            fields.keep = f"{fields.keep} {part.text}".strip()
    return fields


def _read_part(fields: BuilderFields, part: re.Match[str]) -> bool:
    """Put a part of a query into its field; false if no field has its meaning."""
    name, value, is_quoted = (part["name"] or "").lower(), part["quoted"] or part["plain"] or "", part["quoted"] is not None
    if not value or value != " ".join(_plain_words(value)) or part["equals"] or (part["minus"] and (name or is_quoted)):
        return False
    if not name:
        target = "none" if part["minus"] else "phrase" if is_quoted else "all"
    elif name == "title" and not is_quoted:
        target = "title"
    else:
        return _read_filter(fields, "lang" if name == "language" else name, value)
    if target == "phrase" and fields.phrase:
        return False
    setattr(fields, target, f"{getattr(fields, target)} {value}".strip())
    return True


def _read_filter(fields: BuilderFields, name: str, value: str) -> bool:
    if name not in _ONE_VALUE or name in fields.filters or (name in ("after", "before") and not is_day(value)):
        return False
    fields.filters[name] = value
    return True


def build_query(fields: BuilderFields) -> str:
    """The query for the fields.

    >>> fields = BuilderFields(all="rail", phrase="night train", any='bus "old ferry"', none="strike", filters={"lang": "de"})
    >>> build_query(fields)
    'rail "night train" bus OR "old ferry" -strike lang:de'
    """
    parts = [close_query(fields.keep), close_query(" ".join(_words_and_phrases(fields.all)))]
    parts += [f'"{" ".join(words)}"'] if (words := _plain_words(fields.phrase)) else []
    parts += [
        " OR ".join(_words_and_phrases(fields.any)),
        *(f"-{one}" for one in _words_and_phrases(fields.none)),
        *(f"title:{one}" for one in _words_and_phrases(fields.title)),
    ]
    for name, value in fields.filters.items():
        words = _plain_words(value)
        parts += [f"{name}:{words[0]}" if len(words) == 1 else f'{name}:"{" ".join(words)}"'] if words else []
    return " ".join(part for part in parts if part)


def is_day(text: str) -> bool:
    """Whether a text is a date of the calendar, such as 2026-01-31."""
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def _words_and_phrases(text: str) -> list[str]:
    """The words of a field, and its phrases with their quotation marks. Without brackets.

    >>> _words_and_phrases('news (-"evening edition" "open')
    ['news', '"evening edition"', '"open"']
    """
    found = (
        match[0].lstrip("-=") if match["quoted"] is None else f'"{quoted}"' if (quoted := match["quoted"].strip()) else ""
        for match in _WORD_OR_PHRASE.finditer(text)
    )
    return [one for one in found if one]


def _plain_words(text: str) -> list[str]:
    """The words of a field, without quotation marks and brackets."""
    return [word for piece in re.sub('["“”„()]', " ", text).split() if (word := piece.lstrip("-!="))]
