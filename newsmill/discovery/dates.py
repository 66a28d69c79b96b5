"""The dates that listings write, aware, or None: an ambiguous date is never guessed."""

from __future__ import annotations

import unicodedata
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from newsmill.text import lazy_re as re
from newsmill.text.month_names import find_month_number, fold_word

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)  # an earlier date is a zero read as Unix time
_MAX_AHEAD = timedelta(hours=24)  # a wrong time zone explains a day; a later date is not a publication date
_MAX_CHARACTERS = 100  # JavaScript's Date.toString has 65
_MAX_OFFSET = timedelta(hours=15)  # the largest in use is +14:00

# Hours from UTC. RFC 822 section 5.1 defines the first line. The others have one meaning in the IANA time zone database, or are German or
# Singapore's. "IST" has three (India, Israel, Ireland) and is unknown.
_ZONE_HOURS = {
    "UT": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "UTC": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MET": 1, "MEZ": 1, "CEST": 2, "MEST": 2, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "WAT": 1, "CAT": 2, "SAST": 2, "EAT": 3, "PKT": 5, "WIB": 7, "WITA": 8, "WIT": 9, "SGT": 8, "HKT": 8, "JST": 9, "KST": 9,
    "AWST": 8, "ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
    "NST": -3.5, "NDT": -2.5, "AST": -4, "ADT": -3, "AKST": -9, "AKDT": -8, "HST": -10,
}  # fmt: skip
# RFC 822 gives each letter except J a value. Upper case only: "a" and "y" are words.
_MILITARY_ZONES = {"Z": 0} | {a: -n for n, a in enumerate("ABCDEFGHIKLM", 1)} | {a: n for n, a in enumerate("NOPQRSTUVWXY", 1)}
# These abbreviations do not say whether summer time is in force: the place decides.
_US_ZONES = {
    "AT": "America/Halifax",
    "ET": "America/New_York",
    "CT": "America/Chicago",
    "MT": "America/Denver",
    "PT": "America/Los_Angeles",
}
_KOREAN_TIME = timezone(timedelta(hours=9))  # of a date in Korean without a zone, as in feedparser

_UNIX_TIME = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
_ISO = re.compile(
    r"(-?\d[\dW-]*?)"
    r"(?:(?:\s?[Tt]\s?|\s|(?=\d\d:))(\d{1,2})(?::?(\d\d)(?::?(\d\d)(?:[.,]\d+)?)?)?\s?(?P<zone>\D.*)?|(?P<date_zone>Z|[+-]\d\d:\d\d))?"
)
_ISO_DATES = [
    re.compile(pattern)
    for pattern in (
        r"(?P<year>\d{4})-0?(?P<month>\d{1,2})-(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<year>\d{4})-?(?P<ordinal>\d{3})",
        r"(?P<year>\d{4})-?W(?P<week>\d\d)-?(?P<weekday>[1-7])",
        # ISO 8601:1988, two digits for a year of this century; the leading hyphen stands for the missing digits
        r"(?P<year>\d\d)(?P<hyphen>-?)(?P<month>\d\d)(?P=hyphen)(?P<day>\d\d)",
        r"(?P<year>\d\d)-?(?P<ordinal>\d{3})",
    )
]
# "EST+5" may mean either side of UTC, so a name with an offset counts only in the long form: "CEST+0200".
_OFFSET = re.compile(
    rf"(?:(?<![\w/])(?:(?:GMT|UTC|UT)\s?|(?:{'|'.join(_ZONE_HOURS)})(?=[+-]\d\d:?\d\d))|(?<!\S))([+-])(\d{{1,2}})(?::?(\d\d))?(?![\w:/.-])",
    re.I,
)
_TIME = re.compile(
    r"(?<![\d:])(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?(?![\d:])|\s?h\s?(\d\d)?(?![^\W_])|(?=\s?[ap]\.?\s?m\b))(?:\s?([ap])\.?\s?m\b\.?)?",
    re.I,
)
_COMMENT = re.compile(r"\([^()]*\)")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th|er|º|ª)\b", re.I)
_TOKEN = re.compile(r"([A-Za-z_]+/[A-Za-z_/+-]+\d{0,2})|([^\W\d_]+)|(\d+)|\0")
_NUMERIC = re.compile(r"(?<!\d)(\d{1,4})\s?([./-]|\s)\s?(\d{1,2})\s?\2\s?(\d{1,4})(?!\d)")
_EAST_ASIAN = (
    (re.compile(r"(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]?"), r"\1-\2-\3 "),
    (re.compile(r"(\d{1,2})\s?[時时시]\s?(\d{2})\s?[分분]?"), r"\1:\2 "),
    (re.compile(r"(?:오전|午前|上午)\s?(\d[\d:]*)"), r"\1 am"),
    (re.compile(r"(?:오후|午後|下午)\s?(\d[\d:]*)"), r"\1 pm"),
)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Words between the parts of a date.
_FILLERS = {"at", "um", "uhr", "a", "de", "del", "du", "den", "der", "le", "of", "the", "on", "kl", "klo", "в", "г", "года", "год"}


def parse_date(text: object, now: datetime | None = None) -> datetime | None:
    """As `parse_day_or_time`, with a day as a time: its beginning in UTC."""
    return to_time(parse_day_or_time(text, now))


def to_time(at: datetime | date | None) -> datetime | None:
    """A time that may be a day, as a time: the beginning of the day in UTC."""
    return at if at is None or isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)


def get_precision(at: datetime | date | None) -> Literal["second", "day"]:
    return "second" if at is None or isinstance(at, datetime) else "day"


def parse_day_or_time(text: object, now: datetime | None = None) -> datetime | date | None:
    """A time with the offset that it states, in whole seconds, UTC without a zone (+09:00 in Korean); a day without a time. Never raises.

    Reads:
    - Unix time: 10 digits of seconds, 13 of milliseconds, also with a fraction;
    - ISO 8601 with calendar, ordinal and week dates, and the short forms of ISO 8601:1988;
    - dates in words or numbers, such as those of RFC 822.

    Returns None for an impossible date, a date more than a day after `now`, a month or a year alone, and unknown words. An unknown or
    ambiguous zone ("IST") and ambiguous numbers ("11/12/2020", unless an English weekday decides) give None too.
    Two-digit years follow RFC 2822 section 4.3 (50 to 99 are 19xx), in ISO 8601 they are of this century.
    """
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        return None
    text = " ".join(unicodedata.normalize("NFKC", text).replace("\u2212", "-").split())
    try:
        return _check_range(_parse(text), now)
    except (ValueError, OverflowError, LookupError):
        return None


def _check_range(moment: datetime | date, now: datetime | None) -> datetime | date | None:
    """The date with its offset if it can be a publication date, else None. Without `now`, only the limits of the calendar count."""
    if not isinstance(moment, datetime):
        return None if _check_range(datetime(moment.year, moment.month, moment.day, tzinfo=UTC), now) is None else moment
    offset = moment.utcoffset() or timedelta(0)
    try:
        moment = moment.replace(tzinfo=timezone(offset))
        moment.astimezone(UTC)
    except OverflowError:
        return None
    if moment < _EARLIEST or moment.year > 2200 or (now is not None and moment > now + _MAX_AHEAD):
        return None
    return moment


def _parse(text: str) -> datetime | date:
    """Raises ValueError, LookupError or OverflowError if the text is not a date."""
    if _UNIX_TIME.fullmatch(text):
        return datetime.fromtimestamp(int(text[:10]), UTC)
    default_zone: tzinfo = _KOREAN_TIME if _HANGUL.search(text) else UTC
    for pattern, western in _EAST_ASIAN if not text.isascii() else ():
        text = pattern.sub(western, text)
    text = text.strip()
    if (iso := _ISO.fullmatch(text)) and (day := _parse_iso_date(iso[1])):
        zone = iso["zone"] or iso["date_zone"]
        if iso[2] is None and (zone is None or _is_zone(zone)):
            return day
        if zone is None or _is_zone(zone):
            return _combine(day, int(iso[2]), int(iso[3] or 0), int(iso[4] or 0), _find_zone(zone) if zone else default_zone)
    return _parse_words(text, default_zone)


def _parse_iso_date(text: str) -> date | None:
    """An ISO 8601 day; None for another form. Raises ValueError for a day that does not exist, such as 31 June."""
    match = next((match for pattern in _ISO_DATES if (match := pattern.fullmatch(text))), None)
    if match is None:
        return None
    parts = {name: int(digits) for name, digits in match.groupdict().items() if digits and digits != "-"}
    year = parts["year"] + (2000 if len(match["year"]) == 2 else 0)
    if "week" in parts:
        return date.fromisocalendar(year, parts["week"], parts["weekday"])
    if "ordinal" in parts:
        day = date(year, 1, 1) + timedelta(days=parts["ordinal"] - 1)
        if day.year != year:
            raise ValueError(f"{year} has no day {parts['ordinal']}")
        return day
    return date(year, parts["month"], parts["day"])


def _parse_words(text: str, default_zone: tzinfo) -> datetime | date:
    """A day in words or numbers, in any order with a time and a zone."""
    hour = minute = second = 0
    text = re.sub(r"(?<=\d)[Tt](?=\d)", " ", text)
    if time := _TIME.search(text):
        hour, minute, second = int(time[1]), int(time[2] or time[4] or 0), int(time[3] or 0)
        if time[5] and hour <= 12:
            hour = hour % 12 + (12 if time[5] in "pP" else 0)
        text = f"{text[: time.start()]} \0 {text[time.end() :]}"
    zone: tzinfo | None = None
    if offset := _OFFSET.search(text):
        zone = _make_offset(offset[1], offset[2], offset[3])
        text = _COMMENT.sub(" ", text[: offset.start()] + " " + text[offset.end() :])  # RFC 822: text in parentheses is a comment
    text = _ORDINAL.sub("", text)
    numbers, months, weekday, named = _read_tokens(text, has_time=time is not None)
    day = _resolve_day_and_year(numbers, months[-1]) if months else _parse_numeric_date(text, numbers, weekday)
    if time is None:
        return day
    return _combine(day, hour, minute, second, zone or (_find_zone(named) if named else default_zone))


def _read_tokens(text: str, has_time: bool) -> tuple[list[str], list[int], int | None, str | None]:
    """The numbers, months, English weekday and zone name. Raises ValueError for an unknown word behind the first number."""
    numbers: list[str] = []
    months: list[int] = []
    weekday: int | None = None
    zone: str | None = None
    started = timed = False
    for token in _TOKEN.finditer(text):
        place, word, number = token.groups()
        if number == "0000":  # not a year but an offset without its sign
            zone = zone or "UTC"
        elif number:
            numbers.append(number)
        elif word is None and place is None:
            timed = True
        elif place or ((timed or (started and not has_time)) and _is_zone(word)):
            if zone not in (None, place or word):
                raise ValueError("two time zones")
            zone = place or word
        elif month := find_month_number(word):
            months.append(month)
        elif (named_day := _find_weekday(word)) is not None:
            weekday = named_day
        elif started and fold_word(word) not in _FILLERS:
            raise ValueError(f"not a date: {word!r} is unknown")
        started = started or number is not None
    return numbers, months, weekday, zone


def _find_weekday(word: str) -> int | None:
    """The number of an English weekday, also abbreviated; None for any other word."""
    start = word[:3].lower()
    return _WEEKDAYS.index(start) if word.isascii() and start in _WEEKDAYS else None


def _resolve_day_and_year(numbers: list[str], month: int) -> date:
    """The date of a month and two numbers. The year is the number with four digits, else the second, as in RFC 822."""
    first, second = numbers
    day, year = (second, first) if len(first) == 4 else (first, second)
    return date(_parse_year(year), month, int(day))


def _parse_numeric_date(text: str, numbers: list[str], weekday: int | None) -> date:
    """A date in numbers: year first, or with dots day first; else the one order that gives a date, on the weekday if one is named."""
    match = _NUMERIC.search(text)
    if match is None or len(numbers) != 3:
        raise ValueError("not a day")
    first, separator, second, third = match.groups()
    if len(first) == 4:
        return date(int(first), int(second), int(third))
    if separator == ".":
        return date(_parse_year(third), int(second), int(first))
    days = {day for a, b in ((first, second), (second, first)) if (day := _make_date(_parse_year(third), int(a), int(b)))}
    if weekday is not None and len(days) > 1:
        days = {day for day in days if day.weekday() == weekday}
    (day,) = days
    return day


def _make_date(year: int, month: int, day: int) -> date | None:
    return date(year, month, day) if 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1] else None


def _parse_year(digits: str) -> int:
    if len(digits) not in (2, 4):
        raise ValueError(f"{digits} is not a year")
    return int(digits) + (0 if len(digits) == 4 else 2000 if int(digits) < 50 else 1900)


def _combine(day: date, hour: int, minute: int, second: int, zone: tzinfo) -> datetime:
    """The time on that day. ISO 8601 has 24:00 for the end of a day, and RFC 822 a leap second."""
    extra = timedelta(days=(hour, minute, second) == (24, 0, 0), seconds=second == 60)
    return datetime(day.year, day.month, day.day, hour - 24 * extra.days, minute, second - (second == 60), tzinfo=zone) + extra


def _is_zone(name: str) -> bool:
    try:
        _find_zone(name)
    except (ValueError, LookupError):
        return False
    return True


@lru_cache(maxsize=256)
def _find_zone(name: str) -> tzinfo:
    """The zone of an offset, an abbreviation or an IANA name. Raises ValueError or LookupError for any other text."""
    offset = _OFFSET.fullmatch(name)
    if offset:
        return _make_offset(offset[1], offset[2], offset[3])
    if name in _MILITARY_ZONES or name == "z":
        return timezone(timedelta(hours=_MILITARY_ZONES[name.upper()]))
    if (hours := _ZONE_HOURS.get(name.upper())) is not None:
        return timezone(timedelta(hours=hours))
    place = _US_ZONES.get(name.upper(), name)
    if "/" not in place:
        raise LookupError(f"{name} is not one time zone")
    try:
        return ZoneInfo(place)
    except OSError:  # a folder of zones: "America/Argentina"
        raise LookupError(f"{name} is not a time zone") from None


def _make_offset(sign: str, hours: str, minutes: str | None) -> timezone:
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    if offset > _MAX_OFFSET or int(minutes or 0) > 59:
        raise ValueError(f"{hours}:{minutes} is not an offset")
    return timezone(-offset if sign == "-" else offset)
