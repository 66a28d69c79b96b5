"""WARC files become documents: the newest capture of each URL, once, in whatever order the captures come and however often they do."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import brotli
import pyarrow.parquet
import pytest
from engine_documents import read_with_engines
from warc_records import record
from workers_world import WorkersWorld

import newsmill
from newsmill.archive.warc_writer import write_page, write_warcinfo
from newsmill.batch import extract_file
from newsmill.batch.parts import make_part_name
from newsmill.demo import newspaper_folder
from newsmill.intake.capture_filters import make_filter
from newsmill.intake.page_submission import make_enqueue, make_item_page
from newsmill.intake.warc_files import WarcInput, open_warc
from newsmill.intake.warc_submission import WarcSubmission
from newsmill.model import ArticleItem, Kind, Link, Outcome, OutcomeRecord, Page, Source, WarcCounts
from newsmill.storage.ledger import Ended
from newsmill.storage.processes import Heartbeat
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

SITE = "https://paper.example"
FETCHED_AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
HTML = (("Content-Type", "text/html; charset=utf-8"),)
WORDS = "The {} decided on Tuesday after a long debate that the bridge over the river, the Brücke, is built again next year."


def html(topic: str) -> str:
    paragraphs = "".join(f"<p>{number}. {WORDS.format(topic)} It costs {number} million.</p>" for number in range(1, 9))
    return f"<html lang=en><head><title>The {topic} decides</title></head><body><article><h1>The {topic} decides</h1>{paragraphs}"


def run(world: WorkersWorld, records: Sequence[bytes], **options: Any) -> WarcCounts:
    warnings: list[str] = []
    options = {"is_wanted": lambda url, at: True, "warn": warnings.append} | options
    job = WarcSubmission(world.app, make_enqueue(world.app.settings), **options)
    for _ in job.read(WarcInput("crawl.warc", io.BytesIO(b"".join(records)), None)):
        pass
    job.finish()
    return job.counts


def extract_pending(context: WorkerContext) -> None:
    for segment in context.app.ledger.segments.list_pending(now=context.app.now(), limit=100):
        extract_claimed_pages(context, segment)


def stored(world: WorkersWorld) -> dict[str, tuple[str | None, str]]:
    return {document.url: (document.title, document.fetched_at.isoformat()) for document in world.documents.iterate()}


def test_encodings_and_charsets(world: WorkersWorld, context: WorkerContext) -> None:
    text = html("council")
    chunks = text.encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (chunks[:100], chunks[100:])) + b"0\r\n\r\n"
    bodies: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
        "gzip": (gzip.compress(text.encode()), "text/html; charset=utf-8", ("Content-Encoding: gzip",)),
        "br": (brotli.compress(text.encode()), "text/html; charset=utf-8", ("Content-Encoding: br",)),
        "chunked": (chunked, "text/html; charset=utf-8", ("Transfer-Encoding: chunked",)),
        "decoded-by-the-crawler": (text.encode(), "text/html; charset=utf-8", ("Content-Encoding: gzip",)),
        "no-charset": (text.encode("cp1252"), "text/html", ()),
        "no-type": (text.encode(), "", ()),
        "as-text": (text.encode(), "text/plain", ()),
        "as-json": (text.encode(), "application/json", ()),
    }
    records = [
        record(f"{SITE}/{name}", body, content_type=content_type, http_headers=headers)
        for name, (body, content_type, headers) in bodies.items()
    ]
    assert run(world, records) == WarcCounts(queued=len(bodies))
    extract_pending(context)
    documents = list(world.documents.iterate())
    assert {trace.outcome for name in bodies if (trace := world.ledger.traces.get(f"{SITE}/{name}"))} <= {Outcome.STORED, Outcome.DUPLICATE}
    assert all("the Brücke, is built" in document.text for document in documents)
    assert {document.fetched_at.isoformat() for document in documents} == {"2020-03-01T09:30:00+00:00"}
    trace = world.ledger.traces.get(f"{SITE}/br")
    assert trace is not None
    assert trace.found_by == "warc"


def test_the_newest_capture_is_stored_in_any_order(world: WorkersWorld, context: WorkerContext) -> None:
    captures = [(f"{SITE}/story", topic, f"20{year}-01-01T00:00:00Z") for topic, year in (("council", 18), ("mayor", 20), ("court", 19))]
    records = [record(url, html(topic).encode(), date=date) for url, topic, date in captures]
    expected = {f"{SITE}/story": ("The mayor decides", "2020-01-01T00:00:00+00:00")}
    for order in itertools.permutations(records):
        for one in order:
            run(world, [one])
        extract_pending(context)
        assert stored(world) == expected
        assert run(world, order) == WarcCounts(known=3)
    assert len(world.segment_files()) <= 3
    older = run(world, records[:1], again=True)
    extract_pending(context)
    assert (older, stored(world)[f"{SITE}/story"][0]) == (WarcCounts(queued=1), "The council decides")


@pytest.mark.parametrize("is_own", [True, False])
def test_the_capture_is_the_first_sight_if_the_operator_says_so(world: WorkersWorld, context: WorkerContext, is_own: bool) -> None:
    before = world.app.now()
    run(world, [record(f"{SITE}/story", html("council").encode(), date="2018-01-01T00:00:00Z")], is_own=is_own)
    extract_pending(context)
    (document,) = world.documents.iterate()
    assert document.text_seen_at is not None
    assert document.text_seen_at == document.fetched_at if is_own else document.text_seen_at >= before


def test_what_is_no_article_is_counted_and_not_stored(world: WorkersWorld, context: WorkerContext) -> None:
    page = html("council").encode()
    world.ledger.sources.put(Source(name="paper"), now=world.app.now())
    world.ledger.links.add([Link(f"{SITE}/feed.xml", Kind.FEED, source="paper")], now=world.app.now())
    records = [
        record(f"{SITE}/a", page),
        record(f"{SITE}/i.png", b"\x89PNG\r\n\x1a\n", content_type="image/png"),
        record(f"{SITE}/i.html", b"\x89PNG\r\n\x1a\n", content_type=""),
        record(f"{SITE}/robots.txt", b"User-agent: *", content_type="text/plain"),
        record(f"{SITE}/a.js", b"document.write('<div>')", content_type="text/javascript"),
        record(f"{SITE}/a.json", b'{"html": "<div>"}', content_type="application/json"),
        record(f"{SITE}/a.svg", b"<svg>", content_type="image/svg+xml"),
        record(f"{SITE}/gone", page, status=404),
        record(f"{SITE}/moved", b"", status=301),
        record(f"{SITE}/cached", b"", kind="revisit"),
        record(f"{SITE}/feed.xml", page),
        record("https://[/", page),
        record(f"{SITE}/a", page, kind="request"),
        record("https://elsewhere.example/a", page),
    ]
    wanted = make_filter(["Paper.example"], None, None)
    assert run(world, records, source="paper", is_wanted=lambda url, at: url == "https://[/" or wanted(url, at)) == WarcCounts(
        queued=1, not_html=6, http_error=2, revisit=1, rejected=2, other=1, filtered=1
    )
    extract_pending(context)
    assert [(document.url, document.source) for document in world.documents.iterate()] == [(f"{SITE}/a", "paper")]


def test_a_failed_url_gets_an_older_capture(world: WorkersWorld, context: WorkerContext) -> None:
    """A dead link of the live web is what an archive is asked for."""
    url = f"{SITE}/dead"
    world.ledger.links.add([Link(url)], now=world.app.now())
    now = world.app.now()
    world.ledger.hosts.lease_one("paper.example", "crawler", seconds=60, now=now)
    (row,) = world.ledger.url_leases.lease("paper.example", "crawler", limit=1, seconds=60, now=now)
    world.ledger.url_endings.end([Ended(row.id, row.fence, OutcomeRecord(Outcome.GONE))], now=now)
    assert run(world, [record(url, html("council").encode())]) == WarcCounts(queued=1)
    extract_pending(context)
    assert list(stored(world)) == [url]


def test_an_archive_of_newsmill_gives_the_same_documents(world: WorkersWorld, context: WorkerContext, tmp_path: Path) -> None:
    at = datetime(2020, 3, 1, 9, 30, 0, 123456, UTC)
    page = Page(f"{SITE}/old", f"{SITE}/new", at, 200, (("Content-Type", "text/x-page"),), html("council").encode(), source="elsewhere")
    item = make_item_page(ArticleItem(url=f"{SITE}/item", title="An item", text="The text.\n\nOf a spider."), fetched_at=at)
    world.app.archive.write([page, item], now=world.app.now())
    (path,) = world.segment_files()
    with open_warc(str(path)) as (warc,):
        assert run(world, [warc.file.read()]) == WarcCounts(queued=2, other=1)
    extract_pending(context)
    found = sorted(
        (document.requested_url, document.url, document.title, document.fetched_at, document.source)
        for document in world.documents.iterate()
    )
    assert found == [
        (f"{SITE}/item", f"{SITE}/item", "An item", at, None),
        (f"{SITE}/old", f"{SITE}/new", "The council decides", at, None),
    ]


def test_an_item_that_is_none_is_rejected(world: WorkersWorld) -> None:
    at = datetime(2020, 3, 1, tzinfo=UTC)
    long = make_item_page(ArticleItem(url=f"{SITE}/item", title="An item", text="x" * 2_000_001), fetched_at=at)
    file = io.BytesIO()
    write_warcinfo(file, at)
    for item in (long, replace(long, body=b"{}")):
        write_page(file, item)
    assert run(world, [file.getvalue()]) == WarcCounts(rejected=2, other=1)


def test_it_waits_for_live_workers_only(world: WorkersWorld) -> None:
    app = replace(world.app, settings=world.app.settings.model_copy(update={"high_water": 8}))
    sleeps: list[float] = []
    records = [record(f"{SITE}/{number}", html("council").encode()) for number in range(80)]

    def sleep(seconds: float) -> bool:
        sleeps.append(seconds)
        return len(sleeps) >= 2  # a stop

    def submit(part: Sequence[bytes]) -> None:
        job = WarcSubmission(app, lambda segment: True, is_wanted=lambda url, at: True, warn=print, sleep=sleep)
        list(job.read(WarcInput("crawl.warc", io.BytesIO(b"".join(part)), None)))
        job.finish()

    submit(records[:40])
    assert not sleeps
    Heartbeat(app.engine, role="worker").beat(app.now())
    submit(records[40:60])
    assert len(sleeps) == 2
    assert world.ledger.progress.count().pages == 60


def normalize(name: str, value: Any) -> Any:
    """JSONB has another order of the pairs."""
    return dict(value) if name == "provenance" and value is not None else value


def test_a_filter_by_host_and_time() -> None:
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    wanted = make_filter(["paper.example"], since, until)
    assert wanted("https://www.PAPER.example:8080/a", since)
    for url, at in (
        ("https://newspaper.example/", since),
        ("https://[/", since),
        (f"{SITE}/", since - timedelta(seconds=1)),
        (f"{SITE}/", until),
    ):
        assert not wanted(url, at)


@pytest.mark.filterwarnings("ignore")  # those of the engines
def test_the_batch_function_and_engines_give_the_documents_and_outcomes_of_workers(
    shared: Path, world: WorkersWorld, context: WorkerContext, tmp_path: Path
) -> None:
    site = newspaper_folder() / "site"
    pages = [path.read_bytes() for path in sorted(site.rglob("*.html"))]
    own = world.archive.write(
        [
            Page(f"{SITE}/{n}/a-story-of-{n}.html", f"{SITE}/{n}/a-story-of-{n}.html", FETCHED_AT, 200, HTML, page)
            for n, page in enumerate(pages)
        ],
        now=FETCHED_AT,
    )
    foreign = [path for path in sorted((shared / "cases/warc/files").rglob("*.warc*")) if path.suffix != ".lz4"]
    files = [*foreign, next(path for path in world.segment_files() if own.id in path.name)]
    outcomes: dict[str, str] = {}
    for file in files:
        extract_file(file, tmp_path / "out")
        with open_warc(str(file)) as inputs:
            job = WarcSubmission(world.app, make_enqueue(world.app.settings), is_wanted=lambda url, at: True, warn=lambda text: None)
            for _ in job.read(inputs[0]):
                pass
            job.finish()
        extract_pending(context)
        name = make_part_name(str(file))
        outcomes |= {row["url"]: row["outcome"] for row in pyarrow.parquet.read_table(tmp_path / "out" / "outcomes" / name).to_pylist()}
    stored_rows = [document.to_dict() for document in world.documents.iterate()]
    documents = {row["url"]: row for row in pyarrow.Table.from_pylist(stored_rows, schema=newsmill.arrow_schema()).to_pylist()}
    assert len(documents) > 30
    written = pyarrow.parquet.read_table(tmp_path / "out" / "documents").to_pylist()
    for engine, found in [("extract_file", written), *read_with_engines(files, tmp_path / "out")]:
        rows = {row["url"]: row for row in sorted(found, key=lambda row: row["fetched_at"])}
        assert len(found) == len(written), engine
        for url, document in documents.items():
            different = {name for name, value in document.items() if normalize(name, value) != normalize(name, rows[url][name])}
            assert different <= {"archive_ref", "first_seen_at", "text_seen_at", "revision"}, (engine, url, different)
    pages_read = [url for url in (*rows, *outcomes) if (url or "").startswith("http")]
    traces = {url: trace.outcome for url in pages_read if (trace := world.ledger.traces.get(url)) is not None}
    assert {traces[url] for url in rows.keys() - documents.keys()} <= {
        Outcome.DUPLICATE,
        None,
    }  # None: deferred, for a thread of the worker
    no_pages = {"other", "revisit"}  # records with the URL of a page
    ended = {url: outcome for url, outcome in outcomes.items() if url in traces and url not in rows and outcome not in no_pages}
    assert ended == {url: traces[url] for url in ended}
    assert len(ended) > 3
