"""Pairs of common words, which are indexed as words of their own.

Few documents contain "to be or not to be", but most contain its words, and an index finds the few only by reading all word positions. So
every two adjacent common words are one more term. A phrase that stands nowhere takes 48 ms on SQLite (p95) at a million documents
(`benchmarks/growth.py --sizes 1000000`).

The list is part of the index's format: after a change all documents must be indexed again. The words of all languages are in one list, so
that a query need not know its language. They are folded, and not stemmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

ENGLISH = (
    "the of to and a in that is for on it with as was at by be he from have his are an this has not but they will who had said were i "
    "their its s which one been or more would about after we all new when her she also than there out up can other some first over into "
    "so last if no what time two year years only could people most them just now like him may because any how before should our being "
    "down through where between these those while made make many such even under then against do did during t you your my me us off own "
    "much very here still well back says say both each too get go going told three don re ve ll d m does without within among until per"
)

# A word that is rare in another language does no harm: it makes a few more bigrams.
OTHER_LANGUAGES = (
    # German
    "der die und den von zu das mit sich des auf fur ist im dem nicht ein eine als auch es werden aus er hat dass sie nach wird bei einer "
    "um am sind noch wie einem uber einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei prozent hatte kann "
    "gegen vom konnen schon wenn habe seine ihre dann unter wir soll ich eines jahr zwei jahren diese dieser wieder keine seiner worden "
    # French
    "de la le et les en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec son aux cette ses ou mais comme elle on "
    "deux leur nous ont ete apres sa fait bien entre aussi etre c l qu n j y tout sans peut ces ans contre apres selon encore depuis "
    # Spanish, Portuguese, Catalan
    "el los y las por con una su para lo como mas pero sus le ya o este si porque esta cuando muy sin sobre tambien me hasta hay donde "
    "quien desde todo nos durante todos uno les ni contra otros ese eso ante ellos e esto entre ha han fue era ser dos anos segun o os as "
    "do da dos das no na nos nas ao aos pelo pela um uma que nao com se mais foi por ele ela seu sua sao tem mas ou quando muito ja eu "
    "tambem so isso els amb per les dels seva "
    # Italian
    "di che il non per una sono del della con si piu anche come dei le ma alla nel ha gli ed delle al da dal dalla nella ai questo era "
    "stato essere dopo cui suo sua tra fra ancora anni "
    # Dutch, Swedish, Danish, Norwegian
    "van het een in op te dat met voor zijn niet aan er om ook als bij maar dan nog naar uit worden wordt door heeft hij hun werd deze was "
    "over meer tot geen ze jaar och att det som pa av den till med har de inte om ett han men var jag sig fran vi sa kan nar ar under er "
    "efter eller hun ikke af en et til blev kunne vil skal mot fra blir ble ved etter "
    # Polish, Czech
    "w na z sie nie do ze to jest o jak przez za od po co tak dla ktory ktore ktora juz oraz tylko a i ale byl byla bylo sa tym tego je "
    "ve se pro podle pri jako ktery jeho uz jsou by nebo aby take k s u v "
    # Russian, Ukrainian, Bulgarian, Serbian
    "и в не на что с по он это как из у за от то к его но о для был а все так же было бы ее мы они до при или если только уже были еще "
    "после также года году который которые лет та що не від до як про за із є у й для на се да от са е ще като"
    # Turkish, Indonesian
    " bir ve bu da icin ile olarak cok daha gibi olan oldugu sonra kadar ise yang dan di dengan untuk dari dalam ini itu tidak pada akan "
    # Arabic, Persian, Hebrew
    "في من علي ان الي عن التي الذي هذا هذه مع كان قد لا ما هو هي بعد و به از كه را با اين است של את על לא הוא זה עם כי "
    # Hindi
    "गया के का में की है और से को पर ने"
)

# A word's place in the list gives the character for it in a bigram. U+E100 to U+F8FF are in no word of a text (`_WORD`).
_FIRST_CHARACTER = 0xE100
COMMON_WORD_CHARACTERS = {
    word: chr(_FIRST_CHARACTER + number) for number, word in enumerate(dict.fromkeys((ENGLISH + " " + OTHER_LANGUAGES).split()))
}


def common_bigrams(words: Sequence[str]) -> set[str]:
    """The terms for two adjacent common words.

    >>> [len(bigram) for bigram in sorted(common_bigrams(["to", "be", "frank", "or", "not", "to"]))]
    [2, 2, 2]
    """
    characters = map(COMMON_WORD_CHARACTERS.get, words)
    return {first + second for first, second in pairwise(characters) if first and second}
