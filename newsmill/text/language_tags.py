"""Language tags as BCP 47 (RFC 5646) spells them, for listings and pages alike."""

from __future__ import annotations

import re
from functools import lru_cache

NON_LANGUAGE_CODES = frozenset({"und", "mul", "zxx", "mis"})
_TAG = re.compile(r"\s*([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|\d{3}))?(?=$|[^A-Za-z0-9])")
_PRIVATE_REGION = re.compile(r"-(?:AA|Q[M-Z]|X[A-JL-Z]|ZZ)$")  # ISO 3166 reserves them for private use; XK is Kosovo


def parse_language_tag(value: object) -> str | None:
    """The canonical spelling of a language tag ("de", "pt-BR", "zh-Hant-TW"); None for a language that RFC 5646 does not register.

    `value` is a string, or JSON-LD's list of them or object with a name. Anything else gives None.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("alternateName") or value.get("name")
    return _parse(value.strip()[:20]) if isinstance(value, str) else None  # a tag has at most 11 characters


@lru_cache(maxsize=256)  # a site repeats its tags on every page, and a look-up takes 0.03 ms
def _parse(value: str) -> str | None:
    import langcodes  # its tables take 0.05 s of CPU, which most processes need not spend

    match = _TAG.match(value)
    if match is None or match.group(1).lower() in NON_LANGUAGE_CODES:
        return None
    language, script, region = match.groups()
    for parts in ((language, script, region), (language, script), (language,)):
        tag = "-".join(filter(None, parts))
        if langcodes.tag_is_valid(tag):
            standard = langcodes.standardize_tag(tag)
            if not _PRIVATE_REGION.search(standard):  # a number may stand for such a region too
                return standard
    return None
