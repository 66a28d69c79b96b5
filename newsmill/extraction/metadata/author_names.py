"""The names in a byline, without "By", e-mail address, job title or date; uncertain names are dropped."""

from __future__ import annotations

from functools import lru_cache

from newsmill.extraction.metadata.json_ld import unescape_html
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.vocabulary import compile_words, list_words
from newsmill.model import AuthorType
from newsmill.text import lazy_re as re
from newsmill.text.month_names import is_month_name
from newsmill.text.text_cache import cache_short_texts

MAX_NAME_CHARACTERS = 60  # characters of one name; longer texts are sentences
MAX_CACHED_CHARACTERS = 200  # characters of a cached byline; authors recur on many pages of a site, and several times on each
MAX_NAME_WORDS = 7  # "The Members of the Choir of Radio France" is among the longest names

BYLINE_WORDS = compile_words(r"^[\s~•|–—\-]*{byline}(?:[:：\s]+|$)")
_JOINED_ROLE = compile_words("^{joined_role}")
_ROLE_BEHIND = compile_words(r"\s{role_behind}$")
_NOBODY = compile_words("^{not_an_author}$")
CONTACT = re.compile(r"\S{1,64}@\S+|https?://\S+|\bwww\.\S+|@\w+")  # at most 64 characters before the "@" (RFC 5321, 4.5.3.1.1)
# lower case only, because "Dan" is a name
_SEPARATOR = compile_words(
    r"\s*(?:[,;|/／•·●‧→\n\u2028、，]|\s[–—-]\s|\s{name_separator}\s|\si\s(?=\S+\s\S)|\s&\s|\bfor\s(?=the\s|[A-Z])|\sfür\s(?=[A-Z]))\s*",
    ignores_case=False,
)
_CONJUNCTIONS = list_words("name_separator")
_BRACKETS = re.compile(r"\s?[(\[][^()\[\]]*[)\]]")
_HTML_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")
_WORD_JOINER = re.compile("[\u200b\u2060\ufeff]")  # without a width, also beside the words that separate names
_LINE_END = re.compile("[\n\u2028]")
_DATE = compile_words(r"\b\d{1,2}\s*[ap]\.?m\b|\d{1,2}[./:]\d{1,2}|\b(?:19|20)\d{2}\b|\d+\s*{counted}\b|^\d+$")
_WEEKDAY = compile_words(r"^(?:on\s)?{weekday}$")
# Whole names of months only, because "Jane", "Marie" and "Julia" begin like a month.
_MONTH = re.compile(r"^(?:on\s)?(?:\d{1,2}\.?\s)?([^\W\d_]+)\.?\s*\d{0,2}(?:st|nd|rd|th)?$", re.IGNORECASE)
JOB_TITLE = compile_words(r"^{academic_title}$|\b{job_title}s?\b")  # only behind a name, because some authors sign with their job
_AGENCY = compile_words("^{agency}$")
_ORGANISATION = compile_words(r"\b{organisation}\b|\.(?:com|de|org|net|co|at|ch|fr|it|es|news|eu|info|uk|tr|tv)$")


def split_names(text: str) -> list[str]:
    """Return the names in a byline, in order. Line breaks (and U+2028, for element boundaries) separate names as commas do."""
    return list(_split_names_cached(text))


@cache_short_texts(MAX_CACHED_CHARACTERS)
def _split_names_cached(text: str) -> tuple[str, ...]:
    text = _WORD_JOINER.sub("", unescape_html(_HTML_TAG.sub(" ", text)))
    text = _SPACE.sub(lambda run: "\n" if _LINE_END.search(run.group()) else " ", text)
    text = CONTACT.sub(" ", _BRACKETS.sub("", text))
    names: list[str] = []
    for part in _SEPARATOR.split(text):
        name = normalise_line(part).removesuffix(" &")
        while (match := BYLINE_WORDS.match(name)) is not None and match.end():
            name = name[match.end() :]
        name = _ROLE_BEHIND.sub("", _JOINED_ROLE.sub("", name))
        name = name.strip(" .,:;|–—-~*©'\"“”") if not re.search(r"\b\w\.$", name) else name.strip(" ,:;|–—-~*©")
        first, _, rest = name.partition(" ")
        name = rest if first in _CONJUNCTIONS else name  # behind a comma: "Jane Doe, John Roe, and Max Moe"
        if _is_name(name) and not (names and JOB_TITLE.search(name)):
            names.append(name)
    return tuple(dict.fromkeys(names))


def _is_name(name: str) -> bool:
    if not 1 < len(name) <= MAX_NAME_CHARACTERS or len(name.split()) > MAX_NAME_WORDS or not any(char.isalpha() for char in name):
        return False
    if ":" in name or "：" in name:  # the credit of a picture, or another label
        return False
    return not (_NOBODY.match(name) or _is_day(name) or name in _CONJUNCTIONS or _DATE.search(name))


def _is_day(name: str) -> bool:
    month = _MONTH.match(name)
    return _WEEKDAY.match(name) is not None or (month is not None and any(is_month_name(month[1], language) for language in ("en", "de")))


def is_agency(name: str) -> bool:
    """Return True for the name of a news agency, such as "dpa"."""
    return _AGENCY.match(name) is not None


@lru_cache(maxsize=512)
def classify_author(name: str) -> AuthorType:
    """Return ORGANISATION for agencies, desks, newspapers and words that are not names of people, otherwise PERSON."""
    return AuthorType.ORGANISATION if is_agency(name) or _ORGANISATION.search(name) else AuthorType.PERSON
