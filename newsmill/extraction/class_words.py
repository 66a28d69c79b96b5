"""The words in the class, id and data attributes of boxes, grouped by the purpose of the boxes."""

from __future__ import annotations

import re
from functools import lru_cache

# Only whole words count. Short prefixes match those of frameworks ("wp-", "ad"), which
# cost 2 points in a trial.
CLASS_GROUPS = {
    "share": "share sharing social facebook twitter whatsapp follow",
    "related": """related recommend recommended recommendation recommendations more mehr readmore also similar suggest suggested trending
        popular latest next onward outbrain taboola""",
    "teaser": "teaser card promo tile preview listing feed grid carousel slider slide swiper thumb thumbnail",
    "newsletter": """newsletter subscribe subscription subscriber signup abo optin mailing login register registration paywall premium
        donate donation donations member membership cta""",
    "byline": "byline author authors autor auteur writer contributor contributors reporter bio profile avatar",
    "caption": "caption credit credits copyright figure image img photo picture gallery legend media bildunterschrift",
    "comment": "comment comments disqus reply replies discussion kommentar kommentare forum feedback review reviews",
    "advert": "ad ads advert adverts advertisement advertising sponsor sponsored anzeige banner affiliate dfp commercial werbung",
    "menu": "nav navigation menu breadcrumb breadcrumbs topbar toolbar tabs tab pagination pager skip search sitemap language",
    "footer": "footer foot bottom legal disclaimer imprint colophon",
    "header": "header masthead head top hero kicker eyebrow overline flag label badge",
    "title": "title headline heading hed titre titulo",
    "standfirst": """subtitle subhead subheadline subheading standfirst dek deck lead lede intro excerpt summary abstract description
        chapo""",
    "meta": "meta date datetime time timestamp published updated dateline info readtime reading views duration",
    "tags": "tag tags topic topics category categories keyword keywords rubrik thema",
    "body": "body content articlebody story text entry post paragraph prose richtext rte copy main article texto inhalt",
    "aside": """aside sidebar widget rail infobox factbox fact facts box module complementary inset supplement callout pullout aux
        secondary""",
    "table": "table toc contents list specs",
    "quote": "quote pullquote blockquote zitat",
    "embed": "embed video player audio podcast iframe tweet instagram youtube oembed playlist live",
    "consent": "cookie cookies consent gdpr privacy modal popup overlay dialog toast notice alert message",
    "hidden": "hidden hide print noprint collapse collapsed invisible mobile desktop",
    "product": "product products price shop buy offer deal deals recipe ingredient ingredients rating faq question answer",
}
_BITS = {word: 1 << bit for bit, group in enumerate(CLASS_GROUPS.values()) for word in group.split()}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ORDER = range(len(CLASS_GROUPS))


@lru_cache(maxsize=20_000)  # a site repeats its attributes; 20,000 short strings are under 5 MB
def find_class_groups(names: str) -> int:
    """Return the groups to which words of `names` belong, as bits in the order of CLASS_GROUPS.

    >>> find_class_groups("story-relatedLinks") == find_class_groups("story") | find_class_groups("related")
    True
    """
    bits = 0
    for word in _WORD.findall(names):
        bits |= _BITS.get(word.lower(), 0)
    return bits


@lru_cache(maxsize=10_000)
def expand_class_groups(bits: int) -> tuple[int, ...]:
    """Return the bits as one 0 or 1 per group, in the order of CLASS_GROUPS."""
    return tuple(bits >> bit & 1 for bit in _ORDER)
