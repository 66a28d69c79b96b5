"""Changes through the pages (sources, rules, quarantine), refusals, and escaping of external text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from lxml import html
from page_client import FOREIGN_SCRIPTS, HTML, MAX_BYTES, read, text_of, token
from rows import SITE, SOURCE, Mill, bad, document_of, good, links, saved
from sample_store import NOON
from site_of_tests import RunningApp
from sqlalchemy import insert, update

from newsmill.model import Block, BlockType, Image, Kind, Outcome, OutcomeRecord, Render, Rendering, Segment
from newsmill.storage.completeness import get_week
from newsmill.storage.database import writing
from newsmill.storage.ledger import Postponed
from newsmill.storage.schema import completeness
from newsmill.text.sentences import Sentence

# ---- what comes from outside is text -------------------------------------------------------------------------------------------


def test_payloads_stay_text_wherever_they_stand(web: RunningApp) -> None:
    payloads = [
        "<script>hit()</script>",
        '"><svg onload=hit()>',
        "' onmouseover='hit()",
        "javascript:hit()",
        "{{ 7*7 }}",
        "</p><a href=javascript:hit()>x",
        "\u202eevil",
    ]
    mill = Mill(web.context.ledger, now=web.context.now())
    mill.ledger.sources.put(SOURCE, now=mill.now)
    hostile = " ".join(payloads)
    names = ("title", "description", "site_name", "section", "license", "is_free_reason", "extractor", "article_type")
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
    client = web.browser()
    for path in ("/", "/search", f"/documents/{document.id}", "/sources", "/sources/paper", "/ops", f"/ops/url?url={claims[1].url}"):
        page = read(client, path)
        assert not page.xpath(
            f"{FOREIGN_SCRIPTS} | //@*[starts-with(name(), 'on')] | //a[contains(@href, 'hit')]"
            " | //main//svg[not(@class or parent::button[@class='star'])]"
        ), path
        assert "49" not in page.xpath("string(//h1)"), path
    for payload in payloads:
        for path in ("/search", "/ops/url", "/sources", "/documents/x", "/login"):
            answer = client.get(
                path, params={"q": payload, "url": payload, "after": payload, "next": payload, "lang": payload}, headers=HTML
            )
            page = html.document_fromstring(answer.content.decode())
            assert answer.status_code < 500 and not page.xpath(f"{FOREIGN_SCRIPTS} | //@*[starts-with(name(), 'on')]"), (path, payload)


# ---- changing things -----------------------------------------------------------------------------------------------------------


def test_a_reader_changes_nothing(web: RunningApp) -> None:
    web.context.ledger.sources.put(SOURCE, now=web.context.now())
    assert not read(web.reader, "/sources/paper").xpath("//main//form")
    for path in ("/sources", "/sources/paper", "/sources/paper/state", "/sources/paper/rules", "/ops/quarantine", "/ops/retry"):
        assert web.stranger.post(path, data={"do": "pause", "url": "x", "homepage": "x.example"}).status_code == 401, path
        assert web.browser("read").post(path, data={"do": "pause", "url": "x", "homepage": "x.example"}).status_code == 403, path
    assert web.context.ledger.sources.get("paper") == SOURCE


def test_who_may_write_may_not_write_what_runs(web: RunningApp) -> None:
    """Patterns and selectors run as written: they are for those who may do everything, as in the API."""
    web.context.ledger.sources.put(SOURCE, now=web.context.now())
    client = web.browser("write")
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
    assert web.context.ledger.sources.get("paper") == SOURCE
    assert client.post("/sources/paper", data=form | {"every": "1h"}).status_code == 303


def test_a_form_needs_its_token_and_its_own_origin(web: RunningApp) -> None:
    web.context.ledger.sources.put(SOURCE, now=web.context.now())
    client = web.browser()
    assert client.post("/sources/paper/state", data={"do": "pause"}).status_code == 403
    form = {"do": "pause", "csrf": token(client, "/sources/paper")}
    assert client.post("/sources/paper/state", data=form, headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post("/sources/paper/state", data=form).headers["location"] == "/sources/paper?done=paused"
    assert "paused" in text_of(read(client, "/sources/paper?done=paused"))
    assert web.context.ledger.sources.list_all()[0].enabled is False


def test_the_answer_to_a_form_has_the_links_of_its_page(web: RunningApp) -> None:
    """The language and the preferences can also be changed where the path of the form is no page."""
    web.context.ledger.sources.put(SOURCE, now=web.context.now())
    client = web.browser()
    form = {"csrf": token(client, "/sources")}
    search = client.post("/searches", data=form | {"q": "harbour", "name": "Ports"}).headers["location"].partition("?")[0]
    for path, page_path, fields in (
        ("/sources/inspections", "/sources", {"homepage": "no url"}),
        ("/sources/paper/rules", "/sources/paper", {"do": "save", "drop_css": "a["}),
        (f"{search}/alerts", search, {"channel": "webhook", "target": "no url"}),
        ("/ops/retry", "/", {"csrf": "expired"}),
    ):
        answer = client.post(path, data=form | fields, headers=HTML)
        assert answer.status_code == (403 if "csrf" in fields else 422), path
        page = html.document_fromstring(answer.text)
        assert page.xpath("//footer//a[@hreflang='de']/@href") == [f"{page_path}?lang=de"], path
        (preferences,) = page.xpath("//footer//a[starts-with(@href, '/preferences')]/@href")
        assert parse_qs(urlsplit(preferences).query) == {"next": [page_path]}, path


def test_a_source_is_added_changed_and_refused_in_words(web: RunningApp) -> None:
    client = web.browser()
    form = {"csrf": token(client, "/sources"), "homepage": "www.paper.example", "every": "30m", "language": "de"}
    assert client.post("/sources", data=form).headers["location"] == "/sources/paper-example?done=added"
    again = client.post("/sources", data=form, headers=HTML)
    assert again.status_code == 409 and "already" in again.text
    other = client.post("/sources", data=form | {"name": "other"}, headers=HTML)
    assert other.status_code == 409 and "follows this URL already" in other.text
    wrong = client.post("/sources", data=form | {"every": "soon", "name": "other"}, headers=HTML)
    page = html.document_fromstring(wrong.text)
    assert wrong.status_code == 422
    assert "every: expected a duration" in text_of(page.xpath("//*[@role='alert']")[0])
    assert page.xpath("//input[@name='every']/@value") == ["soon"]
    for url in (
        "javascript:alert(1)",
        "ftp://x.example/",
        "",
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/",
        "http://printer.local/",
    ):
        assert client.post("/sources", data=form | {"homepage": url}, headers=HTML).status_code == 422, url
    plan = {
        "csrf": form["csrf"],
        "homepage": "https://www.paper.example/",
        "cron": "*/10 6-22 * * *",
        "delay": "2,5",
        "feeds": "https://www.paper.example/rss\n\n",
    }
    assert client.post("/sources/paper-example", data=plan).headers["location"].endswith("?done=changed")
    changed = web.context.ledger.sources.get("paper-example")
    assert changed is not None
    assert (changed.every, changed.cron, changed.politeness.delay, changed.feeds) == (
        None,
        plan["cron"],
        2.5,
        ("https://www.paper.example/rss",),
    )
    both = client.post("/sources/paper-example", data=plan | {"every": "1h"}, headers=HTML)
    assert both.status_code == 422 and "every or cron, not both" in both.text
    assert "*/10 6-22 * * *" in html.document_fromstring(both.text).xpath("//input[@name='cron']/@value")
    fresh = plan | {"cron": "", "freshness": "30m"}
    assert client.post("/sources/paper-example", data=fresh).status_code == 303
    assert "30 minutes" in text_of(read(client, "/sources/paper-example"))
    assert client.post("/sources/paper-example", data=plan).status_code == 303
    web.context.ledger.sources.put(replace(SOURCE, name="gazette", homepage="https://gazette.example/"), now=web.context.now())
    taken = client.post("/sources/paper-example", data=plan | {"homepage": "https://gazette.example/"}, headers=HTML)
    assert taken.status_code == 409 and "“gazette” follows this URL already" in taken.text
    assert web.context.ledger.sources.get("paper-example") == changed


def test_figures_agree_with_their_labels(web: RunningApp) -> None:
    mill = Mill(web.context.ledger, now=web.context.now())
    mill.ledger.sources.put(SOURCE, now=mill.now)
    client = web.browser()
    assert "Documents0" in text_of(read(client, "/")) and "Source1" in text_of(read(client, "/"))
    mill.ledger.links.add(links(1), now=mill.now)
    (claim,) = mill.claim(mill.save([row for row in mill.lease() if row.kind is Kind.PAGE]))
    mill.store(good(claim))
    german = text_of(read(client, "/sources/paper?lang=de"))
    assert "Dokument1" in german and "Gefundene Seite1" in german


def test_a_url_that_is_tried_again_says_why(web: RunningApp) -> None:
    mill = Mill(web.context.ledger, now=web.context.now())
    mill.ledger.sources.put(SOURCE, now=mill.now)
    mill.ledger.links.add(links(2), now=mill.now)
    refused, waiting = (row for row in mill.lease() if row.kind is Kind.PAGE)
    failure, later = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403"), mill.now + timedelta(minutes=10)
    postponed = Postponed(refused.id, refused.fence, later, "http_error: HTTP 403", failure=failure)
    mill.ledger.url_endings.postpone(
        [postponed, Postponed(waiting.id, waiting.fence, later, Sentence("the fetch was interrupted"))], now=mill.now
    )
    client = web.browser()
    assert re.search(
        r"Last failed attempt.* · HTTP error: .*HTTP 403 · failing since ", text_of(read(client, f"/ops/url?url={refused.url}"))
    )
    german = text_of(read(client, f"/ops/url?url={refused.url}&lang=de"))
    assert re.search(r"Letzter Fehlversuch.* · HTTP-Fehler: .*HTTP 403 · fehlerhaft seit ", german)
    assert "der Abruf wurde unterbrochen" in text_of(read(client, f"/ops/url?url={waiting.url}&lang=de"))


def test_the_share_of_rendered_pages_and_the_key_stand_on_the_page_of_the_source(web: RunningApp) -> None:
    mill = Mill(web.context.ledger, now=web.context.now())
    mill.ledger.sources.put(replace(SOURCE, render=Render.AUTO), now=mill.now)
    mill.ledger.links.add(links(4), now=mill.now)
    rows = [row for row in mill.lease() if row.kind is Kind.PAGE]
    segment = Segment("20261125T120000Z-0000000a", 1, 1000, mill.now)
    mill.ledger.url_leases.save_segment(segment, [replace(saved(rows[0], 0), rendering=Rendering.DONE)], now=mill.now)
    client = web.browser()
    page = read(client, "/sources/paper")
    assert "Rendered in a browser1 · 25 %" in text_of(page)
    assert "Render in a browserpages without text" in text_of(page)
    assert page.xpath("//input[@name='render']/@value") == ["auto"]
    assert "Browserrendered" in text_of(read(client, f"/ops/url?url={rows[0].url}"))
    form = {"csrf": token(client, "/sources"), "homepage": f"{SITE}/", "every": "1h", "delay": "1", "render": "always"}
    assert client.post("/sources/paper", data=form).headers["location"] == "/sources/paper?done=changed"
    changed = web.context.ledger.sources.get("paper")
    assert changed is not None and changed.render is Render.ALWAYS
    assert client.post("/sources/paper", data=form | {"render": "maybe"}, headers=HTML).status_code == 422


def test_what_may_be_missed_stands_on_the_page_and_in_the_api(web: RunningApp) -> None:
    web.context.ledger.sources.put(SOURCE, now=web.context.now())
    client, week = web.browser(), get_week(web.context.now())
    row = {
        "source": "paper",
        "week": week,
        "computed_at": web.context.now(),
        "articles": 1401,
        "late": 2,
        "unknown": None,
        "at_most": 0.0123,
    }
    with writing(web.context.engine) as conn:
        conn.execute(insert(completeness).values(row))
    assert "In no listing (95 %, newest week)at most 1.2 % (1,401 articles)" in text_of(read(client, "/sources/paper"))
    (week_row,) = client.get("/api/v1/sources/paper").json()["completeness"]
    assert week_row == {"week": week.isoformat(), "articles": 1401, "late": 2, "at_most": 0.0123, "unknown": None}
    with writing(web.context.engine) as conn:
        conn.execute(update(completeness).values(at_most=None, unknown="one_listing"))
    assert "unknown: one listing, or copies of one" in text_of(read(client, "/sources/paper"))


def test_rules_are_tried_before_they_are_used(filled: RunningApp) -> None:
    client = filled.browser()
    form = {"csrf": token(client, "/sources/aunebote"), "drop_lines": "Moskau hat solche.*", "fields": "title = h1", "do": "preview"}
    before = filled.context.ledger.sources.get("aunebote")
    answer = client.post("/sources/aunebote/rules", data=form, headers=HTML)
    page = html.document_fromstring(answer.text)
    assert answer.status_code == 200 and len(answer.content) <= MAX_BYTES
    assert [text_of(line)[:20] for line in page.xpath("//div[@class='diff']/del")] == ["-Moskau hat solche B"]
    assert page.xpath("string(//textarea[@name='drop_lines'])").strip() == form["drop_lines"]
    assert filled.context.ledger.sources.get("aunebote") == before
    wrong = client.post("/sources/aunebote/rules", data=form | {"drop_css": "a[", "do": "save"}, headers=HTML)
    (alert,) = html.document_fromstring(wrong.text).xpath("//*[@role='alert']")
    assert wrong.status_code == 422 and "Drop elements (CSS): expected a list of CSS selectors" in text_of(alert)
    assert client.post("/sources/aunebote/rules", data=form | {"do": "save"}).status_code == 303
    after = filled.context.ledger.sources.get("aunebote")
    assert before is not None and after is not None
    assert (after.rules.drop_lines, after.rules.fields) == (("Moskau hat solche.*",), {"title": "h1"})
    assert (after.expect, after.homepage, after.every) == (before.expect, before.homepage, before.every)
    filled.context.ledger.sources.put(before, now=NOON)


def test_quarantined_pages_are_retried_and_dropped(web: RunningApp) -> None:
    mill = Mill(web.context.ledger, now=web.context.now())
    mill.ledger.sources.put(SOURCE, now=mill.now)
    claims = mill.fetch(*links(3))
    mill.store(*(bad(claim, Outcome.TOO_DEEP, "nested deeper than 2,048 levels") for claim in claims))
    client = web.browser()
    page = read(client, "/ops")
    urls = page.xpath("//form[@action='/ops/quarantine']//input[@type='checkbox']/@value")
    assert len(urls) == len(claims) > 2
    form = {"csrf": page.xpath("//input[@name='csrf']/@value")[0]}
    dropped = client.post("/ops/quarantine", data=form | {"do": "drop", "url": urls[:1]})
    assert dropped.headers["location"] == "/ops?done=drop&n=1"
    assert "1 page dropped" in text_of(read(client, dropped.headers["location"]))
    assert client.post("/ops/quarantine", data=form | {"do": "retry", "url": urls[1:2]}).headers["location"].endswith("n=1")
    assert client.post("/ops/quarantine", data=form | {"do": "retry-all"}).headers["location"].endswith(f"n={len(claims) - 2}")
    assert web.context.ledger.traces.list_quarantined() == []


def test_a_source_that_fails_says_so_on_every_page(web: RunningApp) -> None:
    ledger, now = web.context.ledger, web.context.now()
    ledger.sources.put(SOURCE, now=now)
    mill = Mill(ledger, now=now)
    assert read(web.browser(), "/sources/paper").xpath("string(//*[contains(@class, 'state')])") == "not read yet"
    failure = OutcomeRecord(Outcome.HTTP_ERROR, "HTTP 403")
    ledger.url_endings.postpone([Postponed(row.id, row.fence, now, failure=failure) for row in mill.lease()], now=now)
    for path in ("/sources", "/sources/paper"):  # and on the home page once the scheduler has looked at it (test_source_health)
        (text,) = read(web.browser(), path).xpath("//*[@class='state bad']/text()")
        assert text == f"blocked: HTTP 403 since {now:%H:%M}", path
        (text,) = read(web.browser(), f"{path}?lang=de").xpath("//*[@class='state bad']/text()")
        assert text == f"blockiert: HTTP 403 seit {now:%H:%M}", path
