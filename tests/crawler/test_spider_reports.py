"""The outcome that a run's report becomes, and the settings that a spider cannot change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scrapy.settings import Settings as ScrapySettings

from crawler.network.guarded_resolver import GuardedResolver
from crawler.settings import DEADLINE_SECONDS, MAX_BODY_BYTES
from crawler.spider_runs.printing_sink import PrintingSink
from crawler.spider_runs.run_outcome import describe_run
from crawler.spider_runs.run_report import OutputCounts, RunReport
from crawler.spider_runs.spider_output import SpiderOutput
from crawler.spider_runs.spider_run import SpiderRun
from crawler.spider_runs.spider_worker import SpiderWorker
from crawler.spider_runs.storing_sink import StoringSink
from crawler.user_settings.spider_settings import MIDDLEWARE, default_spider_settings, fixed_spider_settings, list_ignored_settings
from newsmill.exceptions import ServiceError
from newsmill.model import Kind, LeasedUrl, Link, Outcome, Source
from newsmill.scrapy import link
from newsmill.settings import Settings
from newsmill.web.pages.sentence_translations import translate_sentence

PAGES = OutputCounts(pages=3, queued_pages=2, known_pages=1)


@pytest.mark.parametrize(
    ("report", "outcome", "detail"),
    [
        (RunReport("finished", PAGES), Outcome.LISTED, "3 pages (2 new, 1 known)"),
        (RunReport("finished", OutputCounts(pages=1)), Outcome.LISTED, "1 page"),
        (RunReport("finished", requests=4), Outcome.EMPTY_LISTING, "nothing in 4 requests"),
        (
            RunReport("finished", refused={"robots_disallowed": 2}),
            Outcome.EMPTY_LISTING,
            "2 requests refused: robots_disallowed (Blocked by robots.txt)",
        ),
        (RunReport("finished", requests=1, bad_statuses={404: 1}), Outcome.EMPTY_LISTING, "1 response with HTTP 404"),
        (RunReport("finished", requests=3, bad_statuses={503: 1}), Outcome.SPIDER_FAILED, "1 response with HTTP 503"),
        (RunReport("finished", requests=1, bad_statuses={304: 1}), Outcome.EMPTY_LISTING, "1 response with HTTP 304"),
        (RunReport("finished", PAGES, bad_statuses={503: 1}), Outcome.LISTED, "3 pages (2 new, 1 known); 1 response with HTTP 503"),
        (
            RunReport("finished", refused={"refused": 1}),
            Outcome.SPIDER_FAILED,
            "1 request refused: refused (The host refused the connection)",
        ),
        (RunReport("finished", requests=4, dropped=3), Outcome.EMPTY_LISTING, "3 items dropped by pipelines"),
        (RunReport("finished", requests=4, dropped=1), Outcome.EMPTY_LISTING, "1 item dropped by pipelines"),
        (RunReport("finished", replace(PAGES, unreadable_dates=2)), Outcome.LISTED, "3 pages (2 new, 1 known); 2 dates unreadable"),
        (RunReport("pages", PAGES), Outcome.LISTED, "3 pages (2 new, 1 known); stopped at spider_limits.pages"),
        (
            RunReport("time", PAGES, error="the run crashed (exit code 1)"),
            Outcome.SPIDER_FAILED,
            "the run crashed (exit code 1); 3 pages (2 new, 1 known)",
        ),
        (RunReport("failed", error="the spider failed: E"), Outcome.SPIDER_FAILED, "the spider failed: E"),
        (
            RunReport("finished", failed=1, first_failure="DownloadTimeoutError: 30 s"),
            Outcome.SPIDER_FAILED,
            "1 request failed, first DownloadTimeoutError: 30 s",
        ),
        (
            RunReport("finished", PAGES, failed=2, first_failure="E"),
            Outcome.LISTED,
            "3 pages (2 new, 1 known); 2 requests failed, first E",
        ),
        (
            RunReport("finished", code_errors=1, first_error="KeyError: 'a'"),
            Outcome.SPIDER_FAILED,
            "1 error in callbacks or pipelines, first KeyError: 'a'",
        ),
        (
            RunReport("finished", PAGES, code_errors=2, first_error="E"),
            Outcome.LISTED,
            "3 pages (2 new, 1 known); 2 errors in callbacks or pipelines, first E",
        ),
        (RunReport("enough", PAGES), Outcome.LISTED, "3 pages (2 new, 1 known); the spider closed itself: enough"),
        (RunReport("finished", hint="make it start"), Outcome.SPIDER_FAILED, "nothing in 0 requests; make it start"),
        (RunReport("no log-in"), Outcome.SPIDER_FAILED, "the spider closed itself: no log-in"),
    ],
)
def test_a_report_becomes_an_outcome(report: RunReport, outcome: Outcome, detail: str) -> None:
    record = describe_run(report)
    assert (record.outcome, record.detail) == (outcome, detail)
    assert translate_sentence(str(record.detail), "de") or detail == report.error


def test_a_summary_of_a_run_is_translated_as_a_whole() -> None:
    counts = OutputCounts(
        pages=1, articles=1_200, links=3, ignored=2, bad_links=1, queued_pages=4, known_pages=1, new_links=2, unreadable_dates=3, lost=2
    )
    report = RunReport("pages", counts, skipped=2, refused={"robots_disallowed": 1}, bad_statuses={404: 2}, waited_seconds=2)
    assert translate_sentence(str(describe_run(report).detail), "de") == (
        "1 Seite, 1.200 fertige Artikel (4 neu, 1 bekannt); 3 Links (2 neu); 1 ausgelassen; 2 verloren; 2 Items ohne url, title und text;"
        " 3 Datumsangaben unlesbar; 2 bekannte Seiten übersprungen;"
        " 1 Anfrage abgelehnt: robots_disallowed (Blocked by robots.txt); 2 Antworten mit HTTP 404;"
        " 2 s auf Hosts gewartet, die ein anderer Prozess hielt; beendet durch spider_limits.pages"
    )


def test_unreadable_dates_are_counted_and_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    sink = PrintingSink(BytesIO())
    output = SpiderOutput(sink, "paper", max_items=9, clock=lambda: datetime(2026, 11, 25, tzinfo=UTC), on_limit=lambda: None)
    for published in ("yesterday", "soon", "2026-11-25"):
        asyncio.run(output.take(link("https://paper.example/a", published=published)))
    assert (output.counts.links, output.counts.unreadable_dates) == (3, 2)
    assert caplog.messages == ["the date 'yesterday' cannot be read and stays empty; other such dates are counted only"]


def test_protected_settings_win_and_limits_can_be_lowered() -> None:
    settings = Settings()
    values = ScrapySettings(default_spider_settings(settings, {"DOWNLOAD_MAXSIZE": 1000}))
    custom = {
        "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingThreadedResolver",
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        "ROBOTSTXT_OBEY": True,
        "DOWNLOAD_TIMEOUT": 5,
        "DOWNLOAD_MAXSIZE": MAX_BODY_BYTES + 1,
        "USER_AGENT": "Mozilla/5.0",
        "COOKIES_ENABLED": False,
    }
    values.setdict(custom, priority="spider")
    fixed = fixed_spider_settings(settings, values)
    ignored = list_ignored_settings(values, fixed)
    assert ignored == ["DOWNLOADER_MIDDLEWARES_BASE", "DOWNLOAD_MAXSIZE", "ROBOTSTXT_OBEY", "TWISTED_DNS_RESOLVER", "USER_AGENT"]
    values.setdict(fixed, priority="cmdline")
    assert values["TWISTED_DNS_RESOLVER"] == f"{GuardedResolver.__module__}.{GuardedResolver.__name__}"
    assert MIDDLEWARE in values["DOWNLOADER_MIDDLEWARES_BASE"]
    assert values.getint("DOWNLOAD_MAXSIZE") == MAX_BODY_BYTES
    assert values.getint("DOWNLOAD_TIMEOUT") == 5 < DEADLINE_SECONDS
    assert not values.getbool("COOKIES_ENABLED")


def test_a_failed_run_is_repeated_four_times_and_then_when_its_source_is_due() -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    written: list[Any] = []
    url_endings = SimpleNamespace(
        postpone=lambda rows, now: written.append(rows[0].next_at - now), end=lambda rows, now: written.append("ended")
    )
    ledger = SimpleNamespace(url_endings=url_endings)

    async def call_ledger(call: Callable[[datetime], object]) -> object:
        return call(now)

    state = cast("Any", SimpleNamespace(ledger=ledger, call_ledger=call_ledger, now=lambda: now))
    worker = SpiderWorker(state, cast("Any", SimpleNamespace(host="spider/paper")), cast("Any", None))
    for attempts in range(5):
        row = LeasedUrl(1, "spider:paper", Kind.SPIDER, "spider/paper", "paper", 1, attempts)
        asyncio.run(worker._record(row, RunReport("failed", error="the site is away")))
    assert written == [*(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120)), "ended"]


def make_run(sink: object, ended: list[str]) -> SpiderRun:
    async def stop_async() -> None:
        ended.append("stop")

    context = cast("Any", SimpleNamespace(ledger=None, now=lambda: datetime(2026, 11, 25, tzinfo=UTC)))
    run = SpiderRun(context, Source(name="paper"), lambda run: cast("Any", sink), is_test=False)
    run.sink = cast("Any", sink)
    run.output = SpiderOutput(run.sink, "paper", max_items=9, clock=context.now, on_limit=lambda: None)
    run.crawler = cast("Any", SimpleNamespace(stop_async=stop_async, stats=SimpleNamespace(get_stats=dict)))
    run.hosts = cast("Any", SimpleNamespace(close=stop_async, waited_seconds=0.0, first_failure=None))
    return run


@pytest.mark.parametrize(("error", "logs"), [(TypeError("a bug"), True), (ServiceError("the database is away"), False)])
@pytest.mark.parametrize("border", ["item", "maintenance", "end"])
def test_no_error_of_newsmill_lets_a_run_succeed(border: str, error: Exception, logs: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Pages of a batch that fails are lost: a run that went on would end as finished."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    async def run_border() -> SpiderRun:
        run = make_run(SimpleNamespace(put_page=fail, put_link=fail, flush=fail), [])
        match border:
            case "item":
                await run._item_scraped(link("https://paper.example/a"))
            case "maintenance":
                await run._keep(fail())
            case "end":
                await run._closed()
        await asyncio.sleep(0)
        return run

    report = asyncio.run(run_border()).report()
    record = describe_run(report)
    assert record.outcome is Outcome.SPIDER_FAILED and str(error) in str(record.detail)
    assert ("Traceback" in caplog.text) == logs


def test_a_batch_that_is_not_stored_is_counted_as_lost() -> None:
    counts = OutputCounts()

    async def call_ledger(_: object) -> object:
        raise TypeError("a bug")

    async def run() -> None:
        sink = StoringSink(
            cast("Any", None),
            cast("Any", SimpleNamespace(call_ledger=call_ledger)),
            lambda _: True,
            lambda: counts,
            source="paper",
            on_removal=lambda: None,
        )
        await sink.put_link(Link("https://paper.example/a"))
        with pytest.raises(TypeError):
            await sink.flush()

    asyncio.run(run())
    assert counts.lost == 1
