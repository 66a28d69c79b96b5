"""Access to the page: free or paywalled, its licence, and its directives for robots."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from newsmill.extraction.metadata.structured_data import StructuredData, as_list
from newsmill.extraction.normalise import count_words, normalise_line
from newsmill.extraction.vocabulary import build_alternation
from newsmill.model import Outcome, OutcomeRecord

_NOTICE = re.compile(build_alternation("paywall"), re.IGNORECASE)
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
MAX_STUB_WORDS = 80  # words; the teaser before a paywall has fewer. Briefs are as short, so length alone is not evidence
MAX_NOTICE_WORDS = 25  # words of the line with the notice; a longer line is prose
MAX_OFFER_WORDS = 60  # words of the offer below the notice; more is the rest of an article
MAX_BEHIND_CHARACTERS = 200  # characters behind the body in which the page shows the notice, with labels and names in between
MAX_ANCHOR_CHARACTERS = 60  # characters at the end of the body by which it is found in the visible text
_LOG_IN = re.compile(build_alternation("subscriber_question"), re.IGNORECASE)


def find_access(page: StructuredData, status: int, text: str = "") -> Access | None:
    """Return (is free, reason as text), or None if the page gives no evidence.

    `status` is the HTTP status. `text` is the body, of which only the end is searched for a paywall notice.
    """
    if status in (401, 402):
        return False, f"the server answered {status}"
    declared = _find_declared(page)
    if declared is not None:
        return declared
    notice = _NOTICE.search(text[-MAX_ENDING_CHARACTERS:])
    if notice is not None:
        return False, f"the text ends with {notice.group()!r}"
    tier = page.first("article:content_tier", "og:article:content_tier")
    if tier is not None and tier.strip().lower() in ("free", "metered", "locked"):
        return tier.strip().lower() == "free", f"meta article:content_tier is {tier.strip().lower()}"
    return None


def _find_declared(page: StructuredData) -> Access | None:
    article = page.article or {}
    free = parse_boolean(article.get("isAccessibleForFree"))
    parts = [
        part
        for part in as_list(article.get("hasPart"))
        if isinstance(part, dict) and parse_boolean(part.get("isAccessibleForFree")) is False
    ]
    if parts:
        where = next((part["cssSelector"] for part in parts if isinstance(part.get("cssSelector"), str)), None)
        return False, "JSON-LD says a part is not free" + (f" ({where})" if where else "")
    return None if free is None else (free, f"JSON-LD isAccessibleForFree is {str(free).lower()}")


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


# ---- paywalls -------------------------------------------------------------------------------------------------------------------


def detect_paywall(text: str, words: int, ending: str, access: Access | None, read_visible: Callable[[], str]) -> OutcomeRecord | None:
    """Return the outcome `paywall` for the beginning of an article, or None.

    `text` is the body, `words` its number of words, `ending` its end before rules removed lines. `access` is what the page declares.
    `read_visible` returns the visible text of the page, for a notice outside the body: anywhere if the page declares not to be free,
    directly behind the body if it declares nothing. A page that declares to be free, or that only asks whether the reader is a
    subscriber, has no such notice: its text may be a complete brief.
    """
    locked = access is not None and not access[0]
    most = 2 * MAX_STUB_WORDS if locked else MAX_STUB_WORDS
    if words < most:
        match = _NOTICE.search(ending) or _NOTICE.search(text)
        if match is None and access is None:
            match = _find_notice_behind(text, read_visible())
        elif match is None and locked and words < MAX_STUB_WORDS:
            match = _find_notice(read_visible(), 0)
        if match is not None:
            return OutcomeRecord(Outcome.PAYWALL, f"{words} words, then {match.group()!r}")
    elif (found := _find_notice_line(text, most)) is not None:
        return OutcomeRecord(Outcome.PAYWALL, f"{found[0]} words, then {found[1]!r}")
    if locked and words < MAX_STUB_WORDS // 2:
        return OutcomeRecord(Outcome.PAYWALL, f"a teaser of {words} words; {access[1] if access else ''}")
    return None


def _find_notice_line(text: str, most: int) -> tuple[int, str] | None:
    """Return (words before it, notice) for a notice in a short line, with fewer than `most` words before it and only an offer below."""
    lines = text.split("\n")
    before = list(accumulate(map(count_words, lines), initial=0))
    for number, line in enumerate(lines):
        if before[number] >= most:
            return None
        match = _NOTICE.search(line)
        if match is not None and count_words(line) <= MAX_NOTICE_WORDS and before[-1] - before[number + 1] <= MAX_OFFER_WORDS:
            return before[number], match.group()
    return None


def _find_notice_behind(text: str, visible: str) -> re.Match[str] | None:
    """Return the notice that the page shows directly behind the body, where no rule counts it to the body."""
    anchor = "".join(normalise_line(text.rstrip().rpartition("\n")[2]).split())[-MAX_ANCHOR_CHARACTERS:]
    places = [at for at, char in enumerate(visible) if not char.isspace()]
    start = "".join(visible.split()).find(anchor)
    if not anchor or start < 0:
        return None
    end = places[start + len(anchor) - 1] + 1
    return _find_notice(visible[: end + MAX_BEHIND_CHARACTERS], end)


def _find_notice(visible: str, start: int) -> re.Match[str] | None:
    """Return the first notice from `start` on that does more than ask whether the reader is a subscriber."""
    return next((match for match in _NOTICE.finditer(visible, start) if _LOG_IN.fullmatch(match.group()) is None), None)
