"""The names of months, by the Unicode CLDR: in one table for listings, whose language is unknown, and by language for pages.

The table is a copy, because a process would need 0.4 s of CPU and 44 MB of memory to load the data of 45 languages for it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache

from newsmill.text import lazy_re as re

# Names of months in the languages of Europe, Indonesian and Malay, folded, of three letters or more. Source: Unicode CLDR 48
# (`babel.Locale.months`, wide and abbreviated, in format and alone), and the variants "Jänner", "Feber", "Maerz", "Mrz" and "setiembre".
# Not "lip", "lis", "listopad", "listopada" and "srp": they are different months in Croatian, Czech and Polish.
_MONTH_NAMES = (
    "ene enero gen gener gennaio ian ianuarie jaan jaanuar jaenner jan janar janeiro janner januar januara januari january janv "
    "janvaris janvier led leden ledna oca ocak saus sausio sausis sij sijecanj sijecnja sty styczen stycznia tammi tammikuu tammikuuta "
    "urt urtarrila xan xaneiro ιαν ιανουαριοσ ιανουαριου сту студзень студзеня січ січень січня янв январь января яну януари јан јануар "
    "јануари",
    "feb febbraio feber febr febreiro febrer febrero februar februara februari februarie februaris february fev fevereiro fevr fevrier "
    "helmi helmikuu helmikuuta lut lutego luty ots otsaila shk shkurt sub subat uno unor unora vas vasario vasaris veebr veebruar velj "
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
MONTH_NUMBERS = {name: number for number, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}
# As URLs write them, also before the rest of a name.
ENGLISH_ABBREVIATIONS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
MAX_CACHED_LANGUAGES = 64
MIN_ABBREVIATION_LETTERS = 3  # letters that an abbreviation of a month needs ("Sept.")
# For pages in an unknown language: the most common languages of the web.
DEFAULT_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr")
PERSIAN_LANGUAGES = frozenset(("fa", "prs", "ps"))  # in which 1405 begins in March 2026
MONTH_VARIANTS = {"ar": ("ar_LB", "ar_DZ", "ar_MA"), "de": ("de_AT",), "sr": ("sr_Latn",)}  # locales with other month names
PERSIAN_MONTHS = ("فروردین", "اردیبهشت", "خرداد", "تیر", "مرداد", "شهریور", "مهر", "آبان", "آذر", "دی", "بهمن", "اسفند")
_DEVANAGARI_NASAL = re.compile("[ङञणनम]्(?=[क-ह])")
_GLUED = re.compile(r"^.*[a-zß-ÿ](?=[A-ZÀ-Þ][^A-Z]*$)")  # "SmithMarch": an inline element with a name before the date


def find_month_number(word: str) -> int | None:
    """1 to 12 for the name of a month in upper or lower case, with or without accents; None for any other word."""
    return MONTH_NUMBERS.get(fold_word(word))


def fold_word(word: str) -> str:
    """The word without case, accents and the Turkish dotless i: "Févr" → "fevr"."""
    letters = unicodedata.normalize("NFKD", word.casefold().replace("\u0131", "i"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def parse_month(name: str, language: str | None) -> int | None:
    """Return the month (1 to 12) of a name or an abbreviation in the language or in English, otherwise None."""
    if language is not None and language.split("-")[0] in PERSIAN_LANGUAGES and name in PERSIAN_MONTHS:
        return PERSIAN_MONTHS.index(name) + 1
    spellings = dict.fromkeys((_fold_name(name), _fold_name(_GLUED.sub("", name))))
    tables = [_load_months(tag) for tag in (DEFAULT_LANGUAGES if language is None else dict.fromkeys((language.split("-")[0], "en")))]
    found = (table.get(spelling) or _match_abbreviation(spelling, table) for table in tables for spelling in spellings)
    return next((month for month in found if month is not None), None)


def _match_abbreviation(word: str, table: Mapping[str, int]) -> int | None:
    months = {month for name, month in table.items() if name.startswith(word)} if len(word) >= MIN_ABBREVIATION_LETTERS else set()
    return months.pop() if len(months) == 1 else None


def _fold_name(name: str) -> str:
    """Return the name in one spelling: "नवम्बर" and "नवंबर" are the same Hindi word."""
    return _DEVANAGARI_NASAL.sub("ं", unicodedata.normalize("NFC", name).casefold().strip(".,;:'’\""))


@lru_cache(maxsize=MAX_CACHED_LANGUAGES)
def _load_months(language: str) -> Mapping[str, int]:
    """Return full and abbreviated month names from CLDR, alone and within a date. The result is empty for an unknown language."""
    from babel import UnknownLocaleError

    try:
        locales = [load_month_names(tag) for tag in (language, *MONTH_VARIANTS.get(language, ()))]
    except (UnknownLocaleError, ValueError):
        return {}
    tables = (months[context][width] for months in locales for context in ("format", "stand-alone") for width in ("wide", "abbreviated"))
    return {_fold_name(name): month for table in tables for month, name in table.items() if not name.isdigit()}


def is_month_name(word: str, language: str) -> bool:
    """True for the full or abbreviated name of a month in the language."""
    return _fold_name(word) in _load_months(language)


def load_month_names(language: str) -> Mapping[str, Mapping[str, Mapping[int, str]]]:
    """Return month names by context ("format", "stand-alone"), width ("wide", "abbreviated", …) and number, for a language tag.

    The source is the Unicode CLDR, like `babel.Locale.months`, but from a copy. Babel 2.18 resolves an alias inside data that languages
    share, so that German month names are partly Hebrew after Hebrew was read.
    Raise UnknownLocaleError or ValueError for an unknown tag.
    """
    from babel import Locale, localedata  # 0.06 s of CPU, which processes that read no page need not spend

    months = localedata.load(str(Locale.parse(language)))["months"]
    names: Mapping[str, Mapping[str, Mapping[int, str]]] = localedata.LocaleDataDict(deepcopy({"months": months}))["months"]
    return names
