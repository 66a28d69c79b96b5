"""Pages and commands over imported documents: several sites, languages and years, and no source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_result import Newsmill, make_runner
from page_client import TIME, follow, read, text_of
from rows import document_of
from site_of_tests import RunningApp, open_door

from newsmill.exports.parquet import write_parquet
from newsmill.model import Author, Link, Source
from newsmill.web.config import WebConfig

SITES = {"paper.example": "en", "zeitung.example": "de", "journal.example": "fr"}


@pytest.fixture
def newsmill(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Newsmill:
    """Runs commands on a store with 60 imported documents of 2011 to 2015, and two guides without a date."""
    made = [
        document_of(
            f"https://{site}/{number}",
            title=f"The harbour, part {number}",
            text=f"Ships number {number} reach the harbour.",
            source=None,
            site_name=None,
            language=language,
            authors=(Author(f"Ann {number} {language}"),),
            published_at=datetime(2011, 3, 1, tzinfo=UTC) + timedelta(days=80 * number) if number < 20 else None,
        )
        for site, language in SITES.items()
        for number in range(21 if language != "fr" else 20)
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_DATA", "data")
    with Path("a.parquet").open("wb") as file:
        write_parquet(file, made)
    run = make_runner(capsys, monkeypatch)
    assert run("import", "a.parquet").code == 0
    return run


@pytest.fixture
def app(newsmill: Newsmill, tmp_path: Path) -> Iterator[RunningApp]:
    app = open_door(tmp_path / "data", WebConfig())
    yield app
    app.close()


def test_the_home_page_says_what_is_stored(app: RunningApp) -> None:
    page = read(app.reader, "/")
    (card,) = page.xpath("//section[@aria-labelledby='holdings']")
    figures = {text_of(one.xpath("dt")[0]): text_of(one.xpath("dd")[0]) for one in card.xpath("dl/div")}
    assert figures == {"Documents": "62", "Published": "2011–2015", "Sites": "3", "Languages": "3"}
    assert {href: text_of(item.getparent().xpath("span")[0]) for item in card.xpath(".//li/a") if (href := item.get("href"))} == {
        "/search?q=lang%3Ade": "21",
        "/search?q=lang%3Aen": "21",
        "/search?q=lang%3Afr": "20",
        "/search?q=site%3Apaper.example": "21",
        "/search?q=site%3Azeitung.example": "21",
        "/search?q=site%3Ajournal.example": "20",
    }
    assert "crawler" not in text_of(page) and "newsmill up" not in text_of(page), "nothing is missing"
    assert "Documents per month" in text_of(page)
    assert sum(int(n) for n in page.xpath("//section//table//td//text()")) == 60
    assert "Gespeicherte Dokumente" in text_of(read(app.program(), "/?lang=de"))
    app.context.ledger.sources.put(Source("paper", homepage="https://paper.example/"), now=app.context.now())
    assert "No crawler is running" in text_of(read(app.reader, "/")), "a source waits for one"


def test_sites_are_listed_without_a_source(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def sites(path: str) -> list[str]:
        return [text_of(link) for link in read(app.reader, path).xpath("//section[@aria-labelledby='sites']//li/a")]

    page = read(app.reader, "/sources")
    assert sites("/sources") == ["paper.example", "zeitung.example", "journal.example"]
    assert "No sources yet" not in text_of(page) and page.xpath("//section[@id='add']")
    assert follow(app.reader, page.xpath("//section[@aria-labelledby='sites']//li/a/@href")[0]) == 21
    monkeypatch.setattr("newsmill.web.pages.sources.MAX_SITES", 2)
    assert (sites("/sources"), sites("/sources?sites=2"), sites("/sources?sites=9")) == (
        ["paper.example", "zeitung.example"],
        ["journal.example"],
        [],
    )


def test_a_search_opens_where_the_matches_are(app: RunningApp, newsmill: Newsmill) -> None:
    page = read(app.reader, "/search?q=harbour")
    shown = [int(n) for n in page.xpath(f"{TIME}//tbody//td//text()")]
    assert sum(shown) == 60 and shown[0] == shown[-1] == 3 and len(shown) == 50, "months from March 2011 to April 2015"
    ((text, href),) = [(text_of(link), link.get("href")) for link in page.xpath(f"{TIME}//p/a[starts-with(@href, '/search')]")]
    assert text == "2 matches without a date" and follow(app.reader, href) == 2
    facets = {text_of(name): text_of(name.getnext()) for name in page.xpath("//div[@class='facet']/h3")}
    assert set(facets) == {"Language", "Site"}, "62 authors of one document each, and one type of all, narrow nothing down"
    assert facets["Language"] == "de21en21fr20"
    bars = [float(width[:-1]) for width in page.xpath("//div[@class='facet'][1]//rect/@width")]
    assert bars == pytest.approx([100 * 21 / 62, 100 * 21 / 62, 100 * 20 / 62], abs=0.1), "a bar is the share in all matches"
    rows = newsmill("search", "harbour", "--timeline", "--json").lines
    assert (rows[0]["start"][:7], rows[0]["n"], rows[-1]["start"][:7], rows[-1]["n"], len(rows)) == ("2011-03", 3, "2015-04", 3, 50)
    assert newsmill("search", "harbour", "--timeline").err == "2 matching documents without a date; add dated:no to list them\n"
    counted = newsmill("search", "harbour", "--facets", "-n", "1").out
    assert len(re.findall(r"(?m)^ language ", counted)) == 3 and len(re.findall(r"(?m)^ author ", counted)) == 20


def test_operations_show_no_zeros(app: RunningApp) -> None:
    page = read(app.reader, "/ops")
    figures = {text_of(one.xpath("dt")[0]): text_of(one.xpath("dd")[0]) for one in page.xpath("//dl[@class='figures']/div")}
    assert figures == {"Stored, last 7 days": "62", "Failed pages, last 7 days": "0", "Doubtful documents": "62"}
    assert "No URL waits" in text_of(page) and "No crawler is running" not in text_of(page)
    assert [text_of(row.xpath("th/span")[0]) for row in page.xpath("//*[@aria-labelledby='results']//tbody/tr")] == ["stored"]
    app.context.ledger.links.add([Link("https://paper.example/new")], now=app.context.now())
    waiting = read(app.reader, "/ops")
    assert {"Pending", "Due"} <= {text_of(one) for one in waiting.xpath("//dl[@class='figures']//dt")}
    assert "No crawler is running" in text_of(waiting)
