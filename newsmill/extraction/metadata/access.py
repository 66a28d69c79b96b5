"""Who may read and use a page: free or paywalled, its licence, and its directives for robots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from newsmill.extraction.metadata.json_ld import as_list
from newsmill.extraction.metadata.structured_data import StructuredData
from newsmill.extraction.vocabulary import compile_rare_words
from newsmill.text.sentences import Sentence

PAYWALL_NOTICE = compile_rare_words("{paywall}")
MAX_ENDING_CHARACTERS = 300  # characters at the end of a text in which a paywall notice counts; further up it is a quotation
_LICENSE = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/", re.IGNORECASE)
# Headers and meta names with directives for robots and text miners (TDMRep: https://www.w3.org/community/reports/tdmrep/).
_ROBOTS_META = (
    "robots",
    "googlebot",
    "googlebot-news",
    "bingbot",
    "tdm-reservation",
    "tdm-policy",
    "gptbot",
    "ccbot",
    "google-extended",
    "anthropic-ai",
)
_ROBOTS_HEADERS = ("x-robots-tag", "tdm-reservation", "tdm-policy")
Access = tuple[bool, str]


def find_access(page: StructuredData, status: int, text: str = "") -> Access | None:
    """Return (is free, reason as text), or None if the page gives no evidence.

    `status` is the HTTP status. `text` is the body, of which only the end is searched for a paywall notice.
    """
    if status in (401, 402):
        return False, Sentence("the server answered {status}", status=status)
    declared = _find_declared_access(page)
    if declared is not None:
        return declared
    notice = PAYWALL_NOTICE.search(text[-MAX_ENDING_CHARACTERS:])
    if notice is not None:
        return False, Sentence("the text ends with {what}", what=repr(notice.group()))
    tier = page.first("article:content_tier")
    if tier is not None and tier.strip().lower() in ("free", "metered", "locked"):
        return tier.strip().lower() == "free", Sentence("meta article:content_tier is {tier}", tier=tier.strip().lower())
    return None


def _find_declared_access(page: StructuredData) -> Access | None:
    article = page.article or {}
    free = parse_boolean(article.get("isAccessibleForFree"))
    parts = [
        part
        for part in as_list(article.get("hasPart"))
        if isinstance(part, dict) and parse_boolean(part.get("isAccessibleForFree")) is False
    ]
    if parts:
        where = next((part["cssSelector"] for part in parts if isinstance(part.get("cssSelector"), str)), None)
        if where:
            return False, Sentence("JSON-LD says a part is not free ({where})", where=where)
        return False, Sentence("JSON-LD says a part is not free")
    return None if free is None else (free, Sentence("JSON-LD isAccessibleForFree is {value}", value=str(free).lower()))


def parse_boolean(value: Any) -> bool | None:
    """Parse a schema.org Boolean in the spellings of publishers; return None for any other value."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower().rsplit("/", 1)[-1]
    return True if word in ("true", "yes", "1") else False if word in ("false", "no", "0") else None


def find_license(page: StructuredData) -> tuple[str, str] | None:
    """Return the URL or the name of the licence and its provenance, or None if the page states none."""
    article = page.article or {}
    declared = article.get("license")
    if isinstance(declared, dict):
        declared = declared.get("url") or declared.get("@id") or declared.get("name")
    if isinstance(declared, str) and declared.strip():
        return declared.strip(), "json-ld"
    linked = next((href.strip() for href in page.links.get("license", ()) if href.strip()), None)
    if linked:
        return linked, "meta"
    named = page.first("dc.rights.license", "dcterms.license", "license", "dc.rights")
    return (named.strip(), "meta") if named and _LICENSE.search(named) else None


def find_rights(page: StructuredData, headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the directives of the page for robots and text miners, by meta name or header name; values are unchanged."""
    rights = {f"meta {name}": ", ".join(page.meta[name]) for name in _ROBOTS_META if name in page.meta}
    for key, value in headers:
        if key.lower() in _ROBOTS_HEADERS:
            name = f"header {key.lower()}"
            rights[name] = f"{rights[name]}, {value}" if name in rights else value
    return rights
