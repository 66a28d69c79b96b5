"""The URLs under which sites show one article, and the mistakes of their canonical URLs: one document each, in every order of fetching.

The pages are extracted as a worker does it. Each case has a host of its own; "{host}" is its name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from rows import NOON, Mill, good, page_of

from newsmill.extraction.pipeline import read
from newsmill.model import ClaimedPage, Document, Link
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Ledger
from newsmill.text import urls

WORDS = """council bridge river mayor budget tunnel engine harbour winter report minister police village railway market doctor
teacher farmer island museum energy forest border summer garden student airport factory window theatre""".split()  # noqa: SIM905
PUBLISHED = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Page:
    """A page of a site. `article` selects the text; `part` an excerpt of it, or another page of a long article."""

    path: str
    article: str = "bridge"
    canonical: str | None = None
    redirect: str | None = None  # to this URL
    title: str | None = None
    head: str = ""
    part: tuple[int, int] = (0, 99)  # first paragraph, and the one after the last
    advert: str = ""
    days: int = 0  # published so many days after PUBLISHED


def paragraphs(article: str, count: int = 14) -> list[str]:
    words = random.Random(article)
    return [" ".join(words.choices(WORDS, k=22)).capitalize() + "." for _ in range(count)]


def body(page: Page) -> bytes:
    title = page.title or f"What the {page.article} means for the town"
    canonical = "" if page.canonical is None else f'<link rel="canonical" href="{page.canonical}">'
    published = f'<meta property="article:published_time" content="{(PUBLISHED + timedelta(days=page.days)).isoformat()}">'
    text = "".join(f"<p>{line}</p>" for line in paragraphs(page.article)[slice(*page.part)])
    return (
        f'<html lang="en"><head><title>{title}</title>{page.head}{canonical}{published}<meta property="og:type" content="article"></head>'
        f"<body><nav><a href='/'>Home</a></nav><main><article><h1>{title}</h1>{text}{page.advert}</article></main></body></html>"
    ).encode()


PAYWALL_NOTICE = f"<p>Subscribe now and {' '.join(WORDS[:20])}.</p>"
A, B = Page("/story-of-the-bridge"), Page("/story-of-the-harbour", "harbour")
SAME: dict[str, list[Page]] = {
    "tracking parameters": [A, Page("/story-of-the-bridge?utm_source=x&fbclid=1"), Page("/story-of-the-bridge?at_medium=rss")],
    "session ids in the query": [A, Page("/story-of-the-bridge?PHPSESSID=a1"), Page("/story-of-the-bridge?sid=4711")],
    "session ids, never without": [Page(f"/story.php?id=7&s={session}") for session in ("a1b2", "c3d4", "e5f6")],
    "session ids in the path": [Page("/a/b.html;jsessionid=0A1B"), Page("/a/b.html"), Page("/(S(lit3py55t21z5v55))/a/b.html")],
    "AMP": [A, *(Page(path) for path in ("/story-of-the-bridge/amp/", "/amp/story-of-the-bridge", "/story-of-the-bridge?amp=1"))],
    "AMP with a canonical URL": [Page("/a", head='<link rel="amphtml" href="/x/y">'), Page("/x/y", canonical="/a")],
    "AMP preview": [A, Page("/story-of-the-bridge/amp", part=(0, 6))],
    "print": [A, Page("/story-of-the-bridge/print"), Page("/print/story-of-the-bridge"), Page("/story-of-the-bridge?print=1")],
    "print without any sign": [A, Page("/export/4711/7")],
    "mobile host": [A, Page("//m.{host}/story-of-the-bridge"), Page("//www.{host}/story-of-the-bridge")],
    "mobile host, shorter": [A, Page("//mobil.{host}/story-of-the-bridge", part=(0, 8))],
    "http, ports, fragments, slashes": [
        *(Page(path) for path in ("/a", "http://{host}/a", "https://{host}:443/a", "http://{host}:80/a/")),
        *(Page(path) for path in ("/a#comments", "https://{HOST}//a")),
    ],
    "index file": [Page("/a/"), Page("/a/index.html"), Page("/a/index.html", advert="<p>Advertisement</p>"), Page("/a/default.aspx")],
    "redirects": [A, Page("/go/4711", redirect="/story-of-the-bridge"), Page("/go/4712", redirect="/story-of-the-bridge?utm_source=x")],
    "canonical URL is the homepage": [
        *(A, Page("/story-of-the-bridge?from=7", canonical="/"), Page("/x/4711", canonical="/en-GB/index.html")),
    ],
    "canonical URL of another host": [A, Page("/story-of-the-bridge?from=7", canonical="https://other.example/a")],
    "empty canonical URL": [A, Page("/story-of-the-bridge?from=7", canonical=""), Page("/x/4711", canonical="#")],
    "relative canonical URL": [Page("/news/a.html"), Page("/news/a.html?v=2", canonical="a.html"), Page("/news/x", canonical="./a.html")],
    "canonical URL relative to the base": [
        Page("/news/a.html"),
        *(Page(path, head='<base href="/">', canonical="news/a.html") for path in ("/print/7", "/export/7")),
    ],
    "canonical URL repeats the request": [Page(path, canonical=path) for path in ("/story?id=7", "/story?id=7&tab=1", "/story?tab=2&id=7")],
    "canonical URLs in a circle": [Page("/a", canonical="/b"), Page("/b", canonical="/a")],
    "canonical URL does not exist": [Page(path, canonical="/gone") for path in ("/a", "/a?from=7", "/x/4711")],
    "two sections": [Page("/politics/story-of-the-bridge"), Page("/regional/story-of-the-bridge")],
    "new headline and slug": [Page("/bridge-closed-471182.html"), Page("/bridge-open-471182.html", title="The bridge is open again")],
    "pages of a long article": [
        Page("/a", part=(0, 7)),
        *(Page(path, canonical="/a", part=(7, 99)) for path in ("/a/2", "/a?page=2")),
    ],
}
DIFFERENT: dict[str, list[Page]] = {
    "one title": [Page("/a", title="Letters to the editor"), Page("/b", "harbour", title="Letters to the editor")],
    "a parameter that matters": [Page(f"/story?id={name}", name) for name in ("bridge", "harbour", "river")],
    "canonical URL is a section": [Page(f"/news/{name}", name, "/news") for name in ("bridge", "harbour", "river")],
    "canonical URL is a section, one title": [
        *(Page(f"/letters/{days}", f"letters {days}", "/letters", title="Letters to the editor", days=-2 * days) for days in range(1, 4))
    ],
    "one canonical URL and one title": [Page(f"/news/{name}", name, "/front", title="The Paper") for name in ("bridge", "harbour")],
    "canonical URL is another article": [A, Page("/story-of-the-harbour", "harbour", A.path)],
    "canonical URL is another article, one title": [Page("/a", title="News"), Page("/b", "harbour", "/a", title="News")],
    "canonical URL is undefined": [Page(f"/{name}/x", name, "/undefined") for name in ("bridge", "harbour")],
    "a column that repeats itself": [Page("/monday/column", days=0), Page("/friday/column", days=-4)],
    "short texts": [Page("/a", part=(0, 1)), Page("/b", part=(0, 1))],
    "texts from a template": [
        *(Page(f"/weather-{town}-{number}", "weather", title=f"Weather in {town}", advert=f"<p>{town}</p>" * 3)
          for town, number in (("Bonn", 471182), ("Ulm", 471183)))
    ],
    "canonical URL is a section, texts from a template": [
        *(Page(f"/weather-{town}", "section weather", "/weather", title=f"Weather in {town}", advert=f"<p>{town}</p>" * 3)
          for town in ("Bonn", "Ulm"))
    ],
    "canonical URL is a section, a column that repeats itself": [
        *(Page(f"/{day}/column", "section column", "/columns", days=days) for day, days in (("monday", 0), ("friday", -4)))
    ],
    "canonical URL is a section, one notice of a paywall": [
        *(Page(f"/{name}", name, "/plus", part=(0, 1), advert=PAYWALL_NOTICE) for name in ("bridge", "harbour"))
    ],
    "local editions": [Page("//north.{host}/a"), Page("//south.{host}/a")],
}  # fmt: skip
# Two URLs of each of two articles, "{}" in the path; all pages name one canonical URL.
PAIRS = {
    "tracking parameter": ("/{}?utm_source=x", "/{}"),
    "parameter": ("/{}?from=7", "/{}"),
    "session ids": ("/{}?s=a1b2", "/{}?s=c3d4"),
    "AMP": ("/amp/{}", "/{}"),
    "two AMP versions": ("/amp/{}", "/{}?amp=1"),
    "AMP and another section": ("/{}/amp", "/regional/{}"),
    "print": ("/{}/print", "/{}"),
    "mobile host": ("//m.{host}/{}", "https://{host}/{}"),
    "mobile host and AMP": ("//m.{host}/{}", "/{}/amp"),
    "http and a slash": ("http://{host}/{}/", "/{}"),
    "two sections": ("/politics/{}", "/regional/{}"),
}
WRONG = {"a section": "https://{host}/front", "a section on the host of the page": "/front", "one of the articles": "/story-of-the-harbour"}
ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3), (3, 0, 2, 1))


@cache
def extract(url: str, requested_url: str, html: bytes) -> Document:
    """The document of a page; each page is extracted once for all tests."""
    document = read(page_of(url, html, requested_url=requested_url), first_seen_at=NOON).document
    assert document is not None, url
    return document


class Site:
    """A host whose pages are fetched and extracted."""

    def __init__(self, ledger: Ledger, documents: Documents, host: str) -> None:
        self.mill, self.documents, self.host = Mill(ledger), documents, host
        self.pages: dict[str, Page] = {}

    def url(self, path: str) -> str:
        path = path.replace("{host}", self.host).replace("{HOST}", self.host.upper())
        return path if path.startswith("http") else f"https:{path}" if path.startswith("//") else f"https://{self.host}{path}"

    def fetch(self, pages: Sequence[Page]) -> None:
        """Fetch pages; those of one host end in one commit, in their order."""
        links = {urls.normalize(self.url(page.path)): page for page in pages}
        self.pages |= {urls.make_key(url): page for url, page in links.items()}
        self.mill.ledger.links.add([Link(url, found_by="feed") for url in links], now=NOON)
        for host in sorted({urls.get_host(url) for url in links}):
            if self.mill.lease(host):
                self.mill.save()
        self.extract()

    def extract(self) -> None:
        while segments := self.mill.ledger.segments.list_pending(now=NOON, limit=9):
            for segment in segments:
                claims = sorted(self.mill.claim(segment), key=lambda claim: [*self.pages].index(urls.make_key(claim.url)))
                self.mill.store(*(good(claim, self.read(claim)) for claim in claims))

    def read(self, claim: ClaimedPage) -> Document:
        page = self.pages[urls.make_key(claim.url)]
        url = claim.url if page.redirect is None else urls.normalize(self.url(page.redirect))
        canonical = None if page.canonical is None else page.canonical.replace("{host}", self.host)
        return extract(url, claim.url, body(replace(page, canonical=canonical)))

    def shows(self, pages: Sequence[Page]) -> bool:
        """Whether the store shows the article of each page, or of one with another part of it, at its URL."""
        found = [self.documents.get(self.url(page.path)) for page in pages]
        return all(
            document is not None and any(line in document.text for line in paragraphs(page.article))
            for page, document in zip(pages, found, strict=True)
        )

    def ids(self, pages: Sequence[Page]) -> set[str]:
        return {document.id for page in pages if (document := self.documents.get(self.url(page.path))) is not None}


@pytest.mark.parametrize(
    ("new_database", "order"), [("sqlite", "given"), ("postgres", "reversed"), ("postgres", "together")], indirect=["new_database"]
)
def test_one_document_for_each_article(ledger: Ledger, documents: Documents, order: str) -> None:
    """All cases are on one store. The failures are listed by name."""
    failed, before = list[tuple[str, int, int, bool]](), 0
    for number, (name, pages) in enumerate({**SAME, **DIFFERENT}.items()):
        site = Site(ledger, documents, f"paper{number}.example")
        if order == "together":
            site.fetch(pages)
        for page in pages if order == "given" else reversed(pages) if order == "reversed" else ():
            site.fetch([page])
        wanted, count = 1 if name in SAME else len(pages), documents.count()
        found = (count - before, len(site.ids(pages)), site.shows(pages))
        if found != (wanted, wanted, True):
            failed.append((name, *found))
        before = count
    assert failed == []


@pytest.mark.parametrize(
    ("new_database", "orders", "together"),
    [("sqlite", ORDERS[:2], False), ("postgres", ORDERS[2:3], False), ("postgres", ORDERS[3:], True)],
    ids=["sqlite", "postgres", "postgres-together"],
    indirect=["new_database"],
)
def test_a_wrong_canonical_url_neither_splits_nor_merges_articles(
    ledger: Ledger, documents: Documents, orders: Sequence[tuple[int, ...]], together: bool
) -> None:
    """A template names one URL on all pages, and each article is fetched at two URLs. The texts of each case are its own.

    The cases take the orders in turn: each pair of URLs is fetched in all of them, with one of the wrong URLs or another.
    """
    failed, before = list[tuple[str, str, tuple[int, ...], int, int]](), 0
    cases = [(wrong, pair) for wrong in WRONG for pair in PAIRS]
    for number, (wrong, pair) in enumerate(cases):
        order = orders[(number + number // len(PAIRS)) % len(orders)]
        articles = ("bridge", "harbour")
        pages = [
            Page(path.replace("{}", f"story-of-the-{name}"), f"{name} {number}", WRONG[wrong], title=f"The {name}", advert=advert)
            for name in articles
            for path, advert in zip(PAIRS[pair], ("<p>Read more about the mayor.</p>", ""), strict=True)
        ]
        site = Site(ledger, documents, f"paper{number}.example")
        for group in [[pages[at] for at in order]] if together else [[pages[at]] for at in order]:
            site.fetch(group)
        count = documents.count()
        if (count - before, len(site.ids(pages))) != (2, 2):
            failed.append((wrong, pair, order, count - before, len(site.ids(pages))))
        before = count
    assert failed == []
