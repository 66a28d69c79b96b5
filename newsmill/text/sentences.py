"""Sentences of the program that keep their parts, so that a page can render them in another language.

As in gettext, the English text with its {placeholders} is the code: catalogues/sentences.de.toml has the German text of each template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

MARK = "\x1f"  # begins a packed sentence; plain text that begins with it loses it
PACKED = object()  # the pydantic context with which JSON for another process of Newsmill is written
KEYED = "{key}: {error}"
MAX_CHARACTERS = 50_000  # of a packed sentence; a value inside a value could grow without limit
_PLACEHOLDER = re.compile(r"{(\w+)(?::(,?(?:\.\d)?[fg%]?))?}")
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Value = str | int | float  # a text, which may be a sentence too, or a number, which the template formats


class Sentence(str):
    """The English sentence, with its `template` and the `values` of the placeholders. {n:,} formats a number as in Python.

    >>> sentence = Sentence("{error} (after {n:,} bytes)", error=Sentence("the gzip stream is cut off"), n=4000)
    >>> sentence
    'the gzip stream is cut off (after 4,000 bytes)'
    >>> sentence.template, sentence.values["n"]
    ('{error} (after {n:,} bytes)', 4000)
    """

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, Value]

    def __new__(cls, template: str, /, **values: object) -> Sentence:
        kept = {name: value if isinstance(value, (str, int, float)) else str(value) for name, value in values.items()}
        sentence = super().__new__(cls, fill(template, kept, format) if kept else template)
        sentence.template, sentence.values = template, kept
        return sentence

    def __str__(self) -> Sentence:
        """The sentence itself, so that `str(error)` keeps the parts."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return unpack, (pack(self),)


def fill(template: str, values: Mapping[str, Value], write: Callable[[Value, str], str]) -> str:
    """The template with its values, each written by `write(value, format)`."""
    return _PLACEHOLDER.sub(lambda found: write(values[found[1]], found[2] or ""), template)


@lru_cache(maxsize=5000)
def cached_sentence(template: str, /, **values: Value) -> Sentence:
    """A sentence that a page or site needs many times, such as the reason of a removed block."""
    return Sentence(template, **values)


def is_neutral(template: str) -> bool:
    """Whether the template has no word, such as `{key}: {error}`, so that it is the same in every language."""
    return not any(map(str.isalpha, _PLACEHOLDER.sub("", template)))


def keyed(key: object, error: object) -> Sentence:
    """An error with what it is about: `homepage: not a URL`."""
    return Sentence(KEYED, key=key, error=error)


def count_sentence(n: int, one: str, many: str, **values: object) -> Sentence:
    """The sentence for a number, the value {n}: `one` for 1, else `many`.

    >>> count_sentence(2, "1 page", "{n:,} pages")
    '2 pages'
    """
    return Sentence(one if n == 1 else many, n=n, **values)


def join_sentences(parts: Iterable[str], separator: str = "; ") -> str:
    """One sentence of several.

    >>> join_sentences([Sentence("the body is empty"), "a text of a server"])
    'the body is empty; a text of a server'
    """
    values = {f"part{number}": part for number, part in enumerate(parts)}
    return values["part0"] if len(values) == 1 else Sentence(separator.join(f"{{{name}}}" for name in values), **values)


def cut_sentence(text: str, max_characters: int) -> str:
    """At most so many characters; a sentence that is longer loses its parts."""
    return text if len(text) <= max_characters else text[:max_characters]


def pack(value: Value) -> Any:
    """A sentence as a JSON value: [template, {name: value}]; another value as it is."""
    if not isinstance(value, Sentence):
        return value
    return [value.template, {name: pack(part) for name, part in value.values.items()}]


def unpack(packed: Any) -> Any:
    """What `pack` made. Raises an error for anything else, and for a sentence that a broken process made too long.

    The length is known before the sentence is built: a WARC file of 1.5 kB whose template repeats a long value took 600 MB.
    """
    if not isinstance(packed, list):
        return packed
    template, values = packed[0], {name: unpack(value) for name, value in packed[1].items()}
    if len(template) + sum(len(str(values[name])) for name, _ in _PLACEHOLDER.findall(template)) > MAX_CHARACTERS:
        raise ValueError("the sentence is too long")
    return Sentence(template, **values)


def dump_sentence(text: str) -> str:
    """The text for another process of Newsmill or the database: a sentence is packed behind MARK.

    >>> load_sentence(dump_sentence(Sentence("HTTP {status}", status=404))).values
    {'status': 404}
    """
    if not isinstance(text, Sentence):
        return text.lstrip(MARK)
    return MARK + _ENCODE(pack(text)).encode("utf-8", "replace").decode()  # a lone surrogate becomes "?"


def load_sentence(text: str) -> str:
    """What `dump_sentence` wrote; any other text is itself."""
    if not text.startswith(MARK):
        return text
    try:
        return str(unpack(json.loads(text[1:])))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return text.lstrip(MARK)


class _SentenceSchema:
    """How pydantic reads and writes a text that may be a sentence: English as JSON, packed with the context PACKED."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        from pydantic_core import core_schema  # commands that read no JSON do not load it

        written = core_schema.plain_serializer_function_ser_schema(
            lambda text, info: dump_sentence(text) if info.context is PACKED else str.__str__(text),
            info_arg=True,
            return_schema=core_schema.str_schema(),
        )
        return core_schema.no_info_after_validator_function(load_sentence, core_schema.str_schema(), serialization=written)


Detail = Annotated[str, _SentenceSchema()]  # the type of a field that keeps a sentence between the processes of Newsmill
