"""Words that stand in most texts of their language, whatever these are about; pairs of them are indexed as one word. Pure.

A phrase such as "to be or not to be" is held by few documents, but each of its words by most: neither index finds the few without reading
where the words stand in all the others. So every two neighbours that are both in this list become one word more (`pairs`). The list is
part of the index's format: a new word changes what every entry must hold (`entry.FORMAT`). Words of all languages are in one list, so a
query need not know its language; they are folded, and looked for as they are, without a stemmer.
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

# One word a language has only in another meaning does no harm: it makes a few pairs more.
OTHERS = (
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
    "في من على ان الى عن التي الذي هذا هذه مع كان قد لا ما هو هي بعد و به از که را با این است של את על לא הוא זה עם כי "
    # Hindi
    "गया के का में की है और से को पर ने"
)

# The place in the list is the character that stands for a word in a pair. U+E100 to U+F8FF are in no word of a text (words._WORD).
_FIRST = 0xE100
CHARACTERS = {word: chr(_FIRST + number) for number, word in enumerate(dict.fromkeys((ENGLISH + " " + OTHERS).split()))}


def pairs(words: Sequence[str]) -> set[str]:
    """The pairs of common words that stand side by side, each as one word.

    >>> [len(pair) for pair in pairs(["to", "be", "frank", "or", "not", "to"])]
    [2, 2, 2]
    """
    held = list(map(CHARACTERS.get, words))
    return {first + second for first, second in pairwise(held) if first and second}
