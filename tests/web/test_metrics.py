"""The figures for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from fastapi.testclient import TestClient
from site_of_tests import RunningApp, stock

from newsmill.exceptions import ServiceError
from newsmill.model import Link, State
from newsmill.storage.processes import Heartbeat
from newsmill.web.api.metrics import read_metrics
from newsmill.web.config import WebConfig

LINE = re.compile(r"# HELP newsmill_\w+ .+|# TYPE newsmill_\w+ gauge|newsmill_\w+(\{[a-z]+=\"[\w.]+\"\})? [0-9.]+")


def read(client: TestClient) -> dict[str, float]:
    """The samples of a scrape."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert answer.text.endswith("\n") and all(LINE.fullmatch(line) for line in lines), answer.text
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    assert len({name for name, _, _ in samples}) == len(samples)
    return {name: float(value) for name, _, value in samples}


def test_a_scrape_has_the_figures_of_the_store(make_web: Callable[..., RunningApp]) -> None:
    web = make_web()
    empty = read(web.reader)
    assert (empty["newsmill_documents"], empty['newsmill_processes{role="crawler"}']) == (0, 0)
    assert "newsmill_newest_document_timestamp_seconds" not in empty
    stock(web, 3)
    Heartbeat(web.context.engine, role="crawler").beat(web.context.now())
    found = read(web.reader)
    assert found["newsmill_documents"] == found['newsmill_page_outcomes{outcome="stored"}'] == 3
    assert found['newsmill_pages{state="done"}'] == web.context.ledger.progress.count().states[State.DONE]
    assert (found['newsmill_sources{state="followed"}'], found['newsmill_sources{state="paused"}']) == (1, 0)
    assert found['newsmill_processes{role="crawler"}'] == 1 and found["newsmill_database_bytes"] > 0
    assert found["newsmill_newest_document_timestamp_seconds"] > 1_700_000_000


def test_pending_has_one_meaning(make_web: Callable[..., RunningApp]) -> None:
    """Pages and listings without an outcome, on every page and in every figure; a revisit has the outcome of the last fetch."""
    web = make_web()
    stock(web, 3)
    ledger, now = web.context.ledger, web.context.now()
    ledger.sources.make_listings_due("paper", now=now)
    ledger.links.add([Link(f"https://paper.example/new{n}", source="paper") for n in range(4)], now=now)
    ledger.due_revisits.make_due(now=now + timedelta(days=30))
    count = ledger.progress.count().pending
    assert count >= 4
    figure = f"<dt>Pending</dt><dd>{count}</dd>"
    for path in ("/", "/ops", "/sources/paper"):
        assert figure in re.sub("<a [^>]*>|</a>", "", web.reader.get(path).text), path
    assert web.reader.get("/api/v1/health").json()["pending"] == read(web.reader)["newsmill_pending_urls"] == count
    assert web.reader.get("/api/v1/ledger/progress").json()["pending"] == count


def test_the_length_of_a_queue_that_does_not_answer_is_left_out(make_web: Callable[..., RunningApp]) -> None:
    def refuse() -> int:
        raise ServiceError("Redis is away")

    context = make_web().context
    found = {metric.name: metric.values for metric in read_metrics(replace(context, queue_depth=refuse))}
    assert found["newsmill_redis_up"] == {"": 0} and "newsmill_queue_segments" not in found
    found = {metric.name: metric.values for metric in read_metrics(replace(context, queue_depth=lambda: 7))}
    assert found["newsmill_redis_up"] == {"": 1} and found["newsmill_queue_segments"] == {"": 7}


def test_a_scrape_needs_a_token_where_other_machines_reach_the_server(make_web: Callable[..., RunningApp]) -> None:
    web = make_web(WebConfig(url="https://news.example.org"))
    refused = web.stranger.get("/metrics")
    assert refused.status_code == 401 and "newsmill_" not in refused.text
    assert read(web.program())["newsmill_documents"] == 0
