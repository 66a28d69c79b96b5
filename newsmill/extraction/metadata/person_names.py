"""Parsing of author texts into names, without "By", e-mail addresses, separate job titles and dates. Uncertain names are dropped."""

from __future__ import annotations

import re
from functools import lru_cache

from newsmill.extraction.boilerplate.vocabulary import build_alternation
from newsmill.extraction.cache import cache_short_texts
from newsmill.extraction.metadata.structured_data import unescape_html
from newsmill.extraction.normalise import normalise_line
from newsmill.model import AuthorType

MAX_NAME_CHARACTERS = 60  # characters of one name; longer texts are sentences
MAX_CACHED_CHARACTERS = 200  # characters of a cached byline; authors recur on many pages of a site, and several times on each
MAX_NAME_WORDS = 7  # "The Members of the Choir of Radio France" is among the longest names

_BYLINE_WORDS = re.compile(rf"^[\s~•|–—\-]*(?:{build_alternation('byline')})(?:[:：\s]+|$)", re.IGNORECASE)
_LABEL = re.compile(r"^[^:：]{1,30}[:：]\s+(?=\S)")  # "Text und Interview: …", "Autor/in: …"
_NOBODY = re.compile(rf"^(?:{build_alternation('not_an_author')})$", re.IGNORECASE)
_CONTACT = re.compile(r"\S{1,64}@\S+|https?://\S+|\bwww\.\S+|@\w+")  # at most 64 characters before the "@" (RFC 5321, 4.5.3.1.1)
_SEPARATOR = re.compile(
    r"\s*(?:[,;|/•·●‧→\n\u2028、，]|\s[–—-]\s|\s(?:and|und|et|y|e|og|och|ja|ve|dan|oraz|a|и|та|with|mit)\s|\s&\s|\bfor\s(?=the\s|[A-Z])|\sfür\s(?=[A-Z]))\s*"
)
_BRACKETS = re.compile(r"\s?[(\[][^()\[\]]*[)\]]")
_HTML_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")
_LINE_END = re.compile("[\n\u2028]")
_DATE = re.compile(
    r"\b\d{1,2}\s*[ap]\.?m\b|\d{1,2}[./:]\d{1,2}|\b(?:19|20)\d{2}\b|\d+\s*(?:min|minutes?|minuten|hours?|days?|comments?|kommentare?)\b|^\d+$",
    re.IGNORECASE,
)
# Whole names only, because "Jane", "Marie" and "Julia" begin like a month.
_MONTHS = (
    "jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz?|apr(?:il)?|ma[iy]|june?|juni|july?|juli|aug(?:ust)?|"
    "sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?"
)
_WEEKDAYS = "(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:mo|di|mi|do|fr|sa|so|mon|tue|wed|thu|fri|sat|sun)\\.?"
_MONTH = re.compile(rf"^(?:on\s)?(?:{_WEEKDAYS}|(?:\d{{1,2}}\.?\s)?(?:{_MONTHS})\.?\s*\d{{0,2}}(?:st|nd|rd|th)?)$", re.IGNORECASE)
_JOB_TITLE = re.compile(
    r"^(?:ph\.?\s?d\.?|m\.?d\.?|r\.?d\.?n?\.?|m\.?s\.?c?\.?|b\.?a\.?|m\.?a\.?|mba|cpa|jr\.?|sr\.?|esq\.?)$|"
    rf"\b(?:{build_alternation('job_title')})\b",
    re.IGNORECASE,
)
_CONJUNCTIONS = frozenset(
    ("and", "und", "et", "y", "e", "og", "och", "ja", "ve", "dan", "oraz", "и", "та", "with", "mit")
)  # lower case only, because "Dan" is a name
_BUTTON = re.compile(rf"^(?:{build_alternation('button_label')})$", re.IGNORECASE)
_COUNTED_THINGS = re.compile(r"^\d+\s[a-z]")  # "677 new writers", not "98 Buck Social"
_CREDIT = re.compile(rf"^(?:{build_alternation('photo_label')})\s*[:：]", re.IGNORECASE)
_AGENCY = re.compile(rf"^(?:{build_alternation('agency')})$", re.IGNORECASE)
_ORGANISATION = re.compile(
    r"\b(?:agency|agentur|agence|agencia|press|news|media|medien|redaktion|rédaction|redacción|redação|redazione|redactie|redaksi|editorial|editors?|staff|team|desk|newsroom|"
    r"bureau|magazine|magazin|journal|times|post|daily|zeitung|tv|radio|gmbh|inc|ltd|llc|ag|e\.?v|foundation|stiftung|institute?|university|universität|network|group|online|"
    r"nachrichten|company|association|verband|ministry|ministerium|blog|services?|tribune|herald|gazette|chronicle|bulletin|clinic|hospital)\b|"
    r"\.(?:com|de|org|net|co|at|ch|fr|it|es|news|eu|info|uk|tr|tv)$",
    re.IGNORECASE,
)


def split_names(text: str) -> list[str]:
    """Return the names in a byline, in order. Line breaks (and U+2028, for element boundaries) separate names as commas do."""
    return list(_split_names_cached(text))


@cache_short_texts(MAX_CACHED_CHARACTERS)
def _split_names_cached(text: str) -> tuple[str, ...]:
    text = _SPACE.sub(lambda run: "\n" if _LINE_END.search(run.group()) else " ", unescape_html(_HTML_TAG.sub(" ", text)))
    text = _CONTACT.sub(" ", _BRACKETS.sub("", text))
    names = []
    labelled = False  # the previous part was only a label, which this part shares: "Text and photos: Jane Doe"
    for part in _SEPARATOR.split(text):
        name = normalise_line(part)
        credited = _CREDIT.match(name) is not None and not labelled
        while (match := _BYLINE_WORDS.match(name)) is not None and match.end():
            name = name[match.end() :]
        labelled = not name
        name = "" if credited else _LABEL.sub("", name)
        name = name.strip(" .,:;|–—-~*©'\"“”") if not re.search(r"\b\w\.$", name) else name.strip(" ,:;|–—-~*©")
        if _is_name(name):
            names.append(name)
    return tuple(dict.fromkeys(names))


def _is_name(name: str) -> bool:
    if not 1 < len(name) <= MAX_NAME_CHARACTERS or len(name.split()) > MAX_NAME_WORDS or not any(char.isalpha() for char in name):
        return False
    whole = any(pattern.match(name) for pattern in (_NOBODY, _BUTTON, _COUNTED_THINGS, _MONTH))
    return not (whole or name in _CONJUNCTIONS or _DATE.search(name) or _JOB_TITLE.search(name))


@lru_cache(maxsize=512)
def classify_author(name: str) -> AuthorType:
    """Return ORGANISATION for agencies, desks, newspapers and words that are not names of people, otherwise PERSON."""
    return AuthorType.ORGANISATION if _AGENCY.match(name) or _ORGANISATION.search(name) else AuthorType.PERSON
