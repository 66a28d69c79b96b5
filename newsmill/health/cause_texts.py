"""The English texts of states, causes, evidence and remedies. Pure.

The web pages use the same keys; their German texts are in a catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from newsmill.health.causes import Cause, Evidence, Finding, HealthState
from newsmill.model import OutcomeRecord, get_refusal

STATE_NAMES: Mapping[HealthState, str] = {
    HealthState.OK: "ok",
    HealthState.FAILING: "failing",
    HealthState.EMPTY: "nothing found",
    HealthState.SLOW: "slow",
    HealthState.QUIET: "quiet",
    HealthState.STALE: "stale",
    HealthState.BLOCKED: "blocked",
    HealthState.EXTRACTION_BROKEN: "extraction broken",
    HealthState.MOVED: "moved",
    HealthState.GONE: "gone",
    HealthState.PAUSED: "paused",
    HealthState.UNREAD: "not read yet",
}
CAUSE_NAMES: Mapping[Cause, str] = {
    Cause.REFUSED: "the site refuses access",
    Cause.BOT_FILTER: "a bot filter blocks access",
    Cause.ROBOTS: "robots.txt forbids access",
    Cause.CONSENT_WALL: "consent dialog instead of articles",
    Cause.PAYWALL: "paywall instead of articles",
    Cause.LAYOUT_CHANGE: "the layout has changed",
    Cause.NO_TEXT: "pages have no text",
    Cause.NEEDS_SCRIPT: "pages need JavaScript",
    Cause.NO_ARTICLES: "pages are not articles",
    Cause.INVALID_LISTING: "a listing cannot be read",
    Cause.INVALID_PAGES: "pages cannot be read",
    Cause.DEAD_HOST: "the host cannot be reached",
    Cause.SERVER_ERROR: "the server reports errors",
    Cause.MISSING_LISTINGS: "listings are not found",
    Cause.MOVED_LISTING: "a listing has moved",
    Cause.EMPTIED_LISTING: "a listing has lost its entries",
    Cause.SILENT: "no new documents",
    Cause.NO_OUTPUT: "no new documents from any source",
}
# A number that can be 1 stands beside its noun, not before it: "listings: 1 of 1".
EVIDENCE_TEXTS: Mapping[str, str] = {
    "listings": "Failing listings: {failing} of {of} ({failure}). Example: {url}",
    "pages": "{failing} pages fail: {failure}. One of them: {url}. Newest document: {last}",
    "outcomes": "{failing} of the newest {of} pages: {failure}; usual share: {usual}. Newest document: {last}",
    "layout": "Share of the words at known positions in the newest documents of {site}: {fit}; usual: {usual}. "
    "Median number of words of their texts: {words}; usual: {usual_words}",
    "emptied": "{url} has no entries any more. Newest document: {last}",
    "moved": "{url} was not found ({failure}). The new URL is {new_url}",
    "redirected": "{url} redirects permanently to {new_url}",
    "silent": "Newest document: {last}. Number of hours since then in which the source usually has new documents: {expected}",
    "no_output": "Newest document: {last}",
}
REMEDIES: Mapping[Cause, str] = {
    Cause.REFUSED: "Ask the publisher for access, and set NEWSMILL_CONTACT. A longer politeness.delay may help.",
    Cause.BOT_FILTER: "Ask the publisher to admit the User-Agent of this crawler.",
    Cause.ROBOTS: "Ask the publisher for permission. With it, set robots = false for this source.",
    Cause.CONSENT_WALL: 'Try render = "auto" for this source. If the dialog stays, ask the publisher for a feed with full texts.',
    Cause.PAYWALL: "Only teasers are readable. Ask the publisher for access, or exclude these pages with deny.",
    Cause.LAYOUT_CHANGE: "Texts as long as usual need nothing: Newsmill learns the new layout from about five documents. "
    "If they are shorter or longer, check the newest ones and the source's rules.",
    Cause.NO_TEXT: 'Open one of the newest pages with `newsmill trace URL`. If it has text, set rules.keep_css or try render = "auto".',
    Cause.NEEDS_SCRIPT: 'Set render = "auto" for this source.',
    Cause.NO_ARTICLES: "Check which pages the listings name. Exclude others with deny, or list the right sections.",
    Cause.INVALID_LISTING: "Open the listing in a browser. If it is not a feed or sitemap any more, change it in the source's settings.",
    Cause.INVALID_PAGES: "Open one of the pages in a browser. If the site needs cookies, set COOKIES_ENABLED (see the Scrapy settings).",
    Cause.DEAD_HOST: "Open the homepage in a browser. If the site has a new name, change the source; if it is gone, pause the source.",
    Cause.SERVER_ERROR: "Wait: the server has errors of its own. Newsmill continues to probe.",
    Cause.MISSING_LISTINGS: "Find the new URL on the homepage, and change it in the source's settings.",
    Cause.MOVED_LISTING: "Newsmill reads the new URL. Change it in sources.toml too, if the source is defined there.",
    Cause.EMPTIED_LISTING: "Open the listing in a browser. If the publisher has given it up, remove it; other listings are still read.",
    Cause.SILENT: "Open the homepage in a browser. If it has new articles, run `newsmill sources check NAME`.",
    Cause.NO_OUTPUT: "Run `newsmill status`: check that crawler, workers and scheduler run, and that the network works.",
}
STATE_REMEDIES: Mapping[HealthState, str] = {
    HealthState.EMPTY: "Open the homepage in a browser. If it lists articles, name its feeds or sections, or write a spider. "
    "If not, remove the source.",
    HealthState.SLOW: "Nothing: Newsmill waits for each response, and fetches fewer pages an hour.",
}


@dataclass(frozen=True, slots=True)
class ValueFormat:
    """How values of evidence are written in one language."""

    number: Callable[[int], str]
    percent: Callable[[float], str]  # of a share from 0 to 1
    time: Callable[[datetime], str]
    failure: Callable[[OutcomeRecord], str]
    none: str  # in place of a value that is unknown


def choose_evidence_text(finding: Finding) -> str:
    """The key of EVIDENCE_TEXTS for a cause."""
    evidence, cause = finding.evidence, finding.cause
    special = {
        Cause.LAYOUT_CHANGE: "layout",
        Cause.EMPTIED_LISTING: "emptied",
        Cause.SILENT: "silent",
        Cause.NO_OUTPUT: "no_output",
        Cause.MOVED_LISTING: "redirected" if evidence.failure is None else "moved",
    }
    return special.get(cause) or ("listings" if not evidence.is_pages else "outcomes" if evidence.of else "pages")


def format_values(evidence: Evidence, written: ValueFormat) -> dict[str, str]:
    """The placeholders of EVIDENCE_TEXTS."""
    none = written.none
    return {
        "failure": none if evidence.failure is None else written.failure(evidence.failure),
        "url": evidence.url or none,
        "new_url": evidence.new_url or none,
        "failing": written.number(evidence.failing),
        "of": written.number(evidence.of),
        "last": none if evidence.last_at is None else written.time(evidence.last_at),
        "expected": none if evidence.expected is None else written.number(round(evidence.expected)),
        "site": evidence.site or none,
        "fit": none if evidence.fit is None else written.percent(evidence.fit),
        "usual": none if evidence.usual is None else written.percent(evidence.usual),
        "words": none if evidence.words is None else written.number(evidence.words),
        "usual_words": none if evidence.usual_words is None else written.number(evidence.usual_words),
    }


def summarize(state: str, finding: Finding, cause: str, written: ValueFormat) -> str:
    """A cause in a few words, after the name of the state: "blocked: HTTP 403", "stale: no new documents"."""
    failure = finding.evidence.failure
    if failure is None or finding.cause is Cause.MOVED_LISTING:
        return f"{state}: {cause}"
    if (status := get_refusal(failure)) is not None:
        return f"{state}: {status}"
    return f"{state}: {written.failure(failure)}"


def english_texts() -> dict[str, str]:
    """All texts by their keys in a catalogue of the web pages."""
    return {
        **{f"health.state.{state}": text for state, text in STATE_NAMES.items()},
        **{f"health.cause.{cause}": text for cause, text in CAUSE_NAMES.items()},
        **{f"health.evidence.{key}": text for key, text in EVIDENCE_TEXTS.items()},
        **{f"health.remedy.{cause}": text for cause, text in REMEDIES.items()},
    }
