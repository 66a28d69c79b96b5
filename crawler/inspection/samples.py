"""The articles that an inspection shows, with what Newsmill would store of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from newsmill.discovery.url_patterns import MIN_ARTICLE_SCORE, score_article_url
from newsmill.model import Document, Link, Outcome, OutcomeRecord, Page
from newsmill.sandbox.pages import Sandbox, SandboxCrash
from newsmill.site_inspection.findings import SampleArticle, SiteInspection
from newsmill.site_inspection.plan import MIN_ARTICLE_LINKS
from newsmill.text import urls

SAMPLE_ARTICLES = 3
SAMPLE_CHARACTERS = 600  # of an article's text


def choose_articles(links: Iterable[Link]) -> list[Link]:
    """The links to sample: the newest with a date, else the first; each URL once, with a date if one of its links has one.

    >>> [link.url for link in choose_articles([Link("https://a.example/1"), Link("https://a.example/2"), Link("https://a.example/1")])]
    ['https://a.example/1', 'https://a.example/2']
    """
    unique: dict[str, Link] = {}
    for link in links:
        key = urls.make_key(link.url)
        if key not in unique or (not _get_date(unique[key]) and _get_date(link)):
            unique[key] = link
    return sorted(unique.values(), key=_get_date, reverse=True)[:SAMPLE_ARTICLES]


def _get_date(link: Link) -> float:
    return sort_date(link.hint.published_at or link.hint.modified_at)


def sort_date(date: datetime | None) -> float:
    """The key that sorts by date; what has none comes before every date."""
    return 0.0 if date is None else date.timestamp()


def is_article(sandbox: Sandbox, page: Page, found: SiteInspection) -> bool:
    """Whether the given page is one article: by its URL or for want of links to others, and by its text."""
    if score_article_url(page.url) < MIN_ARTICLE_SCORE and found.article_links >= MIN_ARTICLE_LINKS:
        return False
    return read_article(sandbox, page.url, page).outcome is Outcome.STORED


def find_refusal(sandbox: Sandbox, page: Page) -> OutcomeRecord | None:
    """The consent dialog or the bot filter that a page with HTTP status 200 is; None for any other page."""
    result = sandbox.read(page, brief=True)
    if isinstance(result, SandboxCrash) or result.ending.outcome not in (Outcome.CONSENT_WALL, Outcome.BLOCKED):
        return None
    return result.ending


def read_article(sandbox: Sandbox, url: str, page: Page | OutcomeRecord) -> SampleArticle:
    """The sample of a fetched article, or the outcome that its fetch or its extraction ended with.

    The sample has the URL to which `url` redirects: the links of some feeds lead to a service that counts clicks.
    """
    if isinstance(page, OutcomeRecord):
        return SampleArticle(url, page.outcome, page.detail)
    url = page.url
    result = sandbox.read(page, brief=True)
    if isinstance(result, SandboxCrash):
        return SampleArticle(url, Outcome.DIED, result.reason)
    if result.document is None:
        return SampleArticle(url, result.ending.outcome, result.ending.detail)
    return make_sample(url, result.document)


def make_sample(url: str, document: Document) -> SampleArticle:
    """The fields of a document that are shown."""
    return SampleArticle(
        url,
        Outcome.STORED,
        None,
        document.title,
        document.published_at,
        document.published_day,
        document.authors,
        document.language,
        document.text[:SAMPLE_CHARACTERS],
        document.word_count,
        document.confidence,
    )
