"""Similar languages that the statistical detector confuses: words and letters decide between them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORD = re.compile(r"[^\W\d_]+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_AZERBAIJANI_LETTER = re.compile(r"[əƏҝҜҹҸ]")  # among Turkic languages: ə in Latin script, ҝ and ҹ in Cyrillic script
_MIN_AZERBAIJANI_SHARE = 0.002  # share of the characters that are these letters; texts in Cyrillic script have 0.5 %, in Latin script 8 %


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Serbian (ekavian) spells with e what Bosnian and Croatian (ijekavian) spell with ije or je.
_EKAVIAN_WORDS = word_set(
    "gde ovde negde nigde uvek reč reči vreme vremena mesto mesta mestu deca dece deci dve pre posle lepo svet sveta svetu čovek "
    "čoveka čoveku deo ceo celo cela sledeći sledeće primer vera veru hteo videti razumeti mleko nedelja nedelju nedelje rešenje "
    "rešenja mera mere uspeh telo dela delo delu predsednik predsednika predsednica poverenje poslednji poslednje verovanja reka beli "
    "izveštaj obaveštenje"
)
_IJEKAVIAN_WORDS = word_set(
    "gdje ovdje negdje nigdje uvijek riječ riječi vrijeme vremena mjesto mjesta mjestu djeca djece djeci dvije prije poslije lijepo "
    "svijet svijeta svijetu čovjek čovjeka čovjeku dio cijelo cijela cijeli sljedeći sljedeće primjer vjera vjeru htio vidjeti "
    "razumjeti mlijeko nedjelja nedjelju nedjelje rješenje rješenja mjera mjere uspjeh tijelo djela djelo djelu predsjednik "
    "predsjednika predsjednica povjerenje posljednji posljednje vjerovanja rijeka bijeli izvještaj obavijest"
)
_CROATIAN_WORDS = word_set(
    "tko netko nitko svatko tijekom uvjet uvjeti uvjeta sveučilište tisuća tisuće točno siječnja veljače ožujka travnja svibnja "
    "lipnja srpnja kolovoza rujna listopada studenoga studenog prosinca europa europe europska europske europski priopćio priopćila "
    "priopćenju ravnatelj gospodarstvo gospodarstva znanost povijest povijesti vlak zrakoplov glazba glazbe kazalište izvješće "
    "izvješća sukladno glede obitelj obitelji opća opće općoj osobito poradi budući slobode"
)
_BOSNIAN_WORDS = word_set(
    "ko neko niko šta tokom uslov uslovi uslova univerzitet hiljada hiljade tačno januara februara marta aprila maja juna jula "
    "augusta septembra oktobra novembra decembra evropa evrope evropska evropske evropski saopćio saopćila saopćeno saopćenju "
    "historija historije porodica porodice porodici sedmica sedmice voz avion muzika muzike nauka nauke opšta opšte opštoj naročito "
    "radi pošto"
)
_INDONESIAN_WORDS = word_set(
    "karena bahwa berbeda uang kantor polisi bisa anda pemerintah perusahaan mobil senin selasa kamis jumat minggu miliar triliun "
    "rupiah persen provinsi kabupaten sedangkan usai terkait ujar ujarnya tewas korban merupakan internasional perserikatan hukum "
    "maupun"
)
_MALAY_WORDS = word_set(
    "kerana bahawa berbeza wang pejabat polis boleh kerajaan syarikat kereta hospital isnin khamis jumaat ahad sahaja ialah iaitu "
    "manakala beliau ringgit peratus bilion hendaklah sekiranya mahkamah antarabangsa pertubuhan undang mangsa cuba semasa sesiapa"
)
_SOUTH_SLAVIC_LANGUAGES = frozenset({"bs", "hr", "sr"})
_MALAYIC_LANGUAGES = frozenset({"id", "ms"})
_TURKIC_LANGUAGES = frozenset({"az", "ba", "crh", "kk", "ky", "tk", "tr", "tt", "ug", "uz", "uzs"})


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
