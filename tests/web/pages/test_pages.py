"""What the pages do for people: reading, adding and changing sources, trying rules, quarantine; and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import addresses
from lxml import html
from pages_world import NOON, World
from rows import SOURCE, Mill, bad, document_of, good, links
from site_of_tests import Door
from starlette.testclient import TestClient

from newsmill.model import Block, BlockType, Image, Outcome
from newsmill.web.app import create_app

HTML = {"accept": "text/html"}
HEAVIEST = 100_000


@pytest.fixture(scope="module")
def filled(world: World) -> Iterator[Door]:
    app = create_app(world.house)
    with TestClient(app, base_url="http://127.0.0.1:8470", raise_server_exceptions=False, follow_redirects=False) as stranger:
        yield Door(world.house, app, stranger)


def read(client: TestClient, path: str, status: int = 200) -> html.HtmlElement:
    """The page at a path, parsed."""
    answer = client.get(path, headers=HTML)
    assert answer.status_code == status, (path, answer.text[:500])
    assert len(answer.content) <= HEAVIEST, path
    return html.document_fromstring(answer.content.decode())


def token(client: TestClient, path: str) -> str:
    """The hidden field of a page's form."""
    return str(read(client, path).xpath("//input[@name='csrf']/@value")[0])


def text_of(page: html.HtmlElement) -> str:
    return " ".join(page.text_content().split())


# ---- reading -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_page_stands_in_the_readers_language_and_is_well_formed(filled: Door, ids: dict[str, str], language: str) -> None:
    client = filled.browser()
    client.headers["accept-language"] = f"fr;q=0.9, {language}-AT;q=0.8, en;q=0.1"
    for name, path in addresses(ids).items():
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
        assert not page.xpath("//script | //@style | //img | //@*[starts-with(name(), 'on')]"), name
        assert all(not urlsplit(address).netloc for address in page.xpath("//@src | //link/@href | //@action")), name


def test_the_language_can_be_switched_and_stays(filled: Door) -> None:
    client = filled.client()
    assert read(client, "/?lang=de").get("lang") == "de"
    assert read(client, "/sources").get("lang") == "de"
    assert read(client, "/sources?lang=xx").get("lang") == "de"
    switch = read(client, "/search?q=a%26b&lang=de").xpath("//a[@hreflang='en']/@href")[0]
    assert parse_qs(urlsplit(switch).query) == {"q": ["a&b"], "lang": ["en"]}


def test_an_empty_store_says_what_to_do_next(door: Door) -> None:
    client = door.browser()
    assert "newsmill demo" in text_of(read(client, "/"))
    assert read(client, "/").xpath("//a[@href='/sources#add']")
    assert "No document yet" in text_of(read(client, "/search"))
    assert "No source yet" in text_of(read(client, "/sources"))
    operation = text_of(read(client, "/ops"))
    assert "Nothing is in quarantine" in operation
    assert "newsmill up" in operation


def test_home_and_search_show_what_is_stored(filled: Door, ids: dict[str, str]) -> None:
    home = read(filled.stranger, "/")
    assert home.xpath("//svg[@class='bars']//rect")
    assert "puente.example" in text_of(home.xpath("//section[@aria-labelledby='now']")[0])
    found = read(filled.stranger, "/search?q=source:aunebote+NATO+lang:de")
    assert f"/documents/{ids['paper']}" in found.xpath("//ol//h3/a/@href")
    assert {
        chip.xpath("string(bdi)"): parse_qs(urlsplit(chip.get("href")).query)["q"] for chip in found.xpath("//ul[@class='chips']/li/a[bdi]")
    } == {
        "source:aunebote": ["NATO lang:de"],
        "lang:de": ["source:aunebote NATO"],
    }
    feeds = found.xpath("//link[@rel='alternate']/@href")
    assert [urlsplit(feed).path for feed in feeds] == ["/feeds/atom", "/feeds/rss", "/feeds/json"]


def test_pages_of_results_follow_one_another(filled: Door) -> None:
    seen: list[str] = []
    path = "/search?q=ferry"
    for _ in range(3):
        page = read(filled.stranger, path)
        seen += page.xpath("//ol[@class='documents']//h3/a/@href")
        path = "/search" + page.xpath("//a[@rel='next']/@href")[0]
    assert len(seen) == len(set(seen)) == 60
    assert read(filled.stranger, "/search?q=ferry&cursor=nonsense").xpath("//ol[@class='documents']")


def test_a_document_says_where_its_fields_come_from(filled: Door, ids: dict[str, str]) -> None:
    page = read(filled.stranger, f"/documents/{ids['paper']}")
    facts = {text_of(fact.xpath("dt/span[1]")[0]): fact for fact in page.xpath("//aside//dl/div")}
    assert text_of(facts["Published"].xpath("dt/span[2]")[0]) == "JSON-LD"
    assert facts["Published"].xpath("dd/time/@datetime") == ["2026-11-24T16:05:00+00:00"]
    assert "source site-40" not in text_of(page)
    parts = read(filled.stranger, f"/documents/{ids['parts']}").xpath("//div[@class='prose']")[0]
    assert [len(parts.xpath(path)) for path in ("ul", "ul/li", "blockquote", ".//table", ".//tr", "pre", "h2")] == [1, 3, 1, 1, 3, 1, 1]
    assert read(filled.stranger, f"/documents/{ids['arabic']}").xpath("//div[@class='prose']/@dir") == ["rtl"]


def test_a_long_document_is_read_part_by_part(filled: Door, ids: dict[str, str]) -> None:
    path, seen = f"/documents/{ids['very-long']}", ""
    while path:
        page = read(filled.stranger, path)
        seen += text_of(page.xpath("//div[@class='prose']")[0]) + " "
        later = page.xpath("//a[@rel='next']/@href")
        path = f"/documents/{ids['very-long']}{later[0]}" if later else ""
    assert [int(number) for number in re.findall(r"(\d+)\. The council met", seen)] == list(range(400))


def test_the_explanation_shows_every_block_with_its_reason(filled: Door, ids: dict[str, str]) -> None:
    page = read(filled.stranger, f"/documents/{ids['paper']}/explain")
    gone = {
        text_of(block.xpath("div[1]")[0]): text_of(block.xpath("div[2]")[0])
        for block in page.xpath("//ol[@class='blocks']/li[@class='gone']")
    }
    assert gone["source site-40"].endswith("the rules: source credit")
    kept = page.xpath("//ol[@class='blocks']/li[@class='']")
    assert any("Das Treffen des NATO-Russland-Rates" in text_of(block) for block in kept)
    only = read(filled.stranger, f"/documents/{ids['paper']}/explain?show=removed")
    assert len(only.xpath("//ol[@class='blocks']/li")) == len(page.xpath("//li[@class='gone']")) > 20


def test_the_archived_page_is_caged(filled: Door, ids: dict[str, str]) -> None:
    frame = read(filled.stranger, f"/documents/{ids['hostile']}/page").xpath("//iframe")[0]
    assert frame.get("sandbox") == ""
    answer = filled.stranger.get(frame.get("src"))
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<(link|meta|base)\b", answer.text)
    assert "<script>" in answer.text, "nothing else is changed: the policy keeps it from running"


def test_documents_without_an_archived_page_say_so(filled: Door) -> None:
    other = filled.house.documents.search("The vote was", limit=1)[0].id
    assert "segment" in text_of(read(filled.stranger, f"/documents/{other}/page", 404))
    assert "segment" in text_of(read(filled.stranger, f"/documents/{other}/explain", 404))
    assert "no document has this id" in text_of(read(filled.stranger, "/documents/0000", 404))


# ---- what comes from outside is text -------------------------------------------------------------------------------------------


def test_payloads_stay_text_wherever_they_stand(door: Door) -> None:
    payloads = [
        "<script>hit()</script>",
        '"><svg onload=hit()>',
        "' onmouseover='hit()",
        "javascript:hit()",
        "{{ 7*7 }}",
        "</p><a href=javascript:hit()>x",
        "\u202eevil",
    ]
    mill = Mill(door.house.ledger, now=door.house.now())
    mill.ledger.put_source(SOURCE, now=mill.now)
    hostile = " ".join(payloads)
    names = ("title", "description", "site_name", "section", "license", "wire_agency", "is_free_reason", "extractor", "article_type")
    fields = dict.fromkeys(names, hostile)
    blocks = tuple(Block(kind, payload) for kind in BlockType for payload in payloads)
    images = tuple(Image(payload, payload, payload) for payload in payloads)
    claims = mill.fetch(*links(2))
    document = document_of(
        claims[0].url,
        blocks=blocks,
        images=images,
        tags=tuple(payloads),
        language='x" onclick=hit()',
        rights={hostile: hostile},
        warnings=(hostile,),
        **fields,
    )
    mill.store(good(claims[0], document), bad(claims[1], Outcome.TIMEOUT, hostile))
    client = door.browser()
    for path in ("/", "/search", f"/documents/{document.id}", "/sources", "/sources/paper", "/ops", f"/ops/address?url={claims[1].url}"):
        page = read(client, path)
        assert not page.xpath("//script | //@*[starts-with(name(), 'on')] | //a[contains(@href, 'hit')] | //main//svg[not(@class)]"), path
        assert "49" not in page.xpath("string(//h1)"), path
    for payload in payloads:
        for path in ("/search", "/ops/address", "/sources", "/documents/x", "/login"):
            answer = client.get(
                path, params={"q": payload, "url": payload, "after": payload, "next": payload, "lang": payload}, headers=HTML
            )
            page = html.document_fromstring(answer.content.decode())
            assert answer.status_code < 500 and not page.xpath("//script | //@*[starts-with(name(), 'on')]"), (path, payload)


# ---- changing things -----------------------------------------------------------------------------------------------------------


def test_a_stranger_reads_and_changes_nothing(door: Door) -> None:
    door.house.ledger.put_source(SOURCE, now=door.house.now())
    assert not read(door.stranger, "/sources/paper").xpath("//main//form")
    for path in ("/sources", "/sources/paper", "/sources/paper/state", "/sources/paper/rules", "/ops/quarantine", "/ops/retry"):
        assert door.stranger.post(path, data={"do": "pause", "url": "x", "homepage": "x.example"}).status_code in (401, 403), path
        assert door.browser("read").post(path, data={"do": "pause", "url": "x", "homepage": "x.example"}).status_code == 403, path
    assert door.house.ledger.source("paper") == SOURCE


def test_who_may_write_may_not_write_what_runs(door: Door) -> None:
    """Patterns and selectors run as written: they are for those who may do everything, as in the API."""
    door.house.ledger.put_source(SOURCE, now=door.house.now())
    client = door.browser("write")
    page = read(client, "/sources/paper")
    form = {
        "csrf": page.xpath("//input[@name='csrf']/@value")[0],
        "homepage": SOURCE.homepage,
        "every": "15m",
        "feeds": "\n".join(SOURCE.feeds),
    }
    assert not page.xpath("//textarea[@name='deny'] | //textarea[@name='drop_css']")
    assert client.post("/sources/paper", data=form | {"deny": "(a+)+$"}).status_code == 403
    assert client.post("/sources/paper/rules", data=form | {"do": "preview", "drop_lines": "(a+)+$"}).status_code == 403
    assert client.post("/ops/quarantine", data=form | {"do": "drop", "url": "https://paper.example/"}).status_code == 403
    assert door.house.ledger.source("paper") == SOURCE
    assert client.post("/sources/paper", data=form | {"every": "1h"}).status_code == 303


def test_a_form_needs_its_token_and_its_own_origin(door: Door) -> None:
    door.house.ledger.put_source(SOURCE, now=door.house.now())
    client = door.browser()
    assert client.post("/sources/paper/state", data={"do": "pause"}).status_code == 403
    form = {"do": "pause", "csrf": token(client, "/sources/paper")}
    assert client.post("/sources/paper/state", data=form, headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post("/sources/paper/state", data=form).headers["location"] == "/sources/paper?done=paused"
    assert "paused" in text_of(read(client, "/sources/paper?done=paused"))
    assert door.house.ledger.sources()[0].enabled is False


def test_a_source_is_added_changed_and_refused_in_words(door: Door) -> None:
    client = door.browser()
    form = {"csrf": token(client, "/sources"), "homepage": "www.paper.example", "every": "30m", "language": "de"}
    assert client.post("/sources", data=form).headers["location"] == "/sources/www.paper.example?done=added"
    again = client.post("/sources", data=form, headers=HTML)
    assert again.status_code == 409 and "already" in again.text
    wrong = client.post("/sources", data=form | {"every": "soon", "name": "other"}, headers=HTML)
    page = html.document_fromstring(wrong.text)
    assert wrong.status_code == 422
    assert "every: expected a duration" in text_of(page.xpath("//*[@role='alert']")[0])
    assert page.xpath("//input[@name='every']/@value") == ["soon"]
    for address in (
        "javascript:alert(1)",
        "ftp://x.example/",
        "",
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/",
        "http://printer.local/",
    ):
        assert client.post("/sources", data=form | {"homepage": address}, headers=HTML).status_code == 422, address
    plan = {
        "csrf": form["csrf"],
        "homepage": "https://www.paper.example/",
        "cron": "*/10 6-22 * * *",
        "delay": "2,5",
        "feeds": "https://www.paper.example/rss\n\n",
    }
    assert client.post("/sources/www.paper.example", data=plan).headers["location"].endswith("?done=changed")
    changed = door.house.ledger.source("www.paper.example")
    assert changed is not None
    assert (changed.every, changed.cron, changed.politeness.delay, changed.feeds) == (
        None,
        plan["cron"],
        2.5,
        ("https://www.paper.example/rss",),
    )
    both = client.post("/sources/www.paper.example", data=plan | {"every": "1h"}, headers=HTML)
    assert both.status_code == 422 and "every or cron, not both" in both.text
    assert "*/10 6-22 * * *" in html.document_fromstring(both.text).xpath("//input[@name='cron']/@value")


def test_rules_are_tried_before_they_are_used(filled: Door) -> None:
    client = filled.browser()
    form = {"csrf": token(client, "/sources/aunebote"), "drop_lines": "Moskau hat solche.*", "fields": "title = h1", "do": "preview"}
    before = filled.house.ledger.source("aunebote")
    answer = client.post("/sources/aunebote/rules", data=form, headers=HTML)
    page = html.document_fromstring(answer.text)
    assert answer.status_code == 200 and len(answer.content) <= HEAVIEST
    assert [text_of(line)[:20] for line in page.xpath("//div[@class='diff']/del")] == ["-Moskau hat solche B"]
    assert page.xpath("string(//textarea[@name='drop_lines'])").strip() == form["drop_lines"]
    assert filled.house.ledger.source("aunebote") == before
    wrong = client.post("/sources/aunebote/rules", data=form | {"drop_css": "a[", "do": "save"}, headers=HTML)
    assert wrong.status_code == 422 and "rules.drop_css.0: expected" in wrong.text.replace("rules.drop_css:", "rules.drop_css.0:")
    assert client.post("/sources/aunebote/rules", data=form | {"do": "save"}).status_code == 303
    after = filled.house.ledger.source("aunebote")
    assert before is not None and after is not None
    assert (after.rules.drop_lines, after.rules.fields) == (("Moskau hat solche.*",), {"title": "h1"})
    assert (after.expect, after.homepage, after.every) == (before.expect, before.homepage, before.every)
    filled.house.ledger.put_source(before, now=NOON)


def test_quarantined_pages_are_retried_and_dropped(door: Door) -> None:
    mill = Mill(door.house.ledger, now=door.house.now())
    mill.ledger.put_source(SOURCE, now=mill.now)
    claims = mill.fetch(*links(3))
    mill.store(*(bad(claim, Outcome.TOO_DEEP, "nested deeper than 2,048 levels") for claim in claims))
    client = door.browser()
    page = read(client, "/ops")
    urls = page.xpath("//section[@aria-labelledby='quarantine']//input[@type='checkbox']/@value")
    assert len(urls) == len(claims) > 2
    form = {"csrf": page.xpath("//input[@name='csrf']/@value")[0]}
    dropped = client.post("/ops/quarantine", data=form | {"do": "drop", "url": urls[:1]})
    assert dropped.headers["location"] == "/ops?done=drop&n=1"
    assert "1 page is dropped" in text_of(read(client, dropped.headers["location"]))
    assert client.post("/ops/quarantine", data=form | {"do": "retry", "url": urls[1:2]}).headers["location"].endswith("n=1")
    assert client.post("/ops/quarantine", data=form | {"do": "retry-all"}).headers["location"].endswith(f"n={len(claims) - 2}")
    assert door.house.ledger.quarantined() == []


def test_the_way_of_one_address(filled: Door) -> None:
    page = text_of(read(filled.stranger, "/ops/address?url=gazette.example/wrong/1"))
    assert "in a section" in page
    assert "the server answered 503" in page or "certificate" in page or "no answer" in page
    assert "Nobody ever saw this address" in text_of(read(filled.stranger, "/ops/address?url=nobody.example/", 404))
    assert "This is no address" in text_of(read(filled.stranger, "/ops/address?url=::", 422))


# ---- the frame -----------------------------------------------------------------------------------------------------------------


def test_errors_are_pages_for_people_and_problems_for_programs(filled: Door, make_door: Callable[..., Door]) -> None:
    assert "There is nothing here" in text_of(read(filled.stranger, "/no/such/page", 404))
    assert filled.stranger.get("/no/such/page").headers["content-type"] == "application/problem+json"
    door = make_door()
    door.program()  # from now on everybody needs a token
    refused = read(door.client(), "/sources", 401)
    assert refused.xpath("//a[@href='/login?next=/sources']")
    form = read(door.client(), "/login?next=/sources").xpath("//main//form[@action='/login']")[0]
    assert form.xpath(".//input[@name='next']/@value") == ["/sources"]


def test_static_files_are_kept_for_ever_and_nothing_else_is_served(filled: Door) -> None:
    address = read(filled.stranger, "/").xpath("//link[@rel='stylesheet']/@href")[0]
    answer = filled.stranger.get(address)
    assert "immutable" in answer.headers["cache-control"] and answer.headers["content-type"].startswith("text/css")
    assert filled.stranger.get("/static/x/..%2f..%2fview.py").status_code == 404
    assert "url(" not in answer.text and "@import" not in answer.text


def test_a_hundred_sources_fill_several_pages(door: Door) -> None:
    for number in range(100):
        door.house.ledger.put_source(
            type(SOURCE)(f"a-source-with-quite-a-name-{number:03d}", homepage=f"https://{number}.example/"), now=door.house.now()
        )
    names, path = [], "/sources"
    while path:
        page = read(door.browser(), path)
        names += page.xpath("//tbody//th/a/text()")
        later = page.xpath("//a[@rel='next']/@href")
        path = f"/sources{later[0]}" if later else ""
    assert len(names) == len(set(names)) == 100
