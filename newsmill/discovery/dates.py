"""Names of months in the languages of Europe, Indonesian and Malay, as dates are written in them.

Source: Unicode CLDR 48 (`babel.Locale.months`, wide and abbreviated, in format and alone), and the German and Spanish variants "Jänner",
"Maerz", "Mrz" and "setiembre". Names are case-folded and without accents and dots, and have three letters at least. "lip", "lis",
"listopad", "listopada" and "srp" are left out: they are different months in Croatian, Czech and Polish.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_NAMES = (
    "ene enero gen gener gennaio ian ianuarie jaan jaanuar jaenner jan janar janeiro janner januar januara januari january janv "
    "janvaris janvier led leden ledna oca ocak saus sausio sausis sij sijecanj sijecnja sty styczen stycznia tammi tammikuu tammikuuta "
    "urt urtarrila xan xaneiro ιαν ιανουαριοσ ιανουαριου сту студзень студзеня січ січень січня янв январь января яну януари јан јануар "
    "јануари",
    "feb febbraio febr febreiro febrer febrero februar februara februari februarie februaris february fev fevereiro fevr fevrier helmi "
    "helmikuu helmikuuta lut lutego luty ots otsaila shk shkurt sub subat uno unor unora vas vasario vasaris veebr veebruar velj "
    "veljaca veljace φεβ φεβρουαριοσ φεβρουαριου лют лютага лютии лютого люты феб фебруар фев февр февраль февраля февруари",
    "bre brezen brezna kov kovas kovo maalis maaliskuu maaliskuuta maart mac maerz mar marc marca march marcius marco marec maret mars "
    "mart martie marts martxoa marz marzec marzo mrt mrz ozu ozujak ozujka μαρ μαρτιοσ μαρτιου бер березень березня мар март марта сак "
    "сакавік сакавіка",
    "abr abril api apirila apr april aprila aprile aprilie aprilis aprill avr avril bal balandis balandzio dub duben dubna huhti "
    "huhtikuu huhtikuuta kwi kwiecien kwietnia nis nisan pri prill tra travanj travnja απρ απριλιοσ απριλιου апр апрель апреля април "
    "квіт квітень квітня кра красавік красавіка",
    "geg geguze geguzes kve kveten kvetna mag maggio mai maiatza maig maijs maio maj maja majus may mayo mayis mei svi svibanj svibnja "
    "touko toukokuu toukokuuta μαι μαιοσ μαιου маи мая мај трав травень травня",
    "birz birzelio birzelis cerven cervna cvn cze czerwca czerwiec eka ekaina giu giugno haz haziran iun iunie juin jun juna june junho "
    "juni junij junijs junio junius juny juuni kesa kesakuu kesakuuta lipanj lipnja qer qershor xuno ιουν ιουνιοσ ιουνιου июн июнь июня "
    "черв червень червня чэр чэрвень чэрвеня юни јун јуни",
    "cervence cervenec cvc heina heinakuu heinakuuta iul iulie juil juillet jul jula julai julho juli julij julijs julio juliol julius "
    "july juuli korr korrik liep liepa liepos lipca lipiec lug luglio srpanj srpnja tem temmuz uzt uztaila xul xullo ιουλ ιουλιοσ "
    "ιουλιου июл июль июля лип липень липня ліп ліпень ліпеня юли јул јули",
    "abu abuztua ago agost agosto agu agust agustos agustus aout aug august augusta augusti augusts augustus augusztus avg avgust elo "
    "elokuu elokuuta gush gusht kol kolovoz kolovoza ogo ogos rugp rugpjucio rugpjutis sie sierpien sierpnia srpen srpna αυγ αυγουστοσ "
    "αυγουστου авг август августа жні жнівень жніуня серп серпень серпня",
    "eyl eylul ira iraila rugs rugsejis rugsejo ruj rujan rujna sep sept septembar september septembra septembre septembrie septembris "
    "septiembre set setembre setembro setiembre settembre sht shtator syys syyskuu syyskuuta szept szeptember wrz wrzesien wrzesnia zar "
    "zari σεπ σεπτεμβριοσ σεπτεμβριου вер верасень верасня вересень вересня сент сентябрь сентября сеп септембар септември",
    "eki ekim loka lokakuu lokakuuta oct october octobre octombrie octubre okt oktobar oktober oktobra oktobris oktoober ott ottobre "
    "out outubro paz pazdziernik pazdziernika rij rijen rijna spal spalio spalis tet tetor urr urria οκτ οκτωβριοσ οκτωβριου жовт "
    "жовтень жовтня кас кастрычнік кастрычніка окт октобар октомври октябрь октября",
    "aza azaroa kas kasim lapkr lapkricio lapkritis listopadu marras marraskuu marraskuuta nen nentor noiembrie nov novembar november "
    "novembra novembre novembris novembro noviembre stu studeni studenoga νοε νοεμβριοσ νοεμβριου лист листопад листопада ліс лістапад "
    "лістапада нов новембар ное ноември нояб ноябрь ноября",
    "abe abendua ara aralik dec decembar december decembra decembre decembrie decembris decembro des desember desembre dets detsember "
    "dez dezember dezembro dhj dhjetor dic dicembre diciembre dis disember gru grudnia grudzien gruod gruodis gruodzio joulu joulukuu "
    "joulukuuta pro prosinac prosinca prosince prosinec δεκ δεκεμβριοσ δεκεμβριου груд грудень грудня дек декабрь декабря декември дец "
    "децембар сне снежань снежня",
)
MONTHS = {name: number for number, names in enumerate(_NAMES, 1) for name in names.split()}


def month_number(word: str) -> int | None:
    """1 to 12 for a month's name in upper or lower case, with or without accents; None for any other word."""
    return MONTHS.get(fold(word))


def fold(word: str) -> str:
    """The word without case, accents and the Turkish dotless i: "Févr" → "fevr"."""
    letters = unicodedata.normalize("NFKD", word.casefold().replace("\u0131", "i"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


# Dates as listings write them: aware UTC, or None. Unknown is never a guess.
#
# `moment` reads Unix time (10 digits of seconds, 13 of milliseconds); ISO 8601 with calendar, ordinal and week dates, with its short forms of
# 1988 and W3C's (`YYYY-MM` and `YYYY` mean the first day); and dates in words or numbers, such as those of RFC 822.

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)  # what lies before is a zero that somebody took for a date
_AHEAD = timedelta(hours=24)  # a wrong time zone accounts for a day; what lies further ahead is not a publication date
_MAX_LENGTH = 100  # characters; JavaScript's Date.toString has 65
_MAX_OFFSET = timedelta(hours=15)  # the farthest in use is +14:00

# Hours from UTC. RFC 822 section 5.1 defines the first line. The others have one meaning in the IANA time zone database (or are German, or
# Singapore's); "IST" has three (India, Israel, Ireland) and is unknown.
_HOURS = {
    "UT": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "UTC": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MET": 1, "MEZ": 1, "CEST": 2, "MEST": 2, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "WAT": 1, "CAT": 2, "SAST": 2, "EAT": 3, "PKT": 5, "WIB": 7, "WITA": 8, "WIT": 9, "SGT": 8, "HKT": 8, "JST": 9, "KST": 9,
    "AWST": 8, "ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
    "NST": -3.5, "NDT": -2.5, "AST": -4, "ADT": -3, "AKST": -9, "AKDT": -8, "HST": -10,
}  # fmt: skip
# RFC 822 gives each letter but J these values. Upper case only: "a" and "y" are words.
_LETTERS = {"Z": 0} | {a: -n for n, a in enumerate("ABCDEFGHIKLM", 1)} | {a: n for n, a in enumerate("NOPQRSTUVWXY", 1)}
# These leave open whether summer time is in force: the place decides.
_PLACES = {"AT": "America/Halifax", "ET": "America/New_York", "CT": "America/Chicago", "MT": "America/Denver", "PT": "America/Los_Angeles"}
_KOREA = timezone(timedelta(hours=9))  # who writes a date in Korean and no zone; feedparser reads it so too

_ISO = re.compile(
    r"(-?\d[\dW-]*?)"
    r"(?:(?:\s?[Tt]\s?|\s|(?=\d\d:))(\d{1,2})(?::?(\d\d)(?::?(\d\d)(?:[.,]\d+)?)?)?\s?(?P<zone>\D.*)?|(?P<date_zone>Z|[+-]\d\d:\d\d))?"
)
_ISO_DATES = [
    re.compile(pattern)
    for pattern in (
        r"(?P<year>\d{4})-0?(?P<month>\d{1,2})-(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<year>\d{4})(?:-(?P<month>\d\d))?",
        r"(?P<year>\d{4})-?(?P<ordinal>\d{3})",
        r"(?P<year>\d{4})-?W(?P<week>\d\d)(?:-?(?P<weekday>[1-7]))?",
        # ISO 8601:1988, two digits for a year of this century; the leading hyphen stands for what is left out
        r"(?P<year>\d\d)(?P<hyphen>-?)(?P<month>\d\d)(?P=hyphen)(?P<day>\d\d)",
        r"(?P<year>\d\d)-?(?P<ordinal>\d{3})",
        r"-(?P<year>\d\d)(?:-?(?P<month>\d\d))?",
    )
]
_OFFSET = re.compile(r"(?:(?<![\w/])(?:GMT|UTC|UT)\s?|(?<!\S))([+-])(\d{1,2})(?::?(\d\d))?(?![\w:/.-])", re.I)
_TIME = re.compile(
    r"(?<![\d:])(\d{1,2})(?::(\d\d)(?::(\d\d)(?:[.,]\d+)?)?(?![\d:])|\s?h\s?(\d\d)?(?![^\W_])|(?=\s?[ap]\.?\s?m\b))(?:\s?([ap])\.?\s?m\b\.?)?",
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
    """A date as aware UTC, in whole seconds; 00:00 where it has no time, UTC where it names no zone (+09:00 if it is in Korean).

    None for anything absurd, for what lies more than a day after `now`, for unknown words, for a zone whose name is unknown or has several
    meanings ("IST"), and for numbers that may be read in two ways ("11/12/2020", unless an English weekday decides).
    Two-digit years are those of RFC 2822 section 4.3 (50 to 99 are 19xx), in ISO 8601 those of this century.
    """
    if not isinstance(text, str) or len(text) > _MAX_LENGTH:
        return None
    text = " ".join(unicodedata.normalize("NFKC", text).replace("\u2212", "-").split())
    try:
        return plausible(_read(text), now)
    except (ValueError, OverflowError, LookupError):
        return None


def plausible(at: datetime, now: datetime | None) -> datetime | None:
    """The date in UTC when it can be a publication date; without `now` only the calendar's own limits are checked."""
    try:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        return None
    if at < _EARLIEST or at.year > 2200 or (now is not None and at > now + _AHEAD):
        return None
    return at


def _read(text: str) -> datetime:
    """Raises ValueError, LookupError or OverflowError for anything that is not a date."""
    if text.isdecimal() and len(text) in (10, 13):
        return datetime.fromtimestamp(int(text[:10]), UTC)
    home: tzinfo = _KOREA if _HANGUL.search(text) else UTC
    for pattern, western in _EAST_ASIAN if not text.isascii() else ():
        text = pattern.sub(western, text)
    text = text.strip()
    if (iso := _ISO.fullmatch(text)) and (day := _iso_day(iso[1])):
        zone = iso["zone"] or iso["date_zone"]
        if zone is None or _is_zone(zone):
            return _at(day, int(iso[2] or 0), int(iso[3] or 0), int(iso[4] or 0), _zone(zone) if zone else home)
    return _read_words(text, home)


def _iso_day(text: str) -> date | None:
    """Raises ValueError for a day that does not exist, such as 31 June."""
    match = next((match for pattern in _ISO_DATES if (match := pattern.fullmatch(text))), None)
    if match is None:
        return None
    parts = {name: int(digits) for name, digits in match.groupdict().items() if digits and digits != "-"}
    year = parts["year"] + (2000 if len(match["year"]) == 2 else 0)
    if "week" in parts:
        return date.fromisocalendar(year, parts["week"], parts.get("weekday", 1))
    if "ordinal" in parts:
        day = date(year, 1, 1) + timedelta(days=parts["ordinal"] - 1)
        if day.year != year:
            raise ValueError(f"a year has no day {parts['ordinal']}")
        return day
    return date(year, parts.get("month", 1), parts.get("day", 1))


def _read_words(text: str, home: tzinfo) -> datetime:
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
        zone = _fixed(offset[1], offset[2], offset[3])
        text = _COMMENT.sub(" ", text[: offset.start()] + " " + text[offset.end() :])  # RFC 822: what is in parentheses is a comment
    text = _ORDINAL.sub("", text)
    numbers, months, weekday, named = _tokens(text, has_time=time is not None)
    day = _day_of_month(numbers, months[-1]) if months else _numeric_day(text, numbers, weekday)
    return _at(day, hour, minute, second, zone or (_zone(named) if named else home))


def _tokens(text: str, has_time: bool) -> tuple[list[str], list[int], int | None, str | None]:
    """The numbers, months, English weekday and zone's name. Unknown words before the first number are ignored, others raise ValueError."""
    numbers: list[str] = []
    months: list[int] = []
    weekday: int | None = None
    zone: str | None = None
    started = timed = False
    for token in _TOKEN.finditer(text):
        place, word, number = token.groups()
        if number == "0000":  # no year: an offset without its sign
            zone = zone or "UTC"
        elif number:
            numbers.append(number)
        elif word is None and place is None:
            timed = True
        elif place or ((timed or (started and not has_time)) and _is_zone(word)):
            if zone not in (None, place or word):
                raise ValueError("two time zones")
            zone = place or word
        elif month := month_number(word):
            months.append(month)
        elif word[:3].lower() in _WEEKDAYS and word.isascii():
            weekday = _WEEKDAYS.index(word[:3].lower())
        elif started and fold(word) not in _FILLERS:
            raise ValueError(f"not a date: {word!r} means nothing")
        started = started or number is not None
    return numbers, months, weekday, zone


def _day_of_month(numbers: list[str], month: int) -> date:
    """Of two numbers the year is the one with four digits, else the second: RFC 822 and its relatives."""
    first, second = numbers
    day, year = (second, first) if len(first) == 4 else (first, second)
    return date(_year(year), month, int(day))


def _numeric_day(text: str, numbers: list[str], weekday: int | None) -> date:
    """Year first, or with dots day first; else day and month in the one order that is a day, and that weekday if one is named."""
    match = _NUMERIC.search(text)
    if match is None or len(numbers) != 3:
        raise ValueError("not a day")
    first, separator, second, third = match.groups()
    if len(first) == 4:
        return date(int(first), int(second), int(third))
    if separator == ".":
        return date(_year(third), int(second), int(first))
    days = {day for a, b in ((first, second), (second, first)) if (day := _day_or_none(_year(third), int(a), int(b)))}
    if weekday is not None and len(days) > 1:
        days = {day for day in days if day.weekday() == weekday}
    (day,) = days
    return day


def _day_or_none(year: int, month: int, day: int) -> date | None:
    return date(year, month, day) if 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1] else None


def _year(digits: str) -> int:
    if len(digits) not in (2, 4):
        raise ValueError(f"{digits} is not a year")
    return int(digits) + (0 if len(digits) == 4 else 2000 if int(digits) < 50 else 1900)


def _at(day: date, hour: int, minute: int, second: int, zone: tzinfo) -> datetime:
    """ISO 8601 has 24:00 for the end of a day, and RFC 822 a leap second."""
    extra = timedelta(days=(hour, minute, second) == (24, 0, 0), seconds=second == 60)
    return datetime(day.year, day.month, day.day, hour - 24 * extra.days, minute, second - (second == 60), tzinfo=zone) + extra


def _is_zone(name: str) -> bool:
    try:
        _zone(name)
    except (ValueError, LookupError):
        return False
    return True


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """The zone of an offset, an abbreviation or an IANA name. Raises ValueError or LookupError for any other."""
    offset = _OFFSET.fullmatch(name)
    if offset:
        return _fixed(offset[1], offset[2], offset[3])
    if name in _LETTERS or name == "z":
        return timezone(timedelta(hours=_LETTERS[name.upper()]))
    if (hours := _HOURS.get(name.upper())) is not None:
        return timezone(timedelta(hours=hours))
    place = _PLACES.get(name.upper(), name)
    if "/" not in place:
        raise LookupError(f"{name} is not one time zone")
    try:
        return ZoneInfo(place)
    except OSError:  # a folder of zones: "America/Argentina"
        raise LookupError(f"{name} is not a time zone") from None


def _fixed(sign: str, hours: str, minutes: str | None) -> timezone:
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    if offset > _MAX_OFFSET or int(minutes or 0) > 59:
        raise ValueError(f"{hours}:{minutes} is not an offset")
    return timezone(-offset if sign == "-" else offset)
