"""The last run of a spider and its log, on the page of the source."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from page_client import read, text_of, token
from site_of_tests import RunningApp

from newsmill.logs.spider_log import spider_log
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.settings import Settings
from newsmill.storage.ledger import Ended
from newsmill.storage.tokens import Scope
from newsmill.text.urls import make_spider_host

SPIDER = Source("paper", spider="paper:PaperSpider", spider_args={"password": "hush"})
DETAIL = "the run took longer than 1800 s; spider_limits.time raises the limit"


def run_once(web: RunningApp) -> None:
    """A run of the spider that failed a minute ago."""
    ledger, at = web.context.ledger, web.context.now() - timedelta(minutes=1)
    ledger.sources.put(SPIDER, now=at)
    (lease,) = ledger.hosts.lease("crawler", limit=9, seconds=60, now=at, spiders=True)
    assert lease.host == make_spider_host("paper")
    (row,) = ledger.url_leases.lease(lease.host, "crawler", limit=9, seconds=60, now=at)
    ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.SPIDER_FAILED, DETAIL))], now=at)


def test_the_last_run_and_its_log_are_shown(web: RunningApp, tmp_path: Path) -> None:
    web.app.state.context = replace(web.context, settings=Settings(data=tmp_path))
    run_once(web)
    client = web.browser()
    text = text_of(read(client, "/sources/paper"))
    assert "finds feeds" not in text and "when it reads the homepage" not in text
    assert "paper:PaperSpider" in text and DETAIL in text and "spider failed" in text and "no log of a run" in text
    log = spider_log(Settings(data=tmp_path), "paper")
    log.parent.mkdir(parents=True)
    log.write_text("x" * 20_000 + "\n2026-11-28T06:00:00.000Z ERROR paper <b>no such field</b>\n")
    page = read(client, "/sources/paper")
    assert "<b>no such field</b>" in page.xpath("string(//pre[@class='log'])")
    assert "xxx" not in text_of(page)
    assert "hush" not in text_of(page)
    assert "no such field" not in text_of(read(web.browser("read"), "/sources/paper"))


def test_the_form_keeps_the_spider(web: RunningApp) -> None:
    run_once(web)
    client = web.browser()
    form = {"csrf": token(client, "/sources/paper"), "every": "2h"}
    assert client.post("/sources/paper", data=form).status_code == 303
    changed = web.context.ledger.sources.get("paper")
    assert changed is not None and changed.every == timedelta(hours=2)
    assert (changed.spider, changed.spider_args) == (SPIDER.spider, SPIDER.spider_args)


def test_the_api_shows_the_class_and_keeps_the_arguments(web: RunningApp) -> None:
    run_once(web)
    client = web.client(authorization=f"Bearer {web.context.tokens.add('desk', Scope.ADMIN, now=web.context.now())}")
    answer = client.get("/api/v1/sources/paper").json()
    assert answer["source"]["spider"] == "paper:PaperSpider"
    assert "hush" not in str(answer)
    assert client.patch("/api/v1/sources/paper", json={"every": "3h"}).status_code == 200
    changed = web.context.ledger.sources.get("paper")
    assert changed is not None and changed.spider_args == SPIDER.spider_args
    assert client.patch("/api/v1/sources/paper", json={"spider": "os:path"}).status_code == 422
