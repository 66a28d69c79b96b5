"""A site is inspected, shown and added through pages without scripts; a slow site blocks no other request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from lxml import html
from page_client import FOREIGN_SCRIPTS, HTML, read, text_of, token
from site_of_tests import RunningApp

from newsmill.discovery.xml_elements import CUT_OFF
from newsmill.exceptions import NewsmillError
from newsmill.model import Kind, Outcome, OutcomeRecord, Source
from newsmill.site_inspection.findings import FoundListing, Obstacle, SampleArticle, SiteInspection
from newsmill.web.inspections import MAX_WAITING, Inspections

EVIL = "<script>hit()</script>\" onmouseover='hit()"
SITE = "https://paper.example/"
FOUND = SiteInspection(
    SITE,
    Kind.HOMEPAGE,
    SITE,
    feeds=(
        FoundListing(f"{SITE}feed", Kind.FEED, "homepage", 3, damage=CUT_OFF),
        FoundListing("javascript:hit()", Kind.FEED, "homepage", 1),
        FoundListing(f"{SITE}rss", Kind.FEED, "homepage", failure=OutcomeRecord(Outcome.DATA_LOSS, CUT_OFF)),
    ),
    sitemaps=(FoundListing(f"{SITE}news.xml", Kind.SITEMAP, "robots", 3, is_news=True),),
    articles=(
        SampleArticle(f"{SITE}1", Outcome.STORED, None, EVIL, None, "2026-11-24", (), "en", f"The text. {EVIL}", 320, 0.99),
        SampleArticle(f"{SITE}2", Outcome.PAYWALL, EVIL),
    ),
    plan={"homepage": SITE, "feeds": [f"{SITE}feed"]},
)


@pytest.fixture
def inspect(web: RunningApp) -> Callable[[object], None]:
    """`inspect(result)`: what the next inspections find; an exception is raised."""
    results: list[object] = [FOUND]

    def find(url: str, on_start: object = None, on_finding: object = None) -> SiteInspection:
        result = results[-1]
        if isinstance(result, threading.Event):
            result.wait(30)
            result = FOUND
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, SiteInspection)
        return result

    web.app.state.inspections.close()
    web.app.state.inspections = Inspections(find)
    return results.append


def start(web: RunningApp, **values: str) -> str:
    client = web.browser()
    form = {"csrf": token(client, "/sources"), "homepage": "paper.example", **values}
    return str(client.post("/sources/inspections", data=form).headers["location"])


def inspect_to_its_end(web: RunningApp, **values: str) -> str:
    """Start an inspection and wait for its result. Returns the path of its page."""
    path = start(web, **values)
    client = web.browser()
    while "refresh" in client.get(path, headers=HTML).text:
        time.sleep(0.01)
    return path


def test_a_site_is_inspected_shown_and_added(web: RunningApp, inspect: Callable[[object], None]) -> None:
    client = web.browser()
    path = inspect_to_its_end(web, every="30m")
    page = read(client, path)
    text = text_of(page)
    assert not page.xpath(f"{FOREIGN_SCRIPTS} | //@*[starts-with(name(), 'on')] | //a[contains(@href, 'javascript')]")
    assert "[sources.paper-example]" in text and 'every = "30m"' in text and "320 words" in text and EVIL in text
    assert "News sitemap" in text
    assert "24 Nov 2026 ·" in text and "2 articles, as Newsmill would store them" in text
    assert [text_of(one) for one in page.xpath("//section[h2/@id='found-title']//span[@class='soft']")] == [
        "3 articles",
        f"3 articles · {CUT_OFF}",
        "1 article",
        f"not used: incomplete body: {CUT_OFF}",
    ]
    german = text_of(read(client, f"{path}?lang=de"))
    assert "nicht verwendet: unvollständiger Inhalt: die Datei ist abgeschnitten" in german
    assert "Neue Quelle" in german and "24. Nov. 2026" in german
    client.cookies.delete("lang") if "lang" in client.cookies else None
    form = {"csrf": token(client, path)}
    assert client.post(path, data={}).status_code == 403
    assert web.context.ledger.sources.list_all() == []
    assert client.post(path, data=form).headers["location"] == "/sources/paper-example?done=added"
    assert [source.homepage for source in web.context.ledger.sources.list_all()] == [SITE]
    assert client.post(path, data=form, headers=HTML).status_code == 409  # followed already
    inspect(SiteInspection(f"{SITE}s/", Kind.SECTION, plan={"sections": [f"{SITE}s/"], "discover": False}))
    section = inspect_to_its_end(web)
    assert client.post(section, data=form).headers["location"] == "/sources/paper-example?done=extended"
    assert web.context.ledger.sources.list_all()[0].sections == (f"{SITE}s/",)


def test_what_cannot_be_followed_says_why_in_both_languages(web: RunningApp, inspect: Callable[[object], None]) -> None:
    client = web.browser()
    for obstacle in Obstacle:
        failure = OutcomeRecord(Outcome.DNS, "no address") if obstacle is Obstacle.UNREACHABLE else None
        inspect(SiteInspection(SITE, obstacle=obstacle, failure=failure))
        path = inspect_to_its_end(web)
        for language in ("en", "de"):
            alert = read(client, f"{path}?lang={language}").xpath("//*[@role='alert']")
            assert text_of(alert[0]), obstacle
        assert not read(client, path).xpath("//form[@action=$path]", path=path)
    for failure, advice in (
        (OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"), "Die Website weist dieses Programm ab."),
        (OutcomeRecord(Outcome.REDIRECT_LOOP), "Die Website verlangt vermutlich Cookies."),
        (OutcomeRecord(Outcome.CONSENT_WALL), "Geben Sie die URL eines Feeds"),
        (OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 429"), "versuchen Sie es später noch einmal"),
    ):
        inspect(SiteInspection(SITE, obstacle=Obstacle.UNREACHABLE, failure=failure))
        assert advice in text_of(read(client, f"{inspect_to_its_end(web)}?lang=de")), failure
    inspect(NewsmillError("https://x.example cannot be inspected: no message"))
    assert "cannot be inspected" in client.get(inspect_to_its_end(web), headers=HTML).text
    web.context.ledger.sources.put(Source("paper-example", homepage="https://other.example/"), now=web.context.now())
    inspect(FOUND)
    assert "wählen Sie einen anderen Namen" in text_of(read(client, f"{inspect_to_its_end(web, name='paper-example')}?lang=de"))


def test_a_slow_site_blocks_nobody_and_few_are_inspected_at_once(web: RunningApp, inspect: Callable[[object], None]) -> None:
    slow = threading.Event()
    inspect(slow)
    client = web.browser()
    path = start(web)
    assert "refresh" in client.get(path, headers=HTML).text
    assert client.post(path, data={"csrf": token(client, path)}, headers=HTML).status_code == 409
    for _ in range(MAX_WAITING - 1):
        start(web)
    form = {"csrf": token(client, "/sources"), "homepage": "paper.example"}
    assert client.post("/sources/inspections", data=form, headers=HTML).status_code == 503
    assert client.get("/sources", headers=HTML).status_code == 200
    slow.set()
    for refused in ("http://10.0.0.1/", "ftp://x.example/"):
        answer = client.post("/sources/inspections", data=form | {"homepage": refused}, headers=HTML)
        assert answer.status_code == 422 and html.document_fromstring(answer.text).xpath("//*[@role='alert']")
    assert web.browser("read").post("/sources/inspections", data=form, headers=HTML).status_code == 403
    assert client.get("/sources/inspections/unknown", headers=HTML).status_code == 404


def test_the_api_waits_for_the_result(web: RunningApp, inspect: Callable[[object], None]) -> None:
    answer = web.program("write").post("/api/v1/sources/inspections", json={"url": SITE})
    assert (answer.status_code, answer.json()["plan"], answer.json()["kind"]) == (200, FOUND.plan, "homepage")
    assert web.program("write").post("/api/v1/sources/inspections", json={"url": "http://10.0.0.1/"}).status_code == 422
    assert web.program("read").post("/api/v1/sources/inspections", json={"url": SITE}).status_code == 403
