"""Bylines: the names in the text of a byline, and the removal of byline and dateline blocks from the body. Pure.

A name has no "By", no e-mail address, no separate job title and no date. Uncertain names are dropped.

The removal uses the fields of the page, not word lists. It removes the names of the authors and the day of publication from a line.
If only a few words remain (a month, a weekday, "by"), the line is a byline or a dateline.
One of the last paragraphs of a news article that begins with the name of an author is about the author.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from newsmill.extraction.cache import cache_short_texts
from newsmill.extraction.metadata.structured_data import unescape_html
from newsmill.extraction.normalise import WORD_MARKS, normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Author, AuthorType, Block, BlockType

MAX_NAME_CHARACTERS = 60  # characters of one name; longer texts are sentences
MAX_CACHED_CHARACTERS = 200  # characters of a cached byline; authors recur on many pages of a site, and several times on each
MAX_NAME_WORDS = 7  # "The Members of the Choir of Radio France" is among the longest names

_BYLINE_WORDS = re.compile(rf"^[\s~•|–—\-]*(?:{build_alternation('byline')})(?:[:：\s]+|$)", re.IGNORECASE)
_LABEL = re.compile(r"^[^:：]{1,30}(?::\s+|：\s*)(?=\S)")  # "Text und Interview: …", "Autor/in: …", "撰文：…"
_LABEL_END = re.compile(r"\s(?:by|von|par|por|door|av|af)$", re.IGNORECASE)  # "Ein Kommentar von": the name stands in the next element
# Chinese, Japanese and Korean join the role to the name: "记者张三", "글=홍길동 기자", "홍길동 기자 외 1명" ("and one more").
_JOINED_ROLE = re.compile(
    r"^(?:[\u4e00-\u9fff]{2,8}\s)?(?:本[报報])?[记記]者(?=[\u4e00-\u9fff]{2,4}$)|^[\uac00-\ud7a3]{1,10}=(?=[\uac00-\ud7a3])"
)
_KOREAN_ROLE = re.compile(r"\s(?:\w{0,4}기자|특파원|논설위원|칼럼니스트|앵커)(?:\s외\s\d+명)?$")
_NOBODY = re.compile(rf"^(?:{build_alternation('not_an_author')})$", re.IGNORECASE)
_CONTACT = re.compile(r"\S{1,64}@\S+|https?://\S+|\bwww\.\S+|@\w+")  # at most 64 characters before the "@" (RFC 5321, 4.5.3.1.1)
_SEPARATOR = re.compile(
    r"\s*(?:[,;|/／•·●‧→\n\u2028、，]|\s[–—-]\s|\s(?:and|und|et|y|e|og|och|ja|ve|dan|oraz|a|és|și|şi|và|и|і|та|και|و|और|และ|with|mit|avec)\s"
    r"|\si\s(?=\S+\s\S)|\s&\s|\bfor\s(?=the\s|[A-Z])|\sfür\s(?=[A-Z]))\s*"
)
_BRACKETS = re.compile(r"\s?[(\[][^()\[\]]*[)\]]")
_KOREAN_BRACKETS = re.compile(r"\[([^\[\]]*기자)\]")
_HTML_TAG = re.compile(r"<[^<>]*>")
_ASIAN_DATE = re.compile(r"\s+(?:19|20)\d{2}\s?[年년].*$")  # behind the name, in the same element
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
_JOB_TITLES = re.compile(rf"\b(?:{build_alternation('job_title')})s\b", re.IGNORECASE)  # of several people, whose names stand before it
_CONJUNCTIONS = frozenset(
    ("and", "und", "et", "y", "e", "og", "och", "ja", "ve", "dan", "oraz", "și", "şi", "và", "и", "і", "та", "και", "with", "mit", "avec")
)  # lower case only, because "Dan" is a name
_BUTTON = re.compile(rf"^(?:{build_alternation('button_label')})$", re.IGNORECASE)
_COUNTED_THINGS = re.compile(r"^\d+\s[a-z]")  # "677 new writers", not "98 Buck Social"
_OTHER_LABEL = re.compile(
    rf"^(?:{build_alternation('photo_label')}|责任编辑|責任編輯|编辑|編輯|责编|責編|校对|校對|审核)\s*[:：]", re.IGNORECASE
)
_AGENCY = re.compile(rf"^(?:{build_alternation('agency')})$", re.IGNORECASE)
_ORGANISATION = re.compile(
    r"\b(?:agency|agentur|agence|agencia|press|news|media|medien|redaktion|rédaction|redacción|redação|redazione|redactie|redaksi|editorial|editors?|staff|team|desk|newsroom|"
    r"bureau|magazine|magazin|journal|times|post|daily|zeitung|tv|radio|gmbh|inc|ltd|llc|ag|e\.?v|foundation|stiftung|institute?|university|universität|network|group|online|"
    r"nachrichten|company|association|verband|ministry|ministerium|blog|services?|tribune|herald|gazette|chronicle|bulletin|clinic|hospital)\b|"
    r"\.(?:com|de|org|net|co|at|ch|fr|it|es|news|eu|info|uk|tr|tv)$",
    re.IGNORECASE,
)
LAYER = "rules"
FIRST_BLOCKS = 2  # kept blocks at the start that may be bylines: a name, and a date below it
MAX_LINE_WORDS = 16  # words; names, a weekday, a date, a time and a zone
MAX_OTHER_WORDS = 4  # words that may remain: "by", weekday, month, "Uhr"
LAST_BLOCKS = 3  # kept blocks at the end that may be about the authors: there may be several authors, or a line below
MAX_WORDS_BEFORE_NAME = 3  # words before the name: "Our correspondent Jane Doe is …"
BIOGRAPHY_WORDS = range(6, 121)  # words
_WORD = re.compile(rf"\d+|[^\W\d_]+(?:[{WORD_MARKS}]+[^\W\d_]*)*")
_DATE_UNIT = re.compile(r"(?<=\d)\s?[年月日号號時时点點分秒년월일시분초]")  # in the dates and times of Chinese, Japanese and Korean
_SPEAKER = re.compile(r"[^:：]{1,60}[:：]\s")  # "Jane Doe: When …?" in an interview


def split_names(text: str) -> list[str]:
    """Return the names in a byline, in order. Line breaks (and U+2028, for element boundaries) separate names as commas do."""
    return list(_split_names_cached(text))


@cache_short_texts(MAX_CACHED_CHARACTERS)
def _split_names_cached(text: str) -> tuple[str, ...]:
    text = _SPACE.sub(lambda run: "\n" if _LINE_END.search(run.group()) else " ", unescape_html(_HTML_TAG.sub(" ", text)))
    text = _CONTACT.sub(" ", _BRACKETS.sub("", _KOREAN_BRACKETS.sub(r"\1", text)))
    names: list[str] = []
    labelled = False  # the previous part was only a label, which this part shares: "Text and photos: Jane Doe"
    for part in _SEPARATOR.split(text):
        name = _ASIAN_DATE.sub("", normalise_line(part)).removesuffix(" &")
        credited = _OTHER_LABEL.match(name) is not None and not labelled
        while (match := _BYLINE_WORDS.match(name)) is not None and match.end():
            name = name[match.end() :]
        labelled = not name
        name = "" if credited else _KOREAN_ROLE.sub("", _JOINED_ROLE.sub("", _LABEL.sub("", name)))
        name = name.strip(" .,:;|–—-~*©'\"“”") if not re.search(r"\b\w\.$", name) else name.strip(" ,:;|–—-~*©")
        first, _, rest = name.partition(" ")
        name = rest if first in _CONJUNCTIONS else name  # behind a comma: "Jane Doe, John Roe, and Max Moe"
        if _is_name(name) and not (names and _JOB_TITLES.search(name)):
            names.append(name)
    return tuple(dict.fromkeys(names))


def _is_name(name: str) -> bool:
    if not 1 < len(name) <= MAX_NAME_CHARACTERS or len(name.split()) > MAX_NAME_WORDS or not any(char.isalpha() for char in name):
        return False
    whole = any(pattern.match(name) for pattern in (_NOBODY, _BUTTON, _COUNTED_THINGS, _MONTH))
    return not (whole or _LABEL_END.search(name) or name in _CONJUNCTIONS or _DATE.search(name) or _JOB_TITLE.search(name))


def is_agency(name: str) -> bool:
    """Return True for the name of a news agency, such as "dpa"."""
    return _AGENCY.match(name) is not None


@lru_cache(maxsize=512)
def classify_author(name: str) -> AuthorType:
    """Return ORGANISATION for agencies, desks, newspapers and words that are not names of people, otherwise PERSON."""
    return AuthorType.ORGANISATION if is_agency(name) or _ORGANISATION.search(name) else AuthorType.PERSON


# ---- blocks above and below the text ----------------------------------------------------------------------------------------------


def remove_bylines(blocks: Sequence[Block], authors: Sequence[Author], day: str | None, *, is_news: bool = False) -> tuple[Block, ...]:
    """Return the blocks, with bylines and datelines among the first kept ones and as the last one marked as removed.

    `day` is the day of publication that the page displays (YYYY-MM-DD), or None if it is unknown. `is_news` means that the page declares
    a news article; paragraphs about its authors at the end are then marked too. In guides they are text: the gold texts keep 9 of 12
    there, and none of 5 on news pages.
    """
    out = list(blocks)
    kept = [index for index, block in enumerate(out) if block.kept and block.type in (BlockType.PARAGRAPH, BlockType.HEADING)]
    for index in kept[:FIRST_BLOCKS]:
        reason = classify_byline(out[index].text, authors, day)
        if reason is None or len(kept) <= FIRST_BLOCKS:
            break
        out[index] = replace(out[index], kept=False, layer=LAYER, reason=reason)
    last = max((index for index, block in enumerate(out) if block.kept), default=-1)
    if len(kept) > FIRST_BLOCKS + 1 and last == kept[-1] and (reason := classify_byline(out[last].text, authors, day)) is not None:
        out[last] = replace(out[last], kept=False, layer=LAYER, reason=reason)
    for index in kept[-LAST_BLOCKS:] if is_news and len(kept) > FIRST_BLOCKS + LAST_BLOCKS else ():
        if out[index].kept and is_about_author(out[index].text, authors):
            out[index] = replace(out[index], kept=False, layer=LAYER, reason="about the author")
    return tuple(out)


def is_about_author(text: str, authors: Sequence[Author]) -> bool:
    """True for a paragraph with the full name of a person among the authors in its first words, and no colon after it.

    >>> is_about_author("Jane Doe is our correspondent in Paris.", [Author("Jane Doe")])
    True
    >>> is_about_author("Jane Doe: When did you come to Paris?", [Author("Jane Doe")])
    False
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) not in BIOGRAPHY_WORDS or _SPEAKER.match(text):
        return False
    people = [_WORD.findall(author.name.casefold()) for author in authors if author.type is AuthorType.PERSON]
    return any(len(name) > 1 and _contains_name(words[: MAX_WORDS_BEFORE_NAME + len(name)], name) for name in people)


def classify_byline(text: str, authors: Sequence[Author], day: str | None) -> str | None:
    """Return `byline` or `dateline`, or None for a line with other content.

    >>> classify_byline("By Jane Doe, 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    'byline'
    >>> classify_byline("22 жовтня 2026 р.", [], "2026-10-22")
    'dateline'
    >>> classify_byline("Jane Doe won the race on 23 November 2026", [Author("Jane Doe")], "2026-11-23")
    """
    words = [word.casefold() for word in _WORD.findall(_DATE_UNIT.sub(" ", _CONTACT.sub(" ", text)))]
    names = [_WORD.findall(author.name.casefold()) for author in authors]
    if len(words) > MAX_LINE_WORDS:
        return None
    signed = any(_contains_name(words, name) for name in names)
    name_words = {word for name in names for word in name}
    other_words = [word for word in words if not word.isdigit() and word not in name_words]
    numbers = {int(word) for word in words if word.isdecimal() and len(word) <= 4}
    dated = day is not None and {int(day[:4]), int(day[8:10])} <= numbers
    if len(other_words) > MAX_OTHER_WORDS or not (signed or dated) or (signed and not dated and len(other_words) > 1):
        return None
    return "byline" if signed else "dateline"


def _contains_name(words: Sequence[str], name: Sequence[str]) -> bool:
    return bool(name) and any(list(words[at : at + len(name)]) == list(name) for at in range(len(words) - len(name) + 1))
