"""The content of the pages: lists, documents, explanations, archived pages and errors, in both languages."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browsing import page_urls
from fastapi.routing import iter_route_contexts
from lxml import etree, html
from page_client import FOREIGN_SCRIPTS, HTML, TIME, follow, read, text_of
from rows import NOON, SOURCE
from site_of_tests import RunningApp
from sqlalchemy import select, update

from newsmill.model import Block, BlockType, ExtractionResult, Outcome, OutcomeRecord
from newsmill.search import search as search_module
from newsmill.search.postgres_backend import PostgresBackend
from newsmill.search.sqlite_backend import SqliteBackend
from newsmill.storage.database import writing
from newsmill.storage.schema import documents
from newsmill.storage.statistics import Statistics
from newsmill.web.pages import search, timelines

# ---- reading -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_page_stands_in_the_readers_language_and_is_well_formed(filled: RunningApp, ids: dict[str, str], language: str) -> None:
    client = filled.browser()
    client.headers["accept-language"] = f"fr;q=0.9, {language}-AT;q=0.8, en;q=0.1"
    for name, path in page_urls(ids).items():
        page = read(client, path, 404 if name == "lost" else 200)
        assert page.get("lang") == language, name
        assert len(page.xpath("//h1")) == 1, name
        assert page.xpath("//title/text()")[0].endswith("· Newsmill"), name
        marks = page.xpath("//@id")
        assert len(marks) == len(set(marks)), (name, marks)
        for element in page.xpath("//a[@href]"):
            outside = urlsplit(element.get("href")).netloc
            assert urlsplit(element.get("href")).scheme in ("", "http", "https"), (name, element.get("href"))
            assert not outside or element.get("rel") == "noopener noreferrer nofollow", (name, element.get("href"))
        assert not page.xpath(f"{FOREIGN_SCRIPTS} | //@style | //@*[starts-with(name(), 'on')]"), name
        assert all(image.get("alt") is not None and image.get("width") and image.get("height") for image in page.xpath("//img")), name
        assert all(not urlsplit(url).netloc for url in page.xpath("//@src | //link/@href | //@action")), name


def test_the_language_can_be_switched_and_stays(filled: RunningApp) -> None:
    client = filled.program()
    assert read(client, "/?lang=de").get("lang") == "de"
    assert read(client, "/sources").get("lang") == "de"
    assert read(client, "/sources?lang=xx").get("lang") == "de"
    switch = read(client, "/search?q=a%26b&lang=de").xpath("//a[@hreflang='en']/@href")[0]
    assert parse_qs(urlsplit(switch).query) == {"q": ["a&b"], "lang": ["en"]}


@pytest.mark.parametrize("value", ["-9223372036854775809", "9" * 60, "//[", "\0", "\ud800".encode("utf-8", "surrogatepass"), ""])
def test_no_value_of_a_parameter_is_answered_as_our_fault(filled: RunningApp, ids: dict[str, str], value: str | bytes) -> None:
    client = filled.browser()
    tried = 0
    for route in iter_route_contexts(filled.app.routes):
        path = str(route.path).replace("{document_id}", ids["paper"])
        if "GET" in (route.methods or ()) and not path.startswith("/api/"):
            for name in [parameter.alias for parameter in route.original_route.dependant.query_params]:
                answer = client.get(path, params={name: value})
                assert answer.status_code < 500, (path, name, value)
                tried += 1
    assert tried > 20
    assert client.get("/", params={"lang": value}).status_code < 500  # a parameter of every page


def test_an_empty_store_says_what_to_do_next(web: RunningApp) -> None:
    client = web.browser()
    assert "newsmill demo" in text_of(read(client, "/"))
    assert read(client, "/").xpath("//a[@href='/sources#add']")
    for path in ("/search", "/search?q=ferry"):
        found = read(client, path)
        assert "No documents yet" in text_of(found) and found.xpath("//div[@class='empty']//a[@href='/sources']"), path
    assert "No sources yet" in text_of(read(client, "/sources"))
    operation = text_of(read(client, "/ops"))
    assert "No quarantined pages" in operation
    assert "newsmill up" in operation


def test_a_query_is_marked_in_titles_and_in_the_opened_document(filled: RunningApp) -> None:
    found = read(filled.reader, "/search?q=children+lang:en")
    first = found.xpath("//ol[@class='documents']//h3/a/@href")[0]
    assert first.endswith("?q=children+lang%3Aen")
    opened = read(filled.reader, first)
    marked = {text_of(mark).lower() for mark in opened.xpath("//article//mark")}
    assert "children" in marked and marked <= {"children", "child"}
    assert not read(filled.reader, first.partition("?")[0]).xpath("//article//mark")
    assert read(filled.reader, first.partition("?")[0] + "/explain?q=x").xpath("//h1")


def test_what_is_wrong_with_a_query_is_said(filled: RunningApp) -> None:
    unknown = read(filled.reader, "/search?q=source:aunebotte")
    assert "source:aunebote" in text_of(unknown.xpath("//p[@class='notice']")[0]) and not unknown.xpath("//div[@class='empty']/p")
    (hint,) = read(filled.reader, "/search?q=zzzz+lang:de").xpath("//div[@class='empty']/p")
    assert text_of(hint).startswith("Remove a filter. A word also matches")
    assert "ist kein Datum" in text_of(read(filled.program(), "/search?q=after:2026-13-45&lang=de"))
    suggested = read(filled.reader, "/search?q=childrn").xpath("//div[@class='empty']//a/@href")
    assert suggested == ["/search?q=children&order=relevance"]


def test_the_query_builder_writes_a_query(filled: RunningApp) -> None:
    (form,) = read(filled.reader, "/search").xpath("//form[@action='/search/build']")
    assert len(form.xpath(".//label")) == len(form.xpath(".//input")) == 11
    fields = {"all": 'council "town hall"', "any": 'news "evening edition"', "none": '"strike', "title": '"old bridge" (x'}
    filters = {"language": "en", "after": "2026-01-01", "source": "The Paper", "author": "Ann Smith", "section": "sport"}
    answer = filled.reader.get("/search/build", params=fields | filters, follow_redirects=False)
    query = (
        'council "town hall" news OR "evening edition" -"strike" title:"old bridge" title:x '
        'author:"Ann Smith" section:sport source:"The Paper" lang:en after:2026-01-01'
    )
    assert answer.status_code == 303 and parse_qs(urlsplit(answer.headers["location"]).query) == {"q": [query]}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("council lang:en after:2026-01-01", {"all": "council", "language": "en", "after": "2026-01-01"}),
        ('author:"Ann Smith" section:sport author:=x', {"author": "Ann Smith", "section": "sport", "keep": "author:=x"}),
        (
            'council climat* "night train" -strike title:flood source:"The Paper"',
            {
                "all": "council climat*",
                "phrase": "night train",
                "none": "strike",
                "title": "flood",
                "source": "The Paper",
            },
        ),
        ('rail "night bus"', {"all": "rail", "phrase": "night bus"}),
        ("rail OR bus lang:en", {"keep": "rail OR bus", "language": "en"}),
        ("rail (bus -ferry)", {"all": "rail", "keep": "(bus -ferry)"}),
        ('=flood -lang:en is:starred after:"last week" x', {"all": "x", "keep": '=flood -lang:en is:starred after:"last week"'}),
    ],
)
def test_the_query_builder_starts_with_the_query(filled: RunningApp, query: str, fields: dict[str, str]) -> None:
    (form,) = read(filled.reader, "/search?" + urlencode({"q": query})).xpath("//form[@action='/search/build']")
    values = {field.get("name"): field.get("value") for field in form.xpath(".//input")}
    assert {name: value for name, value in values.items() if value} == fields
    answer = filled.reader.get("/search/build", params=values, follow_redirects=False)
    assert sorted(parse_qs(urlsplit(answer.headers["location"]).query)["q"][0].split()) == sorted(query.split())


def test_signing_in_leads_back_to_the_search(filled: RunningApp) -> None:
    (link,) = read(filled.stranger, "/search?q=a+%26+b&order=newest", 401).xpath("//header//div[@class='account']/a/@href")
    (target,) = read(filled.stranger, link).xpath("//main//form//input[@name='next']/@value")
    assert target == "/search?q=a+%26+b&order=newest"


def test_home_says_what_new_means(filled: RunningApp) -> None:
    published, seen = read(filled.reader, "/"), read(filled.reader, "/?by=seen")
    assert text_of(published.xpath("//h2[@id='newest']")[0]) == "Newest by publication"
    assert text_of(seen.xpath("//h2[@id='newest']")[0]) == "Newest by first seen"
    for page in (published, seen):
        heads = page.xpath("//ol[@class='documents']/li")
        assert heads and all("published " in text_of(head) and "first seen " in text_of(head) for head in heads)
        assert Counter(head.xpath("string(.//div[@class='meta']/a)") for head in heads).most_common(1)[0][1] == 3
        assert "At most 3 documents of each source." in text_of(page)
    assert [text_of(tick) for tick in published.xpath("//div[contains(@class, 'axis x')]/span")] == ["29 Oct", "5 Nov", "12 Nov", "19 Nov"]
    hours = [text_of(tick) for tick in seen.xpath("//div[contains(@class, 'axis x')]/span")]
    assert hours == ["18:00", "24 Nov", "06:00", "12:00", "18:00", "25 Nov", "06:00", "12:00"]
    assert read(filled.reader, "/?by=nonsense").xpath("//a[@aria-current='true' and @href='/?']")


def test_what_is_being_fetched_is_a_part_of_its_own(filled: RunningApp) -> None:
    """The script reads the part; without a script the link reloads the page."""
    home = read(filled.reader, "/")
    newest, part = home.xpath("//*[@data-refresh]")
    shown = filled.reader.get(newest.get("data-refresh"), headers=HTML)
    assert text_of(html.fragment_fromstring(shown.text, create_parent=True)) == text_of(newest), "a crawl is running"
    fragment = filled.reader.get(part.get("data-refresh"), headers=HTML)
    assert "<html" not in fragment.text and "puente.example" in fragment.text
    assert text_of(html.fragment_fromstring(fragment.text, create_parent=True)) == text_of(part)
    assert part.xpath(".//a[@href='/#now']") and home.xpath("//h2[@id='now']")
    assert "Stand: 12:20" in filled.program().get("/fetching?lang=de", headers=HTML).text


def test_the_api_has_a_page_with_every_route(filled: RunningApp) -> None:
    page = read(filled.reader, "/api")
    routes = page.xpath("//details/summary/code/text()")
    schema = filled.reader.get("/api/v1/openapi.json").json()
    assert sorted(routes) == sorted(f"{method.upper()} {path}" for path, methods in schema["paths"].items() for method in methods)
    links = page.xpath("//details//a/@href")
    assert {"/api/v1/search", "/api/v1/sources"} <= set(links) and not [link for link in links if "{" in link or "stream" in link]
    assert read(filled.reader, "/").xpath("//footer//a[@href='/api']")


def test_a_source_has_closed_sections_and_tables_that_can_be_shown_whole(filled: RunningApp) -> None:
    page = read(filled.reader, "/sources/valley-gazette")
    folds = {fold.get("id"): fold for fold in page.xpath("//details[@class='fold']")}
    assert list(folds) == ["plan", "listings", "recent", "technical", "profile", "rules"] and not page.xpath("//details/@open")
    assert "when news is expected" in text_of(folds["plan"].xpath("summary")[0]) and "2 rules" in text_of(
        folds["rules"].xpath("summary")[0]
    )
    assert "more than 10" in text_of(folds["recent"].xpath("summary")[0])
    whole = read(filled.reader, "/sources/valley-gazette" + folds["recent"].xpath(".//p[@class='more']/a/@href")[0])
    (recent,) = whole.xpath("//details[@id='recent']")
    shown = recent.xpath(".//tbody/tr/td[1]/a")
    assert recent.xpath("@open") and len(shown) == 100 > len(folds["recent"].xpath(".//tbody/tr")) == 10
    assert len({text_of(url) for url in shown}) == 100


def test_who_is_signed_in_is_said_on_every_page(filled: RunningApp, ids: dict[str, str]) -> None:
    client = filled.browser()
    for name, path in page_urls(ids).items():
        (account,) = read(client, path, 404 if name == "lost" else 200).xpath("//header//div[@class='account']")
        assert text_of(account.xpath("b")[0]).startswith("Signed in as ") and account.xpath("form[@action='/logout']//button"), name
    assert read(filled.stranger, "/", 401).xpath("//header//div[@class='account']/a/@href") == ["/login?next=%2F"]


def test_the_bar_of_the_disk_shows_what_its_text_says(filled: RunningApp) -> None:
    space = next(row for row in read(filled.reader, "/ops").xpath("//dl/div") if text_of(row.xpath("dt")[0]) == "Archive disk")
    percent = re.search(r"used \((\d+) %\)", text_of(space.xpath("dd")[0]))
    assert percent is not None
    assert abs(int(percent[1]) - float(space.xpath(".//*[@class='done']/@width")[0].removesuffix("%"))) <= 1


def test_home_and_search_show_what_is_stored(filled: RunningApp, ids: dict[str, str]) -> None:
    home = read(filled.reader, "/")
    assert home.xpath("//svg[@class='bars']//rect")
    assert "puente.example" in text_of(home.xpath("//section[@aria-labelledby='now']")[0])
    found = read(filled.reader, "/search?q=source:aunebote+NATO+lang:de")
    assert f"/documents/{ids['paper']}?q=source%3Aaunebote+NATO+lang%3Ade" in found.xpath("//ol//h3/a/@href")
    assert {
        chip.xpath("string(bdi)"): parse_qs(urlsplit(chip.get("href")).query)["q"]
        for chip in found.xpath("//ul[@aria-label='Filters']/li/a[bdi]")
    } == {
        "source:aunebote": ["NATO lang:de"],
        "lang:de": ["source:aunebote NATO"],
    }
    feeds = found.xpath("//link[@rel='alternate']/@href")
    assert [urlsplit(feed).path for feed in feeds] == ["/feeds/atom", "/feeds/rss", "/feeds/json"]


def test_pages_of_results_follow_one_another(filled: RunningApp) -> None:
    seen: list[str] = []
    path = "/search?q=ferry"
    for _ in range(3):
        page = read(filled.reader, path)
        seen += page.xpath("//ol[@class='documents']//h3/a/@href")
        path = "/search" + page.xpath("//a[@rel='next']/@href")[0]
    assert len(seen) == len(set(seen)) == 60
    unknown, first = (read(filled.reader, f"/search?q=ferry&cursor={cursor}") for cursor in ("nonsense", ""))
    texts = [page.xpath("string(//main)") for page in (unknown, first)]
    assert ["These are the first matches" in text for text in texts] == [True, False]
    assert ["Published" in text for text in texts] == [True, True], "with the counts of a first page"
    assert unknown.xpath("//ol[@class='documents']//h3/a/text()") == first.xpath("//ol[@class='documents']//h3/a/text()")


def test_results_that_are_cut_short_say_down_to_when_they_go(filled: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(filled.reader, "/search?q=NATO").xpath("//ol[@class='documents']//h3/a/@href")
    for backend in (SqliteBackend, PostgresBackend):
        monkeypatch.setattr(backend, "first_chunk_documents", 5)
    monkeypatch.setattr(search_module, "PAGE_SECONDS", -1)
    path, seen = "/search?q=NATO+-nosuchword&order=newest", []  # one word alone is never cut on SQLite
    while True:
        page = read(filled.reader, path)
        seen += page.xpath("//ol[@class='documents']//h3/a/@href")
        title = text_of(page.xpath("//h2[@id='results']")[0])
        if not (later := page.xpath("//a[@rel='next']/@href")):
            break
        assert re.fullmatch(r"Searched back to \d+ \w+ \d{4}", title) and "Search older documents" in text_of(page)
        assert "No matches" not in text_of(page)
        path = later[0] if later[0].startswith("/") else f"/search{later[0]}"
    assert (
        sorted(link.partition("?")[0] for link in seen) == sorted(link.partition("?")[0] for link in whole)
        and seen
        and path != "/search?q=NATO&order=newest"
    )
    cut = filled.reader.get("/api/v1/search", params={"q": "NATO -nosuchword"}).json()
    assert cut["reached"] is not None and cut["next"] and cut["total"] is None


FACETS = "//section[@aria-labelledby='facets']"


def test_a_page_says_what_takes_too_long_to_count(filled: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page whose time was over with the results still has its chart, which has a time of its own."""
    whole = read(filled.reader, "/search?q=ferry")
    assert "too long" not in text_of(whole) and "≥" not in text_of(whole)
    assert re.fullmatch(r"\d+ matches About it: \d+ · Only mentions: \d+", text_of(whole.xpath("//h2[@id='results']")[0]))
    assert whole.xpath(f"{TIME}//a/rect") and whole.xpath(f"{FACETS}//li")
    monkeypatch.setattr(search, "MAX_QUERY_SECONDS", 0)
    assert read(filled.reader, "/search?q=ferry").xpath(f"{TIME}//a/@aria-label") == whole.xpath(f"{TIME}//a/@aria-label")
    monkeypatch.setattr(search, "CHART_SECONDS", 0)
    page = read(filled.reader, "/search?q=ferry")
    assert page.xpath("//ol[@class='documents']//h3/a/@href") == whole.xpath("//ol[@class='documents']//h3/a/@href")
    assert text_of(page.xpath("//h2[@id='results']")[0]) in ("Many matches", text_of(whole.xpath("//h2[@id='results']")[0]))
    assert "Older bars take too long" in text_of(page.xpath(TIME)[0]) and page.xpath(f"{TIME}//a[@href='/explore?q=ferry']")
    assert not page.xpath(f"{TIME}//a/rect") and not page.xpath(FACETS)
    assert "dauert" in text_of(read(filled.program(), "/search?q=ferry&lang=de").xpath(TIME)[0])


def test_a_chart_without_time_shows_whole_bars_and_says_so(filled: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(filled.reader, "/search").xpath(f"{TIME}//svg/a/title/text()")
    for backend in (SqliteBackend, PostgresBackend):
        monkeypatch.setattr(backend, "first_chunk_documents", 2)
        monkeypatch.setattr(backend, "clock", count().__next__)
    lengths = []
    for seconds in range(2, 90, 8):
        monkeypatch.setattr(search, "CHART_SECONDS", seconds)
        page = read(filled.reader, "/search")
        drawn = page.xpath(f"{TIME}//svg/a/title/text()")
        assert drawn == whole[len(whole) - len(drawn) :]
        assert ("too long" in text_of(page)) == bool(not drawn or page.xpath(f"{TIME}//svg/g[@class='uncounted']"))
        lengths.append(len(drawn))
    assert lengths == sorted(lengths) and len(set(lengths)) > 2


def test_facets_narrow_and_widen_the_query_by_what_they_count(filled: RunningApp) -> None:
    page = read(filled.reader, "/search?q=council+lang:en")
    groups = {group.xpath("string(h3/text())").strip(): group for group in page.xpath("//div[@class='facet']")}
    assert set(groups) == {"Language", "Source", "Section", "Author", "Type", "Site"}
    for group in groups.values():
        for item in group.xpath(".//li[a]")[:2]:
            assert follow(filled.reader, item.xpath("a/@href")[0]) == int(item.xpath("string(span[last()])"))
    assert not groups["Language"].xpath(".//li/a") and not groups["Source"].xpath("h3/a")
    (wider,) = groups["Language"].xpath("h3/a/@href")
    assert parse_qs(urlsplit(wider).query)["q"] == ["council"]
    assert follow(filled.reader, wider) > follow(filled.reader, "/search?q=council+lang:en")


@pytest.mark.parametrize(
    "query", ["council NOT lang:de", "council OR ferry", '"the council', "council NOT", "(council OR ferry", "council lang:en OR lang:de"]
)
def test_facets_and_bars_of_any_query_lead_to_what_they_count(filled: RunningApp, query: str) -> None:
    page = read(filled.reader, "/search?" + urlencode({"q": query}))
    groups = [group.xpath(".//li[a]")[:1] for group in page.xpath("//div[@class='facet']")]
    for item in (item for group in groups for item in group):
        assert follow(filled.reader, item.xpath("a/@href")[0]) == int(item.xpath("string(span[last()])"))
    for bar in page.xpath(f"{TIME}//svg/a")[-1:]:
        assert follow(filled.reader, bar.get("href")) == int(bar.get("aria-label").rpartition(": ")[2])
    assert any(groups)


def test_further_values_of_a_facet_can_be_opened(filled: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def authors(page: html.HtmlElement) -> tuple[list[int], int, list[str]]:
        (group,) = page.xpath("//div[@class='facet'][h3[@id='facet-author']]")
        numbers = [int(item.xpath("string(span[last()])")) for item in group.xpath(".//li")]
        return numbers, len(group.xpath("ul/li")), [text_of(summary) for summary in group.xpath("details/summary")]

    monkeypatch.setattr(search, "MAX_SHOWN_VALUES", 2)
    numbers, shown, summary = authors(read(filled.reader, "/search?q=lang:en"))
    assert numbers == sorted(numbers, reverse=True) and shown == 2 and summary == [f"{len(numbers) - 2} more"]
    monkeypatch.setattr(search, "MAX_FACET_VALUES", 4)
    assert authors(read(filled.reader, "/search?q=lang:en"))[2] == ["2 more, the most frequent"]


def test_a_comparison_says_what_it_changed(filled: RunningApp) -> None:
    def notices(query: str) -> list[str]:
        return [text_of(notice) for notice in read(filled.reader, f"/explore?q=ferry&{query}").xpath("//p[@class='notice']")]

    assert notices("after=2026-11-20&before=2026-11-24&step=day") == []
    assert "must be before" in notices("after=2026-11-20&before=2026-11-10")[0]
    assert notices("after=2006-11-20&before=2026-11-20&step=month") == []
    assert "Bars: Weeks" in notices("after=2020-11-20&before=2026-11-20&step=day")[0]
    assert "Bars: Years" in notices("after=1980-11-20&before=2026-11-20&step=week")[0]


def test_bars_and_dates_lead_to_documents_of_that_time(filled: RunningApp) -> None:
    client = filled.reader
    for step in ("day", "week", "month"):
        page = read(client, f"/search?q=ferry&step={step}")
        bars = page.xpath(f"{TIME}//svg/a")
        for bar in (bars[0], bars[-1]):
            assert follow(client, bar.get("href")) == int(bar.get("aria-label").rpartition(": ")[2])
        assert page.xpath(f"{TIME}//table//td/a/@href") == page.xpath(f"{TIME}//svg/a/@href")
        ticks = [float(x[:-1]) for x in page.xpath(f"{TIME}//svg[@class='ticks']//line/@x1")]
        gaps = {round(later - earlier, 1) for earlier, later in pairwise(ticks)}
        assert len(gaps) <= 1 and ticks
    page = read(client, "/search?q=lang:en")
    shown = [int(n) for n in page.xpath(f"{TIME}//tbody//td//text()")]
    assert shown[0] > 0 < shown[-1] and sum(shown) == follow(client, "/search?q=lang:en+dated:yes"), (
        "all matches, from the first to the last"
    )
    answer = client.get(
        "/search/range", params={"q": "ferry after:7d", "after": "2026-11-20", "before": "2026-11-24"}, follow_redirects=False
    )
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["location"]).query)["q"] == ["ferry after:2026-11-20 before:2026-11-24"]
    page = read(client, answer.headers["location"])
    assert page.xpath(f"{TIME}//input[@type='date']/@value") == ["2026-11-20", "2026-11-24"]
    assert len(page.xpath(f"{TIME}//tbody/tr")) == 4
    for query, dates in {"ferry after:2010": ["2010-01-01", ""], "ferry before:2100": ["", "2100-01-01"]}.items():
        (form,) = read(client, "/search?" + urlencode({"q": query})).xpath(f"{TIME}//form[@class='range']")
        assert form.xpath(".//input[@type='date']/@value") == dates
        same = client.get("/search/range", params=dict(form.form_values()), follow_redirects=False)
        assert parse_qs(urlsplit(same.headers["location"]).query)["q"] == [query]
    cleared = client.get("/search/range", params={"q": "ferry after:7d", "before": "never"}, follow_redirects=False)
    assert parse_qs(urlsplit(cleared.headers["location"]).query)["q"] == ["ferry"]


def totals_of(page: html.HtmlElement) -> list[int]:
    """The numbers of documents of a comparison."""
    return [int(cell.replace(",", "")) for cell in page.xpath("//tr[th/a]/td[1]/text()")]


def test_queries_are_compared_over_time(filled: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    client, query = filled.reader, "?q=ferry&q=%3D%22library%22&q=source:nope&after=2026-11-01&measure="
    counted = read(client, f"/explore{query}count")
    assert counted.xpath("//ul[@class='legend']/li") and "Source nope does not exist" in text_of(counted)
    bar = counted.xpath("//svg[contains(@class, 'timeline')]/a")[0]
    assert follow(client, bar.get("href")) == int(bar.get("aria-label").split()[-1])
    totals = totals_of(counted)
    assert totals == [follow(client, href) for href in counted.xpath("//tr[th/a]/th/a/@href")] and totals[0] > totals[1] > 0 == totals[2]
    monkeypatch.setattr(timelines, "MIN_SHARE_DOCUMENTS", 1000)
    assert "Choose longer bars, such as weeks" in text_of(read(client, f"/explore{query}share"))
    monkeypatch.setattr(timelines, "MIN_SHARE_DOCUMENTS", 5)
    few = read(client, f"/explore{query}share").xpath("//svg[contains(@class, 'timeline')]")[0]
    assert "too few documents (" in few.xpath("string(.)") and few.xpath(".//circle") and not few.xpath(".//a//rect[not(@class='hit')]")
    monkeypatch.setattr(timelines, "MIN_SHARE_DOCUMENTS", 1)
    lines = read(client, f"/explore{query}share").xpath("//svg[contains(@class, 'timeline')]")[0]
    assert len(lines.xpath("./g[contains(@class, 'line')]")) == 3 and lines.xpath(".//circle")
    assert re.search(r": ferry \d+ % \(\d+ of \d+\), =\"library\" \d+", lines.xpath(".//a/@aria-label")[0])
    assert "<path d=" in client.get(f"/explore.svg{query}share").text
    table = client.get(f"/explore.csv{query}share")
    assert table.headers["content-type"] == "text/csv; charset=utf-8" and "attachment" in table.headers["content-disposition"]
    assert table.text.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert sum(int(row["documents"]) for row in rows if row["query"] == "ferry") == totals[0]
    assert {row["query"] for row in rows} == {"ferry", '\'="library"', "source:nope"}  # no formula of a spreadsheet
    assert all(float(row["share"]) == round(int(row["documents"]) / max(1, int(row["all_documents"])), 6) for row in rows)
    picture = client.get(f"/explore.svg{query}count")
    assert picture.headers["content-type"].startswith("image/svg+xml")
    drawn = etree.fromstring(picture.content)
    texts = drawn.xpath("//*[local-name()='text']/text()")
    assert {"ferry", '="library"', "Documents per day", "0"} <= set(texts) and drawn.xpath("//*[local-name()='rect']/@fill")
    assert any(text.startswith("Newsmill ") and "(UTC), counted on " in text for text in texts)
    assert not drawn.xpath("//@class | //@style | //*[local-name()='script'] | //@href")
    hostile = client.get("/explore.svg", params={"q": ["]]><script>alert(1)</script>\x01", "=cmd|' /C calc'!A0"]})
    assert not etree.fromstring(hostile.content).xpath("//*[local-name()='script']")
    assert read(client, "/explore?after=0000-99&before=x&q=&q=").xpath("//svg[contains(@class, 'timeline')]/a")
    whole = read(client, "/explore?q=ferry&q=nosuchword&step=day")
    bars = [int(n) for n in whole.xpath("//main//details//tbody/tr/td[1]//text()")]
    assert bars[0] > 0 < bars[-1] and sum(bars) == totals_of(whole)[0], "without dates, the chart has all matches"
    (form,) = whole.xpath("//form[@action='/explore']")
    assert dict(form.form_values())["step"] == "day" and not dict(form.form_values())["after"], "the form has what was chosen"


def test_a_document_says_where_its_fields_come_from(filled: RunningApp, ids: dict[str, str]) -> None:
    page = read(filled.reader, f"/documents/{ids['paper']}")
    facts = {text_of(fact.xpath("dt/span[1]")[0]): fact for fact in page.xpath("//aside//dl/div")}
    assert text_of(facts["Published"].xpath("dt/span[2]")[0]) == "JSON-LD"
    assert facts["Published"].xpath("dd/time/@datetime") == ["2026-11-24T16:05:00+00:00"]
    assert "source site-40" not in text_of(page)
    parts = read(filled.reader, f"/documents/{ids['parts']}").xpath("//div[@class='prose']")[0]
    assert [len(parts.xpath(path)) for path in ("ul", "ul/li", "blockquote", ".//table", ".//tr", "pre", "h2")] == [1, 3, 1, 1, 3, 1, 1]
    assert read(filled.reader, f"/documents/{ids['arabic']}").xpath("//div[@class='prose']/@dir") == ["rtl"]


def test_the_text_with_updates_is_one_tab_away(filled: RunningApp, ids: dict[str, str]) -> None:
    path = f"/documents/{ids['live']}"
    document = filled.context.documents.get(ids["live"])
    assert document is not None
    tabs = {text_of(tab): tab.get("href") for tab in read(filled.reader, path).xpath("//nav[@class='tabs']/a")}
    assert tabs["Text with updates"] == f"{path}/updates"
    page = read(filled.reader, f"{path}/updates")
    assert text_of(page.xpath("//nav[@class='tabs']/a[@aria-current]")[0]) == "Text with updates"
    assert text_of(page.xpath("//div[@class='prose']")[0]).split() == document.text_with_updates().split()
    assert len(document.text_with_updates()) > len(document.text)
    assert "Text mit Aktualisierungen" in text_of(read(filled.program(), f"{path}?lang=de"))
    assert not read(filled.reader, f"/documents/{ids['paper']}").xpath("//nav[@class='tabs']/a[contains(@href, '/updates')]")


def test_a_removed_article_says_so(filled: RunningApp, ids: dict[str, str]) -> None:
    path = f"/documents/{ids['paper']}"
    of_paper = update(documents).where(documents.c.id == ids["paper"])
    assert not read(filled.reader, path).xpath("//p[@class='notice']")
    with writing(filled.context.engine) as conn:
        conn.execute(of_paper.values(gone_at=NOON))
    for client, notice, field in (
        (filled.reader, "The site has removed this article. Noticed: 25 Nov 2026", "Removed from the site"),
        (filled.program(), "Die Website hat diesen Artikel entfernt. Bemerkt: 25.", "Von der Website entfernt"),
    ):
        page = read(client, path if client is filled.reader else f"{path}?lang=de")
        assert notice in text_of(page.xpath("//p[@class='notice']")[0]) and field in text_of(page)
    with writing(filled.context.engine) as conn:
        conn.execute(of_paper.values(gone_at=None))


def test_doubtful_documents_are_marked_and_counted(filled: RunningApp) -> None:
    hits = [hit for hit in filled.context.documents.iterate() if hit.text.startswith("The council")]
    doubtful, sure = (next(one for one in hits if one.doubtful is wanted) for wanted in (True, False))
    assert "Doubtful text: confidence 0" in text_of(read(filled.reader, f"/documents/{doubtful.id}"))
    assert "Doubtful text" not in text_of(read(filled.reader, f"/documents/{sure.id}"))
    n = filled.context.documents.count_doubtful()
    assert n == sum(one.doubtful for one in filled.context.documents.iterate())
    figures = {text_of(one.xpath("dt")[0]): text_of(one.xpath("dd")[0]) for one in read(filled.reader, "/ops").xpath("//dl/div[dt and dd]")}
    assert figures["Doubtful documents"] == str(n)
    marked = {}
    for page in (read(filled.reader, path) for path in ("/", "/search", "/search?q=council", f"/sources/{doubtful.source}")):
        for item in page.xpath("//ol[@class='documents']/li[h3/a]"):
            marked[item.xpath("string(h3/a/@href)").rpartition("/")[2].partition("?")[0]] = bool(
                item.xpath(".//*[contains(@class, 'doubtful')]")
            )
    assert set(marked.values()) == {True, False}
    assert marked == {one.id: one.doubtful for one in filled.context.documents.iterate() if one.id in marked}


def test_a_long_document_is_read_part_by_part(filled: RunningApp, ids: dict[str, str]) -> None:
    path, seen = f"/documents/{ids['very-long']}", ""
    while path:
        page = read(filled.reader, path)
        seen += text_of(page.xpath("//div[@class='prose']")[0]) + " "
        later = page.xpath("//a[@rel='next']/@href")
        path = f"/documents/{ids['very-long']}{later[0]}" if later else ""
    assert [int(number) for number in re.findall(r"(\d+)\. The council met", seen)] == list(range(400))


def test_the_explanation_shows_every_block_with_its_reason(filled: RunningApp, ids: dict[str, str]) -> None:
    page = read(filled.reader, f"/documents/{ids['paper']}/explain")
    gone = {
        text_of(block.xpath("div[1]")[0]): text_of(block.xpath("div[2]")[0])
        for block in page.xpath("//ol[@class='blocks']/li[@class='gone']")
    }
    assert gone["source site-40"].endswith("rules: source credit")
    kept = page.xpath("//ol[@class='blocks']/li[@class='']")
    assert any("Das Treffen des NATO-Russland-Rates" in text_of(block) for block in kept)
    only = read(filled.reader, f"/documents/{ids['paper']}/explain?show=removed")
    assert not only.xpath("//li[@class='']")
    assert len(only.xpath("//li[@class='gone']")) == len(page.xpath("//li[@class='gone']")) > 20


def test_each_view_of_a_document_has_a_title_of_its_own(filled: RunningApp, ids: dict[str, str]) -> None:
    views = ("", "/updates", "/explain", "/page")
    titles = [
        str(read(filled.browser(), f"/documents/{ids['live' if view == '/updates' else 'paper']}{view}").xpath("//title/text()")[0])
        for view in views
    ]
    assert [title.partition(": ")[0] for title in titles[1:]] == ["Text with updates", "Explanation", "Archived page"]
    assert titles[0].startswith("Russland und die NATO")


def test_a_document_with_ready_fields_has_no_blocks_to_explain(filled: RunningApp, ids: dict[str, str]) -> None:
    chosen = documents.c.id == ids["paper"]
    with writing(filled.context.engine) as conn:
        before = conn.execute(select(documents.c.extractor).where(chosen)).scalar_one()
        conn.execute(update(documents).where(chosen).values(extractor="spider"))
    explained = text_of(read(filled.browser(), f"/documents/{ids['paper']}/explain"))
    with writing(filled.context.engine) as conn:
        conn.execute(update(documents).where(chosen).values(extractor=before))
    assert "no blocks to explain" in explained and "blocks kept" not in explained


def test_the_explanation_names_the_page_of_the_blocks(filled: RunningApp, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    pages = ["https://paper.example/a", "https://paper.example/a/2"]
    blocks = [Block(BlockType.PARAGRAPH, "Advertisement", kept=False, layer="rules", reason="x")] * 6
    result = ExtractionResult(OutcomeRecord(Outcome.STORED), None, tuple(blocks), block_pages=(*pages[:1] * 3, *pages[1:] * 3))
    monkeypatch.setattr("newsmill.web.pages.document.reextract_page", lambda *_: result)
    page = read(filled.reader, f"/documents/{ids['paper']}/explain")
    assert [text_of(item) for item in page.xpath("//ol[@class='blocks']/li[@class='small']")] == pages
    assert len(page.xpath("//ol[@class='blocks']/li[@class='run']")) == 2


def test_runs_of_blocks_with_one_reason_are_one_line_of_the_explanation(filled: RunningApp, ids: dict[str, str]) -> None:
    page = read(filled.reader, f"/documents/{ids['paper']}/explain")
    runs = page.xpath("//ol[@class='blocks']/li[@class='run']")
    assert len(runs) >= 2
    for run in runs:
        inner = run.xpath("details/ol/li[@class='gone']")
        assert len(inner) >= 3 and not run.xpath("details/@open")
        assert text_of(run.xpath(".//summary/span[@class='why']")[0]).startswith(f"{len(inner)} blocks removed · ")
        assert len({text_of(block.xpath("div[2]")[0]) for block in inner}) == 1
        assert text_of(run.xpath(".//summary/span[@class='preview']")[0])
    neighbours = page.xpath("//main//ol[@class='blocks'][not(ancestor::li)]/li[@class='gone']")
    assert len(neighbours) < len(page.xpath("//li[@class='gone']")) / 2


def test_the_archived_page_is_caged(filled: RunningApp, ids: dict[str, str]) -> None:
    frame = read(filled.reader, f"/documents/{ids['hostile']}/page").xpath("//iframe")[0]
    assert frame.get("sandbox") == ""
    answer = filled.reader.get(frame.get("src"))
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<(link|meta|base)\b", answer.text)
    assert "<script>" in answer.text, "nothing else is changed: the policy keeps it from running"


def test_documents_without_an_archived_page_say_so(filled: RunningApp) -> None:
    other = Statistics(filled.context.engine).newest(1, "nordlicht")[0].id
    assert "segment" in text_of(read(filled.reader, f"/documents/{other}/page", 404))
    assert "segment" in text_of(read(filled.reader, f"/documents/{other}/explain", 404))
    assert "does not exist" in text_of(read(filled.reader, "/documents/0000", 404))


def test_url_details(filled: RunningApp) -> None:
    page = text_of(read(filled.reader, "/ops/url?url=gazette.example/wrong/1"))
    assert "in a section" in page
    assert "HTTP 503" in page or "certificate" in page or "no answer" in page
    assert "Newsmill has not seen this URL" in text_of(read(filled.reader, "/ops/url?url=nobody.example/", 404))
    assert "cannot be looked up" in text_of(read(filled.reader, "/ops/url?url=::", 422))


def test_the_last_pass_over_the_archive(filled: RunningApp) -> None:
    assert read(filled.reader, "/ops").xpath("//main//a[@href='/ops/reextraction']")
    page = read(filled.program(), "/ops/reextraction")
    assert re.search(r"Better · .*\+1,234.*adds 1,234 words that are probably article text", text_of(page))
    assert "Dry run" in text_of(page) and page.xpath("//div[@class='diff']/ins")
    assert "1.234 Wörter mehr" in text_of(read(filled.program(), "/ops/reextraction?lang=de"))


# ---- the frame -----------------------------------------------------------------------------------------------------------------


def test_errors_are_pages_for_people_and_problems_for_programs(filled: RunningApp, make_web: Callable[..., RunningApp]) -> None:
    assert "Page not found" in text_of(read(filled.reader, "/no/such/page", 404))
    elsewhere = read(filled.reader, f"{filled.reader.base_url}//evil.example/a", 404)  # as a link, the path would be that host
    assert elsewhere.xpath("//a[@hreflang='de']/@href") == ["/?lang=de"]
    assert filled.reader.get("/no/such/page").headers["content-type"] == "application/problem+json"
    web = make_web()
    refused = read(web.client(), "/sources", 401)
    assert refused.xpath("//a[@href='/login?next=/sources']")
    (sign_in,) = read(web.client(), "/search?q=a+b", 401).xpath("//main//a[starts-with(@href, '/login')]/@href")
    assert parse_qs(urlsplit(sign_in).query) == {"next": ["/search?q=a+b"]}
    assert text_of(refused.xpath("//p[@class='lead']/code")[0]) == "newsmill token add NAME"
    assert "geben Sie ein Token ein" in text_of(read(web.client(), "/login?lang=de"))
    form = read(web.client(), "/login?next=/sources").xpath("//main//form[@action='/login']")[0]
    assert form.xpath(".//input[@name='next']/@value") == ["/sources"]


def test_static_files_are_kept_for_ever_and_nothing_else_is_served(filled: RunningApp) -> None:
    url = read(filled.reader, "/").xpath("//link[@rel='stylesheet']/@href")[0]
    answer = filled.reader.get(url)
    assert "immutable" in answer.headers["cache-control"] and answer.headers["content-type"].startswith("text/css")
    assert filled.reader.get("/static/x/..%2f..%2fview.py").status_code == 404
    assert "url(" not in answer.text and "@import" not in answer.text


def test_a_hundred_sources_fill_several_pages(web: RunningApp) -> None:
    for number in range(100):
        web.context.ledger.sources.put(
            type(SOURCE)(f"a-source-with-quite-a-name-{number:03d}", homepage=f"https://{number}.example/"), now=web.context.now()
        )
    names, path = [], "/sources"
    while path:
        page = read(web.browser(), path)
        names += page.xpath("//tbody//th/a/text()")
        later = page.xpath("//a[@rel='next']/@href")
        path = f"/sources{later[0]}" if later else ""
    assert len(names) == len(set(names)) == 100


# ---- revisions -----------------------------------------------------------------------------------------------------------------


def test_a_difference_shows_markup_of_the_page_as_text(filled: RunningApp, ids: dict[str, str]) -> None:
    path = f"/documents/{ids['hostile']}/revisions"
    page = read(filled.reader, f"{path}?new=2")
    removed = [text_of(one) for one in page.xpath("//section//del")]
    assert removed[:2] == ["An earlier title", "Bob Example"]
    assert "This paragraph was removed later. <script>window.hit=1</script>" in removed
    assert not page.xpath(f"{FOREIGN_SCRIPTS} | //img | //section//svg")
    assert [text_of(one) for one in page.xpath("//section/h2")] == ["Title", "Authors", "Text"]
    backwards = read(filled.reader, f"{path}?old=2&new=1")
    assert [text_of(one) for one in backwards.xpath("//section//del")] == removed  # the older one comes first
    old = read(filled.reader, f"{path}?old=1&new=1")
    assert "An earlier title" in text_of(old) and not old.xpath("//section//del | //section//ins")
    german = read(filled.program(), f"{path}?new=2&lang=de")
    assert "Die Website hat die Seite geändert" in text_of(german) and german.xpath("//button[text()='Vergleichen']")


def test_a_document_with_one_revision_says_so(filled: RunningApp, ids: dict[str, str]) -> None:
    page = read(filled.reader, f"/documents/{ids['paper']}/revisions")
    assert "This document has one revision" in text_of(page.xpath("//div[@class='empty']")[0]) and not page.xpath("//table")
    for lost in (f"/documents/{ids['paper']}/revisions?new=2", f"/documents/{ids['paper']}/revisions?old=7&new=1"):
        assert "is not kept" in text_of(read(filled.reader, lost, 404))
    assert "nicht aufbewahrt" in text_of(read(filled.program(), f"/documents/{ids['paper']}/revisions?new=2&lang=de", 404))


def test_every_part_of_a_long_revision_can_be_read(filled: RunningApp, ids: dict[str, str]) -> None:
    path: str | None = f"/documents/{ids['very-long']}/revisions?old=1&new=1"
    paragraphs: list[str] = []
    while path is not None:
        page = read(filled.reader, path)
        paragraphs += [text_of(one) for one in page.xpath("//div[contains(@class, 'difference')]/p")]
        following = page.xpath("//nav[@class='pager']/a[@rel='next']/@href")
        path = f"/documents/{ids['very-long']}/revisions{following[0]}" if following else None
    document = filled.context.documents.get(ids["very-long"])
    assert document is not None and paragraphs == [" ".join(one.split()) for one in document.text.split("\n\n")]
