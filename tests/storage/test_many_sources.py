"""What is read for many sources takes as many statements as for a few, and gives the same as one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rows import NOON, SOURCE, Mill, after, bad, document_of, ended, good
from site_of_tests import BASE, shared_router
from sqlalchemy import event
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from crawler.frontier.frontier import DocumentLimit
from newsmill.cli.sources.listed import read_listed
from newsmill.cli.status import collect, print_status
from newsmill.context import AppContext, build_context
from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.model import Kind, Link, Outcome
from newsmill.settings import load
from newsmill.storage.ledger import FROM_BACKFILL, Ledger
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealthReader
from newsmill.storage.tokens import Scope
from newsmill.web.api.metrics import read_metrics
from newsmill.web.config import WebConfig
from newsmill.web.pages.source_health_view import list_problems
from newsmill.web.pages.translations import load_translations
from newsmill.web.server import create_app

FEW, MANY = 2, 9


def add_sources(engine: Engine, numbers: range) -> None:
    """Sources with listings that are read or fail, pages in every state, documents, open alarms and backfills."""
    ledger, alarms = Ledger(engine), SourceAlarms(engine)
    for number in numbers:
        name, site = f"s{number:02}", f"https://s{number:02}.example"
        host = site.removeprefix("https://")
        mill = Mill(ledger, segments=100 * number, now=after(days=-number))
        ledger.sources.put(replace(SOURCE, name=name, homepage=None, feeds=(f"{site}/rss", f"{site}/atom"), every=None), now=mill.now)
        rows = [row for row in mill.lease(host) if row.kind is Kind.FEED]
        ledger.url_endings.end([ended(rows[0], Outcome.LISTED), ended(rows[1], Outcome.HTTP_ERROR, "HTTP 403")], now=mill.now)
        ledger.hosts.release(host, mill.crawler, now=mill.now)
        ledger.links.add([Link(f"{site}/{n}", source=name) for n in range(6)], now=mill.now)
        rows = mill.lease(host)
        claims = mill.claim(mill.save(rows[:4]))
        if number % 3:
            mill.store(good(claims[0], document_of(claims[0].url, source=name, title=claims[0].url)), bad(claims[1], Outcome.NO_TEXT))
        mill.now = mill.now.replace(minute=5)
        ledger.url_endings.end([ended(rows[4], Outcome.HTTP_ERROR, "HTTP 404")], now=mill.now)
        ledger.hosts.release(host, mill.crawler, now=mill.now)
        backfill = ledger.backfills.start(name, NOON.date(), NOON.date(), now=mill.now)
        ledger.backfills.add(
            backfill, [Link(f"{site}/part{n}.xml", Kind.SITEMAP, name, FROM_BACKFILL) for n in range(number)], now=mill.now
        )
        alarms.begin(name, Finding(Cause.REFUSED, mill.now, Evidence()), now=mill.now)


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def names_of(app: AppContext) -> list[str]:
    return [source.name for source in app.ledger.sources.list_all()]


def show_status(app: AppContext) -> None:
    listed = read_listed(app)
    print_status(app, collect(app, app.settings, listed), listed)


def visit(app: AppContext) -> None:
    """Read pages and responses of the API."""
    asgi = create_app(app, WebConfig())
    asgi.router = shared_router()
    headers = {"authorization": f"Bearer {app.tokens.add('reader', Scope.READ, now=app.now())}"}
    with TestClient(asgi, base_url=BASE, headers=headers) as client:
        assert [path for path in PATHS if client.get(path).status_code != 200] == []


PATHS = ("/", "/sources", "/sources/s01", "/ops", *(f"/api/v1/{name}" for name in ("sources", "sources/s01", "health", "ledger/progress")))
READS: dict[str, Callable[[AppContext], object]] = {
    "newsmill status": show_status,
    "newsmill sources list": read_listed,
    "the monitor of newsmill crawl": lambda app: (
        app.ledger.progress.count(*names_of(app)),
        app.ledger.progress.count_waiting(*names_of(app), until=NOON),
        app.documents.count_of(names_of(app)),
    ),
    "the limit of newsmill crawl": lambda app: DocumentLimit(tuple(names_of(app)), 9, app.documents.count_of).count_room(app.ledger, 0),
    "the health in pages and API": lambda app: SourceHealthReader(app.engine).read_all(app.ledger.sources.list_all(), now=NOON),
    "the problems of the home page": lambda app: list_problems(app, load_translations("en"), NOON),
    "home, sources and API": visit,
    "the metrics": lambda app: list(read_metrics(app)),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_statements_do_not_grow_with_the_sources(engine: Engine, tmp_path: Path, read: Callable[[AppContext], object]) -> None:
    app = build_context(engine, str(tmp_path), settings=load({"NEWSMILL_DATA": str(tmp_path)}))
    counts = []
    for numbers in (range(FEW), range(FEW, MANY)):
        add_sources(engine, numbers)
        with counted(engine) as statements:
            read(app)
        counts.append(len(statements))
    assert 0 < counts[1] <= counts[0], "\n".join(statements)


def test_many_sources_are_read_as_one_by_one(engine: Engine) -> None:
    add_sources(engine, range(MANY))
    ledger, reader = Ledger(engine), SourceHealthReader(engine)
    sources = ledger.sources.list_all()
    progress = ledger.progress.count_by_source()
    assert {source.name: ledger.progress.count(source.name) for source in sources} == progress
    assert ledger.progress.count("s03", "s04").pages == progress["s03"].pages + progress["s04"].pages
    for now in (NOON, after(days=9)):
        assert reader.read_all(sources, now=now) == {source.name: reader.read(source, now=now) for source in sources}
    assert ledger.sources.list_all(["s03", "none"]) == [sources[3]]
    pending = ledger.backfills.count_pending([source.name for source in sources])
    assert [one.listings for one in pending.values()] == list(range(MANY))
    assert ledger.progress.count_waiting(*progress, until=NOON) == ledger.progress.count_waiting(until=NOON)
