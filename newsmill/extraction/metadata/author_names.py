"""The names in a byline, without "By", e-mail address, job title or date; uncertain names are dropped."""

from __future__ import annotations

from functools import lru_cache

from newsmill.extraction.metadata.json_ld import unescape_html
from newsmill.extraction.normalise import normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import AuthorType
from newsmill.text import lazy_re as re
from newsmill.text.text_cache import cache_short_texts

MAX_NAME_CHARACTERS = 60  # characters of one name; longer texts are sentences
MAX_CACHED_CHARACTERS = 200  # characters of a cached byline; authors recur on many pages of a site, and several times on each
MAX_NAME_WORDS = 7  # "The Members of the Choir of Radio France" is among the longest names

BYLINE_WORDS = re.compile(rf"^[\s~•|–—\-]*(?:{build_alternation('byline')})(?:[:：\s]+|$)", re.IGNORECASE)
# Chinese, Japanese and Korean join the role to the name: "记者张三", "글=홍길동 기자", "홍길동 기자 외 1명" ("and one more").
_JOINED_ROLE = re.compile(
    r"^(?:[\u4e00-\u9fff]{2,8}\s)?(?:本[报報])?[记記]者(?=[\u4e00-\u9fff]{2,4}$)|^[\uac00-\ud7a3]{1,10}=(?=[\uac00-\ud7a3])|^文[・=＝](?=\w)"
)
# behind the name: "홍길동 기자 외 1명", "山田太郎 記者", "李明 报道"
_ROLE_BEHIND = re.compile(r"\s(?:(?:\w{0,4}기자|특파원|논설위원|칼럼니스트|앵커)(?:\s외\s\d+명)?|[记記]者|特派員|編集委員|報導|报道|報道)$")
_NOBODY = re.compile(rf"^(?:{build_alternation('not_an_author')})$", re.IGNORECASE)
CONTACT = re.compile(r"\S{1,64}@\S+|https?://\S+|\bwww\.\S+|@\w+")  # at most 64 characters before the "@" (RFC 5321, 4.5.3.1.1)
_SEPARATOR = re.compile(
    r"\s*(?:[,;|/／•·●‧→\n\u2028、，]|\s[–—-]\s|\s(?:and|und|et|y|e|og|och|ja|ve|dan|oraz|a|és|și|şi|và|и|і|та|και|و|और|และ|with|mit|avec)\s"
    r"|\si\s(?=\S+\s\S)|\s&\s|\bfor\s(?=the\s|[A-Z])|\sfür\s(?=[A-Z]))\s*"
)
_BRACKETS = re.compile(r"\s?[(\[][^()\[\]]*[)\]]")
_HTML_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")
_WORD_JOINER = re.compile("[\u200b\u2060\ufeff]")  # without a width, also beside the words that separate names
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
JOB_TITLE = re.compile(
    r"^(?:ph\.?\s?d\.?|m\.?d\.?|r\.?d\.?n?\.?|m\.?s\.?c?\.?|b\.?a\.?|m\.?a\.?|mba|cpa|jr\.?|sr\.?|esq\.?)$|"
    rf"\b(?:{build_alternation('job_title')})s?\b",
    re.IGNORECASE,
)  # only behind a name, because some authors sign with their job
_CONJUNCTIONS = frozenset(
    ("and", "und", "et", "y", "e", "og", "och", "ja", "ve", "dan", "oraz", "și", "şi", "và", "и", "і", "та", "και", "with", "mit", "avec")
)  # lower case only, because "Dan" is a name
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
    return not (_NOBODY.match(name) or _MONTH.match(name) or name in _CONJUNCTIONS or _DATE.search(name))


def is_agency(name: str) -> bool:
    """Return True for the name of a news agency, such as "dpa"."""
    return _AGENCY.match(name) is not None


@lru_cache(maxsize=512)
def classify_author(name: str) -> AuthorType:
    """Return ORGANISATION for agencies, desks, newspapers and words that are not names of people, otherwise PERSON."""
    return AuthorType.ORGANISATION if is_agency(name) or _ORGANISATION.search(name) else AuthorType.PERSON
