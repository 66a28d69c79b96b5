"""The inspection of a site, as text for the terminal."""

from __future__ import annotations

import textwrap

import typer

from newsmill.cli.terminal import format_count, printable
from newsmill.model import Kind, Outcome, OutcomeRecord, describe_failure
from newsmill.site_inspection.findings import Advice, FoundListing, Obstacle, SampleArticle, SiteInspection
from newsmill.site_inspection.plan import find_advice

MAX_SECTIONS_SHOWN = 5
SAMPLE_LINES = 3
LINE_CHARACTERS = 100

SENTENCES = {
    Obstacle.ROBOTS: "robots.txt forbids this URL; with the publisher's permission, set robots = false in sources.toml",
    Obstacle.OPML: "this is an OPML file, a list of feeds; save it and run `newsmill add --file FILE`",
    Obstacle.ARTICLE: "this is one article; give the homepage or a section of the site, or run `newsmill submit URL` for this page alone",
    Obstacle.NOT_A_PAGE: "this is neither a web page, a feed nor a sitemap; give the homepage of the site",
    Obstacle.NO_LINKS: (
        "no feed, no sitemap and hardly a link to an article was found; if the page makes its links with JavaScript, "
        "name sections in sources.toml or write a spider (docs/guides/spiders.md)"
    ),
    Obstacle.EMPTY: "the feed or sitemap has no entry",
    Obstacle.NEEDS_SCRIPT: 'the articles have no text without JavaScript; set render = "auto" in sources.toml (needs newsmill[render])',
    Obstacle.ARTICLES_FORBIDDEN: "robots.txt forbids the articles; with the publisher's permission, set robots = false in sources.toml",
    Obstacle.ARTICLES_FAIL: "none of the articles that were tried would be stored",
}
ADVICE: dict[Advice, str] = {
    Advice.REFUSED: "the site refuses this program; give the URL of a feed or a sitemap of the site, or ask the publisher",
    Advice.COOKIES: (
        "the site may want cookies; set COOKIES_ENABLED = true in the table [scrapy] of sources.toml (docs/guides/scrapy-settings.md), "
        "or give the URL of a feed or a sitemap of the site"
    ),
    Advice.CONSENT: "give the URL of a feed or a sitemap of the site",
}
NO_SERVER = "no server answers there; check the host and the port, or try again later"
LATER = "try again later"
OUTCOME_ADVICE: dict[Outcome, str] = {  # apart from ADVICE: members of two enumerations with the same text are the same key
    Outcome.REFUSED: NO_SERVER,
    Outcome.TIMEOUT: NO_SERVER,
    Outcome.DNS: "check the spelling of the host",
    Outcome.GONE: "check the URL, or give the homepage of the site",
    Outcome.SSRF_BLOCKED: "",  # the sentence names the setting
}


def describe_obstacle(inspection: SiteInspection) -> str:
    """Why the site cannot be followed, and what would help."""
    if inspection.obstacle is None:
        return ""
    if inspection.obstacle is Obstacle.UNREACHABLE and inspection.failure is not None:
        text = describe_unreadable(inspection.url, inspection.failure)
        return f"{text}; --no-check adds it all the same" if text.endswith(LATER) else text
    return SENTENCES.get(inspection.obstacle, str(inspection.obstacle))


def describe_unreadable(url: str, failure: OutcomeRecord) -> str:
    """Why a URL cannot be read, and what would help: the same sentence in every command."""
    return "; ".join(filter(None, (f"{url} cannot be read: {describe_failure(failure)}", find_remedy(failure))))


def find_remedy(failure: OutcomeRecord) -> str:
    """What helps with a URL that cannot be read; empty if the failure itself says it."""
    found = find_advice(failure)
    return OUTCOME_ADVICE.get(failure.outcome, LATER) if found is None else ADVICE[found]


def show_finding(finding: FoundListing) -> None:
    """Print a listing that an inspection has just read, because an inspection takes half a minute."""
    if finding.kind is not Kind.PAGE:  # articles are shown with their texts
        typer.echo(printable(_describe_listing(finding)))


def print_inspection(inspection: SiteInspection, *, is_begun: bool = False) -> None:
    """Print what was found. `is_begun`: `show_finding` has printed the listings."""
    lines = [] if is_begun else _describe_listings(inspection)
    if inspection.sections:
        shown = " ".join(inspection.sections[:MAX_SECTIONS_SHOWN])
        more = len(inspection.sections) - MAX_SECTIONS_SHOWN
        lines.append(f"  {format_count(len(inspection.sections), 'section')}: {shown}" + (f" and {more} more" if more > 0 else ""))
    if inspection.language:
        lines.append(f"  language: {inspection.language}")
    if inspection.robots is not None:
        delay = f", Crawl-delay {inspection.robots.crawl_delay:g} s" if inspection.robots.crawl_delay else ""
        allowed = "allows" if inspection.robots.is_allowed else "forbids"
        lines.append(f"  robots.txt {allowed} this URL{delay}")
    lines += [f"  declares {one.name}: {one.value} ({one.place})" for one in inspection.declarations]
    for article in inspection.articles:
        lines += ["", *_describe_article(article)]
    if inspection.obstacle is not None:
        lines += ["", f"WARNING: {describe_obstacle(inspection)}"]
    if inspection.note is not None:
        lines.append(f"note: {inspection.note}")
    typer.echo(printable("\n".join([*lines, ""])))


def _describe_listings(inspection: SiteInspection) -> list[str]:
    """The page itself, and the sitemaps and feeds that were found."""
    lines = [_describe_listing(listing) for listing in (*inspection.sitemaps, *inspection.feeds)]
    if inspection.kind in (Kind.HOMEPAGE, Kind.SECTION):  # a feed or a sitemap is in the list
        lines.insert(
            0, f"  {inspection.kind} {inspection.final_url or inspection.url}: {format_count(inspection.article_links, 'article')}"
        )
    return lines


def _describe_listing(listing: FoundListing) -> str:
    name = "news sitemap" if listing.is_news else str(listing.kind)
    if listing.failure is not None:
        reason = listing.failure.detail if listing.failure.outcome is Outcome.DENIED else describe_failure(listing.failure)
        return f"  {name} {listing.url}: not used ({reason})"
    counts = [format_count(listing.parts, "part")] if listing.parts else []
    counts += [format_count(listing.pages or 0, "article")] if listing.pages or not listing.parts else []
    newest = f", newest {listing.newest:%Y-%m-%d}" if listing.newest is not None else ""
    damage = f"; {listing.damage}" if listing.damage else ""
    return f"  {name} {listing.url}: {', '.join(counts)}{newest}{damage}"


def _describe_article(article: SampleArticle) -> list[str]:
    if article.outcome is not Outcome.STORED:
        return [f"  {article.url}", f"    {describe_failure(OutcomeRecord(article.outcome, article.detail))}"]
    confidence = "" if article.confidence is None else f" · confidence {article.confidence:.2f}"
    day = article.published_day or "no date"
    lines = [line for paragraph in article.text.split("\n") for line in textwrap.wrap(paragraph, LINE_CHARACTERS)]
    return [
        f"  {article.title or 'no title'}",
        f"    {day} · {article.language or 'language unknown'} · {format_count(article.word_count, 'word')}{confidence} · {article.url}",
        *(f"    {line}" for line in lines[:SAMPLE_LINES]),
    ]
