"""The language of a text as a BCP 47 tag: declared by the page, or detected.

Words and letters decide between similar languages that the statistical detector confuses.

py3langid ships its model compressed with LZMA. To unpack it costs 0.6 s of CPU and 68 MB of memory in each process. Therefore the unpacked
arrays are kept as files in the user's cache folder, and processes that map them into memory share that memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import langcodes
import platformdirs

from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.text.language_tags import NON_LANGUAGE_CODES, parse_language_tag

SAMPLE_CHARACTERS = 4000  # characters of a text that are examined
LONG_TEXT_CHARACTERS = 200  # characters from which MIN_PROBABILITY is enough
MIN_TEXT_CHARACTERS = 20  # characters that a text needs for language detection
# Probabilities of py3langid 0.4, which are calibrated, measured on 14,000 pieces of known texts. Results above the limit for short texts
# were right in 99.6 % with 20 characters and in 99.9 % with 40 to 190. Texts in an unknown script stay below MIN_PROBABILITY.
MIN_PROBABILITY_SHORT_TEXT, MIN_PROBABILITY = 0.6, 0.4
# Above this, the text overrides the declaration. 24 of 1,830 measured pages declare a language that is not that of the text: the
# template is English, the article Zulu. If the beginning and the whole text exceed it, no correct declaration was overridden.
MIN_PROBABILITY_CONTRADICTION = 0.8
LanguageAndSource = tuple[str, str]
_WORD = re.compile(r"[^\W\d_]+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_AZERBAIJANI_LETTER = re.compile(r"[əƏҝҜҹҸ]")  # among Turkic languages: ə in Latin script, ҝ and ҹ in Cyrillic script
_MIN_AZERBAIJANI_SHARE = 0.002  # share of the characters that are these letters; texts in Cyrillic script have 0.5 %, in Latin script 8 %
ARRAYS = ("weights", "priors", "languages", "next_states", "rows", "outputs")  # in the order of `modelio.load_model`


def find_language(page: StructuredData, text: str, fallback: str | None = None, hint: str | None = None) -> LanguageAndSource | None:
    """Return the BCP 47 tag and its provenance. Declarations of the page count if they agree and the text does not contradict them.

    If the detector is not certain, the language is that of the feed (`hint`) or of the source (`fallback`), or None without them.
    """
    article = page.article or {}
    declared = [
        (tag, source)
        for value, source in (
            (article.get("inLanguage"), "json-ld"),
            (page.lang, "dom"),
            (page.first("og:locale", "content-language", "language", "dc.language", "inlanguage"), "meta"),
        )
        if (tag := parse_language_tag(value)) is not None
    ]
    if declared and len({tag.split("-")[0] for tag, _ in declared}) == 1:
        best = max(declared, key=lambda found: len(found[0]))
        other = _find_contradiction(best[0], text)
        return best if other is None else (other, "text")
    detected = detect_language(text)
    if detected is not None:
        return next((found for found in declared if found[0].split("-")[0] == detected), (detected, "text"))
    fallbacks = (
        declared
        + [(tag, "feed") for value in (hint,) if (tag := parse_language_tag(value))]
        + [(tag, "source") for value in (fallback,) if (tag := parse_language_tag(value))]
    )
    return fallbacks[0] if fallbacks else None


def detect_language(text: str) -> str | None:
    """Return the BCP 47 language of a text, or None if the detector is not certain enough."""
    if len(text) < MIN_TEXT_CHARACTERS:
        return None
    language, probability = _detect_likeliest(text[:SAMPLE_CHARACTERS])
    return (
        parse_language_tag(language)
        if probability >= (MIN_PROBABILITY if len(text) >= LONG_TEXT_CHARACTERS else MIN_PROBABILITY_SHORT_TEXT)
        else None
    )


def _find_contradiction(declared: str, text: str) -> str | None:
    """Return the language of the text if it certainly differs from the declared one. The first words decide for nearly all pages."""
    beginning = text[:LONG_TEXT_CHARACTERS]
    if len(beginning) < LONG_TEXT_CHARACTERS or _has_common_words(beginning, declared):
        return None
    language, probability = _detect_likeliest(beginning)
    if language == declared.split("-")[0] or probability < MIN_PROBABILITY_CONTRADICTION or _is_compatible(declared, language):
        return None
    whole, probability = _detect_likeliest(text[:SAMPLE_CHARACTERS])
    return parse_language_tag(language) if whole == language and probability >= MIN_PROBABILITY_CONTRADICTION else None


def _has_common_words(text: str, language: str) -> bool:
    """Whether the text contains several different frequent words of the language. The detector costs 0.7 ms more."""
    common = _COMMON_WORDS.get(language.split("-")[0])
    return common is not None and len(common.intersection(text.lower().split())) >= MIN_COMMON_WORDS


def _is_compatible(declared: str, detected: str) -> bool:
    """Whether the detector cannot contradict: it does not know the language, confuses the two, or both have the same macrolanguage."""
    one, other = _get_macrolanguage(declared), _get_macrolanguage(detected)
    if one not in _list_known_languages():
        return not _is_country_code_of(declared, other)
    return one == other or are_confusable(one, other)


def _is_country_code_of(code: str, language: str) -> bool:
    """Whether a site used its country code as its language code: "kr" is Kanuri, "ee" Ewe, "se" Northern Sami."""
    return len(code) == 2 and langcodes.Language.make(territory=code.upper()).maximize().language == language


def _get_macrolanguage(tag: str) -> str:
    return str(langcodes.Language.get(tag).prefer_macrolanguage().language)


def _detect_likeliest(sample: str) -> tuple[str, float]:
    probabilities = {language: probability for language, probability in load_detector().rank(sample) if language not in NON_LANGUAGE_CODES}
    return decide_language(sample, probabilities)


@cache
def _list_known_languages() -> frozenset[str]:
    return frozenset(map(_get_macrolanguage, load_detector().labels))


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Frequent words. Related languages share some: Dutch has "was", "had" and "of", Danish "den", Luxembourgish "der", "den", "dem" and "bei".
_COMMON_WORDS = {
    "en": _word_set(
        "the of and to that with was were has had have this from which their they would been by his after it he she not but who can could "
        "should more than about into when where while before during between because said says told our your some any other first year "
        "years people"
    ),
    "de": _word_set(
        "der die das und ist nicht mit dem den eine einen einem einer von zu sich auf für als auch wird wurde hat nach bei dass aber oder "
        "wenn noch nur über ihre seine sind waren werden worden haben hatte durch gegen unter zwischen mehr wir ich vom"
    ),
}
MIN_COMMON_WORDS = 5  # different ones in the first LONG_TEXT_CHARACTERS; a related language has three, whatever it repeats

# Serbian (ekavian) spells with e what Bosnian and Croatian (ijekavian) spell with ije or je.
_EKAVIAN_WORDS = _word_set(
    "gde ovde negde nigde uvek reč reči vreme vremena mesto mesta mestu deca dece deci dve pre posle lepo svet sveta svetu čovek "
    "čoveka čoveku deo ceo celo cela sledeći sledeće primer vera veru hteo videti razumeti mleko nedelja nedelju nedelje rešenje "
    "rešenja mera mere uspeh telo dela delo delu predsednik predsednika predsednica poverenje poslednji poslednje verovanja reka beli "
    "izveštaj obaveštenje"
)
_IJEKAVIAN_WORDS = _word_set(
    "gdje ovdje negdje nigdje uvijek riječ riječi vrijeme vremena mjesto mjesta mjestu djeca djece djeci dvije prije poslije lijepo "
    "svijet svijeta svijetu čovjek čovjeka čovjeku dio cijelo cijela cijeli sljedeći sljedeće primjer vjera vjeru htio vidjeti "
    "razumjeti mlijeko nedjelja nedjelju nedjelje rješenje rješenja mjera mjere uspjeh tijelo djela djelo djelu predsjednik "
    "predsjednika predsjednica povjerenje posljednji posljednje vjerovanja rijeka bijeli izvještaj obavijest"
)
_CROATIAN_WORDS = _word_set(
    "tko netko nitko svatko tijekom uvjet uvjeti uvjeta sveučilište tisuća tisuće točno siječnja veljače ožujka travnja svibnja "
    "lipnja srpnja kolovoza rujna listopada studenoga studenog prosinca europa europe europska europske europski priopćio priopćila "
    "priopćenju ravnatelj gospodarstvo gospodarstva znanost povijest povijesti vlak zrakoplov glazba glazbe kazalište izvješće "
    "izvješća sukladno glede obitelj obitelji opća opće općoj osobito poradi budući slobode"
)
_BOSNIAN_WORDS = _word_set(
    "ko neko niko šta tokom uslov uslovi uslova univerzitet hiljada hiljade tačno januara februara marta aprila maja juna jula "
    "augusta septembra oktobra novembra decembra evropa evrope evropska evropske evropski saopćio saopćila saopćeno saopćenju "
    "historija historije porodica porodice porodici sedmica sedmice voz avion muzika muzike nauka nauke opšta opšte opštoj naročito "
    "radi pošto"
)
_INDONESIAN_WORDS = _word_set(
    "karena bahwa berbeda uang kantor polisi bisa anda pemerintah perusahaan mobil senin selasa kamis jumat minggu miliar triliun "
    "rupiah persen provinsi kabupaten sedangkan usai terkait ujar ujarnya tewas korban merupakan internasional perserikatan hukum "
    "maupun"
)
_MALAY_WORDS = _word_set(
    "kerana bahawa berbeza wang pejabat polis boleh kerajaan syarikat kereta hospital isnin khamis jumaat ahad sahaja ialah iaitu "
    "manakala beliau ringgit peratus bilion hendaklah sekiranya mahkamah antarabangsa pertubuhan undang mangsa cuba semasa sesiapa"
)
_SOUTH_SLAVIC_LANGUAGES = frozenset({"bs", "hr", "sr"})
_MALAYIC_LANGUAGES = frozenset({"id", "ms"})
_TURKIC_LANGUAGES = frozenset({"az", "ba", "crh", "kk", "ky", "tk", "tr", "tt", "ug", "uz", "uzs"})


# ---- similar languages ------------------------------------------------------------------------------------------------------------


def decide_language(text: str, probabilities: Mapping[str, float]) -> tuple[str, float]:
    """Return the most likely language of `text` and its probability, from the `probabilities` of a detector (0 to 1, not empty).

    If words decide between languages that the detector confuses, the probability is the sum over these languages.
    """
    first = max(probabilities, key=probabilities.__getitem__)
    for group, decide in (
        (_SOUTH_SLAVIC_LANGUAGES, _decide_south_slavic),
        (_MALAYIC_LANGUAGES, _decide_malayic),
        (_TURKIC_LANGUAGES, _decide_turkic),
    ):
        if first in group and (decided := decide(text)) is not None:
            return decided, sum(probabilities.get(language, 0.0) for language in group)
    return first, probabilities[first]


def are_confusable(one: str, other: str) -> bool:
    """Whether the two languages belong to a group that a detector confuses."""
    return any(one in group and other in group for group in (_SOUTH_SLAVIC_LANGUAGES, _MALAYIC_LANGUAGES, _TURKIC_LANGUAGES))


def _decide_turkic(text: str) -> str | None:
    return "az" if len(_AZERBAIJANI_LETTER.findall(text)) > _MIN_AZERBAIJANI_SHARE * len(text) else None


def _decide_south_slavic(text: str) -> str | None:
    if len(_CYRILLIC.findall(text)) * 2 > len(text):
        return "sr"
    words = _WORD.findall(text.lower())
    spelling = _choose_by_words(words, _EKAVIAN_WORDS, _IJEKAVIAN_WORDS, "sr", "ijekavian")
    chosen = _choose_by_words(words, _CROATIAN_WORDS, _BOSNIAN_WORDS, "hr", "bs")
    if spelling == "sr" or (spelling is None and chosen == "bs"):  # the words of the Bosnian list are Serbian too
        return spelling
    return chosen


def _decide_malayic(text: str) -> str | None:
    return _choose_by_words(_WORD.findall(text.lower()), _INDONESIAN_WORDS, _MALAY_WORDS, "id", "ms")


def _choose_by_words(words: list[str], these: frozenset[str], those: frozenset[str], name: str, other: str) -> str | None:
    """Return the name of the list that contains more of the words; None for a tie."""
    difference = sum((word in these) - (word in those) for word in words)
    return name if difference > 0 else other if difference < 0 else None


# ---- the model of the detector --------------------------------------------------------------------------------------------------


@cache
def load_detector() -> Any:
    """Return py3langid's LanguageIdentifier, which gives calibrated probabilities.

    The first call of a user unpacks the model. Where the cache folder cannot be written, each process does.
    """
    # numpy costs 0.07 s of CPU, which the processes that import this module and read no page need not spend
    from py3langid import modelio  # type: ignore[import-untyped]  # publishes no types
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    folder = platformdirs.user_cache_path("newsmill") / f"py3langid-{version('py3langid')}"
    has_folder = folder.is_absolute()  # it is not if the user has no home folder
    arrays = _load_unpacked(folder) if has_folder else None
    if arrays is None:
        arrays = modelio.load_model(MODEL_DIR / MODEL_FILE)
        if has_folder:
            with suppress(OSError):  # the next process tries again
                _save_unpacked(folder, arrays)
    weights, priors, languages, next_states, rows, outputs = arrays
    return LanguageIdentifier(weights, priors, languages, next_states, outputs, norm_probs=True, tk_row=rows)


def _load_unpacked(folder: Path) -> tuple[Any, ...] | None:
    """The arrays that `_save_unpacked` wrote, or None if a file is missing or damaged."""
    import numpy as np

    try:
        weights, priors, languages, next_states, rows, outputs = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ARRAYS
        )
    except (OSError, EOFError, ValueError):
        return None
    # A memoryview gives integers of Python, six times as fast as numpy's memory map.
    return weights, priors, languages.tolist(), next_states.data, rows.tolist(), outputs.tolist()


def _save_unpacked(folder: Path, arrays: tuple[Any, ...]) -> None:
    """Write the files. Another process finds each of them whole or not at all. Raises OSError."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(ARRAYS, arrays, strict=True):
        draft = folder / f".{name}.{os.getpid()}"
        try:
            with draft.open("wb") as file:
                np.save(file, np.asarray(array), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(folder / f"{name}.npy")
        finally:
            draft.unlink(missing_ok=True)
