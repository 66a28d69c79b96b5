"""Who wrote it: people and organisations, without "By", job titles and addresses. Better none than wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from newsmill.model import Author, AuthorType
from newsmill.read.normalise import normalise_line
from newsmill.read.structured import Structured, node_types, unescaped

_BY = re.compile(
    r"^(?:(?:written|reported|posted|published|story|text|texte|article|reporting)\s+)?"
    r"(?:by|von|vom|par|por|di|da|door|av|af|tekst|text|texte|autor|autorin|author|od|przez|yazan|oleh|автор|текст|от|文|記者|기자)[:：\s]+",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\S+@\S+|https?://\S+|\bwww\.\S+|@\w+")
_APART = re.compile(r"\s*(?:[,;|/·•、，]|\s(?:and|und|et|y|e|en|og|och|i|ja|ve|dan|и|та)\s|\s&\s)\s*", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_ROLE = re.compile(
    r"\b(?:editor|reporter|correspondent|staff|writer|redakteur(?:in)?|korrespondent(?:in)?|redaktion|redaction|rédaction|redacción|redazione|"
    r"journalist(?:in)?|contributor|columnist|producer|photographer|chief|senior|desk|team|bureau|newsroom)\b",
    re.IGNORECASE,
)
_ORGANISATION = re.compile(
    r"\b(?:agency|agentur|agence|agencia|press|news|media|redaktion|rédaction|redacción|redazione|redactie|redaksi|editorial|staff|team|desk|newsroom|"
    r"bureau|magazine|journal|times|post|daily|zeitung|tv|radio|gmbh|inc|ltd|foundation|institute|university|network|group|online|"
    r"dpa|afp|ap|reuters|apa|ansa|efe|tass|upi|kna|epd|sda|ats|belga|anp|ntb|tt|ritzau|pti|ani|xinhua|bloomberg)\b|\.(?:com|de|org|net|co|at|ch|fr|it|es|news)\b",
    re.IGNORECASE,
)
_LONGEST = 60  # characters of one name; longer ones are sentences
Found = tuple[tuple[Author, ...], str]


def find_authors(page: Structured, hint: tuple[str, ...] = ()) -> Found | None:
    """The authors in page order and where they came from; None where nobody says."""
    for source, values in _sources(page, hint):
        authors = tuple(dict.fromkeys(author for value in values for author in _read(value)))
        if authors:
            return authors, source
    return None


def _sources(page: Structured, hint: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    article = page.article or {}
    yield "json-ld", _as_list(article.get("author")) or _as_list(article.get("creator"))
    for name in (
        "author",
        "article:author",
        "dc.creator",
        "dcterms.creator",
        "parsely-author",
        "sailthru.author",
        "byl",
        "cxenseparse:author",
    ):
        yield "meta", list(page.meta.get(name, ()))
    yield "feed", list(hint)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _read(value: Any) -> Iterator[Author]:
    """One author value: a name, a node with a name, or a string of several names."""
    declared = None
    if isinstance(value, dict):
        kinds = node_types(value)
        declared = (
            AuthorType.ORGANISATION if any("Organization" in kind for kind in kinds) else AuthorType.PERSON if "Person" in kinds else None
        )
        value = value.get("name")
    for item in _as_list(value):
        if isinstance(item, str):
            for name in names_of(item):
                yield Author(name, declared if declared is AuthorType.ORGANISATION else type_of(name))


def names_of(text: str) -> list[str]:
    """The names in a byline, cleaned: no "By", no e-mail, no URL, split where several stand."""
    text = normalise_line(_ADDRESS.sub(" ", _BRACKETS.sub("", unescaped(re.sub(r"<[^>]*>", " ", text)))))
    text = _BY.sub("", text)
    names = [part.strip(" .-–—:|") for part in _APART.split(text)]
    return [name for name in names if _is_name(name)]


def _is_name(name: str) -> bool:
    return 1 < len(name) <= _LONGEST and any(char.isalpha() for char in name) and len(name.split()) <= 8


def type_of(name: str) -> AuthorType:
    """Organisation for agencies, desks, papers and words nobody is called; else a person."""
    return AuthorType.ORGANISATION if _ORGANISATION.search(name) or _ROLE.fullmatch(name) else AuthorType.PERSON
