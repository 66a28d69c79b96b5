"""The texts of the pages, and the sentences of other parts of Newsmill, in the reader's language.

The reader or the browser's Accept-Language chooses the language; a TOML catalogue has the texts of one. Numbers, sizes and times follow the
language. Times of day are in the reader's time zone; days that were counted or stated are as they are.

Other parts write English, because programs and logs read it too. A catalogue has their sentences as patterns with {placeholders}; a value
that is itself such a sentence is translated too, and so is each part of a detail that joins several with "; ". {n} stands for a number.
A text without a pattern (of a server, of a library) stays English and is marked so.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from newsmill import listing_schedule
from newsmill.health import causes
from newsmill.model import OUTCOMES
from newsmill.model.document_fields import DOCUMENT_FIELDS

CATALOGUE_FOLDER = Path(__file__).parent / "catalogues"
LANGUAGES = {"en": "English", "de": "Deutsch"}
DEFAULT_LANGUAGE = "en"
COOKIE = "nm_lang"
_TIME_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))  # seconds
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


class Translations:
    """One language and time zone. `words("home.title")` is a text, `words.n("documents", 3)` a text with a number."""

    def __init__(self, language: str, texts: Mapping[str, str], zone: tzinfo = UTC) -> None:
        self.language = language
        self.texts = texts
        self.zone = zone

    def __call__(self, key: str, **values: object) -> str:
        """The text with its {placeholders} filled. Raises KeyError for an unknown key."""
        return self.texts[key].format(**values)

    def n(self, key: str, count: int, **values: object) -> str:
        """The text `key.one` or `key.other`, with {n} as the number."""
        return self(f"{key}.{'one' if count == 1 else 'other'}", n=self.number(count), **values)

    def number(self, value: int) -> str:
        """1234567 → 1,234,567, with the group separator of the language."""
        return f"{value:,}".replace(",", self.texts["format.group"])

    def decimal(self, value: float, digits: int = 1) -> str:
        return f"{value:.{digits}f}".replace(".", self.texts["format.point"])

    def percent(self, part: float, whole: float) -> str:
        return self("format.percent", n=self.number(round(100 * part / whole)) if whole else "0")

    def size(self, count: int) -> str:
        """A number of bytes: 82888 → 82.9 kB."""
        value, unit = float(count), 0
        while value >= 1000 and unit < len(_BYTE_UNITS) - 1:
            value, unit = value / 1000, unit + 1
        return f"{self.decimal(value, 1 if unit else 0)} {_BYTE_UNITS[unit]}"

    def day(self, at: datetime) -> str:
        """25 Nov 2026, the day in UTC: of counts per day, and of a publication whose time of day is unknown."""
        return self._format_day(at.astimezone(UTC))

    def date(self, at: datetime, *, is_local: bool = False) -> str:
        """25 Nov, the day in UTC or in the time zone of the reader."""
        at = self._local(at) if is_local else at.astimezone(UTC)
        return self("format.short", day=at.day, month=self.texts[f"month.{at.month}"])

    def short(self, at: datetime) -> str:
        """25 Nov, 14:03."""
        return f"{self.date(at, is_local=True)}, {self.clock(at)}"

    def clock(self, at: datetime) -> str:
        """14:03."""
        return f"{self._local(at):%H:%M}"

    def moment(self, at: datetime) -> str:
        """25 Nov 2026, 14:03."""
        return f"{self._format_day(self._local(at))}, {self.clock(at)}"

    def zone_name(self, at: datetime) -> str:
        """The name of the time zone at that time: CET, UTC."""
        return self._local(at).tzname() or "UTC"

    def _local(self, at: datetime) -> datetime:
        """In the time zone of the reader; in UTC where that is before the year 1 or after 9999."""
        try:
            return at.astimezone(self.zone)
        except OverflowError:
            return at.astimezone(UTC)

    def _format_day(self, at: datetime) -> str:
        return self("format.day", day=at.day, month=self.texts[f"month.{at.month}"], year=at.year)

    def ago(self, at: datetime, now: datetime) -> str:
        """5 minutes ago, in 2 hours; the day if it is a week away or more."""
        seconds = (now - at).total_seconds()
        if abs(seconds) >= 7 * 86_400:
            return self._format_day(self._local(at))
        for length, name in _TIME_UNITS:
            if abs(seconds) >= length:
                return self.n(f"{'ago' if seconds > 0 else 'ahead'}.{name}", int(abs(seconds) // length))
        return self("ago.now" if seconds >= 0 else "ahead.now")

    def span(self, seconds: float) -> str:
        """A duration for "every …": 90 minutes, 2 hours, day."""
        whole = int(seconds)
        length, name = next(((length, name) for length, name in _TIME_UNITS if whole >= length and whole % length == 0), (1, "second"))
        return self.n(f"span.{name}", whole // length)


def load_translations(language: str, zone: tzinfo = UTC) -> Translations:
    """The texts of one of LANGUAGES. English texts that programs show too come from where they take them."""
    return Translations(language, _load_texts(language), zone)


@cache
def _load_texts(language: str) -> Mapping[str, str]:
    is_default = language == DEFAULT_LANGUAGE
    outcomes = {f"meaning.{name}": facts.meaning for name, facts in OUTCOMES.items()}
    outcomes |= {f"outcome.{name}": facts.label for name, facts in OUTCOMES.items()}
    labels = {f"field.{one.name}": text for one in DOCUMENT_FIELDS if (text := one.english if is_default else one.german) is not None}
    shared = outcomes | causes.english_texts() | listing_schedule.english_texts() if is_default else {}
    with (CATALOGUE_FOLDER / f"{language}.toml").open("rb") as file:
        return labels | shared | dict(_flatten(tomllib.load(file)))


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`{home = {title = "x"}}` → `home.title`: "x"."""
    texts: list[tuple[str, str]] = []
    for key, value in table.items():
        texts += _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return texts


def choose_language(requested: str | None, saved: str | None, accepted: str) -> str:
    """The language of a request: the requested one, else that of the cookie, else the best of Accept-Language (RFC 9110, 12.5.4).

    >>> choose_language(None, None, "fr, de-AT;q=0.8, en;q=0.7")
    'de'
    """
    for language in (requested, saved):
        if language in LANGUAGES:
            return language
    ranked = sorted(enumerate(accepted[:1000].split(",")), key=lambda item: (-_quality(item[1]), item[0]))
    names = (part.partition(";")[0].strip().lower().partition("-")[0] for _, part in ranked if _quality(part) > 0)
    return next((name for name in names if name in LANGUAGES), DEFAULT_LANGUAGE)


def _quality(part: str) -> float:
    _, separator, value = part.partition(";q=")
    if not separator:
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0


# ---- sentences of other parts of Newsmill: errors, refused values, and the details of outcomes ------------------------------------

MAX_MESSAGE_CHARACTERS = 2000  # a longer text is not one of our sentences
MAX_MESSAGE_DEPTH = 4  # sentences within sentences
MIN_LITERAL_CHARACTERS = 4  # of a pattern that stands for itself
SEPARATOR = "; "  # of the sentences of one detail
_PLACEHOLDER = re.compile(r"{(\w+)}")
_NUMBER = re.compile(r"[\d,.]+")
_GROUPED_NUMBER = re.compile(r"\d{1,3}(,\d{3})+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sentence: the text before, between and after its placeholders."""

    literals: Sequence[str]
    names: Sequence[str]
    translation: str

    @property
    def needs_sentence(self) -> bool:
        """Whether hardly any text is around the placeholders (`{key}: {error}`), so that it fits other texts too."""
        return sum(map(len, self.literals)) <= MIN_LITERAL_CHARACTERS

    @property
    def has_separator(self) -> bool:
        """Whether it is one sentence although it looks like joined ones."""
        return any(SEPARATOR in literal for literal in self.literals)

    def match(self, text: str) -> Mapping[str, str] | None:
        """The values of the placeholders, each as short as possible; None for another sentence. Takes linear time."""
        first, *others = self.literals
        if not text.startswith(first):
            return None
        at, values = len(first), {}
        for number, (name, literal) in enumerate(zip(self.names, others, strict=True), 1):
            is_last = number == len(self.names)
            end = len(text) - len(literal) if is_last else text.find(literal, at + 1)
            if end <= at or not text.startswith(literal, end):
                return None
            values[name], at = text[at:end], end + len(literal)
            if name == "n" and not _NUMBER.fullmatch(values[name]):
                return None
        return values if at == len(text) else None


@lru_cache(maxsize=2000)  # a page repeats a few details
def translate_message(text: str, language: str, depth: int = 0) -> str | None:
    """The sentence in that language; None if no pattern fits, and for English.

    >>> translate_message("homepage: not a host name: '..'", "de")
    "homepage: '..' ist kein Hostname"
    >>> translate_message("9 new, 0 known; the body is empty", "de")
    '9 neu, 0 bekannt; der Inhalt ist leer'
    """
    if len(text) > MAX_MESSAGE_CHARACTERS or depth > MAX_MESSAGE_DEPTH:
        return None
    patterns = load_patterns(language)
    if SEPARATOR not in text:
        return _match(text, patterns, language, depth)
    whole = _match(text, [pattern for pattern in patterns if pattern.has_separator], language, depth)
    return whole or _translate_parts(text, language, depth) or _match(text, patterns, language, depth)


def _match(text: str, patterns: Sequence[Pattern], language: str, depth: int) -> str | None:
    for pattern in patterns:
        if (values := pattern.match(text)) is not None:
            translated = {name: translate_message(value, language, depth + 1) for name, value in values.items()}
            if pattern.needs_sentence and not any(translated.values()):
                continue
            return pattern.translation.format_map({name: translated[name] or _write_number(value) for name, value in values.items()})
    return None


def _write_number(value: str) -> str:
    """A number such as 4,000 as it is written in German; any other value stays as it is."""
    return value.replace(",", ".") if _GROUPED_NUMBER.fullmatch(value) else value


def _translate_parts(text: str, language: str, depth: int) -> str | None:
    """The joined sentences, of which those without a pattern stay English; None if all of them do."""
    parts = text.split(SEPARATOR)
    translated = [translate_message(part, language, depth + 1) for part in parts]
    return SEPARATOR.join(new or part for new, part in zip(translated, parts, strict=True)) if any(translated) else None


@cache
def load_patterns(language: str) -> tuple[Pattern, ...]:
    """The patterns of a language, those with the most text first; none for English."""
    file = CATALOGUE_FOLDER / f"messages.{language}.toml"
    texts = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    patterns = [Pattern(_PLACEHOLDER.split(key)[::2], _PLACEHOLDER.findall(key), text) for key, text in texts.items()]
    return tuple(sorted(patterns, key=lambda pattern: -sum(map(len, pattern.literals))))


# ---- why the extraction removed a block

_WITH_CONFIDENCE = re.compile(r"(.*) \((\d\.\d\d) sure\)")
_N_OF_M = re.compile(r"(\d+) of (\d+)")


def translate_reason(reason: str, language: str) -> str | None:
    """Why the extraction removed a block, translated from its English reason; None without a translation.

    >>> translate_reason("stands on 23 of 25 pages of this site", "de")
    'steht auf 23 von 25 Seiten dieser Website'
    """
    if match := _WITH_CONFIDENCE.fullmatch(reason):
        text = translate_reason(match[1], language)
        return text and f"{text} ({match[2].replace('.', ',')} {reason_translations(language)['sure']})"
    numbers = _N_OF_M.search(reason)
    translation = reason_translations(language).get(_N_OF_M.sub("{n} of {of}", reason, count=1))
    return translation and (translation.format(n=numbers[1], of=numbers[2]) if numbers else translation)


@cache
def reason_translations(language: str) -> Mapping[str, str]:
    """English reason → reason in that language; empty for English."""
    file = CATALOGUE_FOLDER / f"reasons.{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
