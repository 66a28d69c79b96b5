"""POST /api/v1/pages: pages as JSON and as WARC, items, what is refused, and that nothing doubles."""

from __future__ import annotations

import base64
import gzip
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import zstandard
from site_of_tests import PAGE, RunningApp

from newsmill.archive import warc_writer
from newsmill.model import Outcome, Page, Source
from newsmill.sandbox.pages import Sandbox
from workers.jobs import extract_claimed_pages
from workers.process import WorkerContext

URL = "https://paper.example/bridge"


def extract(web: RunningApp, sandbox: Sandbox) -> None:
    for segment in web.context.ledger.segments.list_pending(now=web.context.now(), limit=10):
        extract_claimed_pages(WorkerContext(web.context, sandbox, "worker"), segment)


def post(web: RunningApp, status: int = 202, **body: Any) -> list[dict[str, Any]]:
    answer = web.program("write").post("/api/v1/pages", json=body)
    assert answer.status_code == status, answer.text
    items: list[dict[str, Any]] = answer.json()["items"] if status == 202 else answer.json().get("errors", [])
    return items


def post_warc(web: RunningApp, content: bytes, status: int = 202) -> Any:
    answer = web.program("write").post("/api/v1/pages?source=paper", content=content, headers={"content-type": "application/warc"})
    assert answer.status_code == status, answer.text
    return answer.json()


def archived(web: RunningApp, url: str = URL) -> Page:
    trace = web.context.ledger.traces.get(url)
    assert trace is not None
    assert trace.segment is not None
    assert trace.offset is not None
    return web.context.archive.read_page(trace.segment, trace.offset)


def add_source(web: RunningApp) -> None:
    web.context.ledger.sources.put(Source(name="paper"), now=web.context.now())


def test_a_page_as_text_becomes_a_document_whose_outcome_is_linked(web: RunningApp, sandbox: Sandbox) -> None:
    add_source(web)
    headers = [["Content-Type", "text/html; charset=windows-1251"], ["Content-Encoding", "gzip"], ["X-Robots-Tag", "noarchive"]]
    html = PAGE.replace("Bridge closed", "Brücke gesperrt")
    (receipt,) = post(web, pages=[{"url": URL, "html": html, "headers": headers, "hint": {"authors": ["Ann Author"]}}], source="paper")
    assert receipt == {
        "url": URL,
        "status": "queued",
        "reason": None,
        "outcome": "/api/v1/ledger/trace?url=https%3A%2F%2Fpaper.example%2Fbridge",
    }
    extract(web, sandbox)
    trace = web.program("read").get(receipt["outcome"]).json()
    document = web.program("read").get("/api/v1/documents/by-url", params={"url": URL}).json()
    assert (trace["outcome"], trace["found_by"], trace["source"]) == ("stored", "api", "paper")
    assert (document["title"], document["authors"][0]["name"]) == ("Brücke gesperrt", "Ann Author")
    assert archived(web).headers == (("X-Robots-Tag", "noarchive"), ("Content-Type", "text/html; charset=utf-8"))


def test_a_body_is_archived_as_the_server_sent_it(web: RunningApp, sandbox: Sandbox) -> None:
    packed = gzip.compress(PAGE.encode(), mtime=0)
    fetched_at = datetime(2026, 11, 25, 10, tzinfo=UTC)
    page = {
        "url": f"{URL}?id=2",
        "requested_url": URL,
        "redirects": [URL],
        "body": base64.b64encode(packed).decode(),
        "headers": [["Content-Type", "text/html"], ["Content-Encoding", "gzip"], ["ETag", '"1"']],
        "fetched_at": fetched_at.isoformat(),
        "status": 203,
    }
    (receipt,) = post(web, pages=[page])
    assert receipt["url"] == URL
    found = archived(web)
    assert (found.body, found.url, found.requested_url, found.fetched_at, found.status) == (packed, f"{URL}?id=2", URL, fetched_at, 203)
    extract(web, sandbox)
    assert web.context.ledger.progress.count().outcomes[Outcome.STORED] == 1


def test_the_same_page_and_item_twice_change_nothing(web: RunningApp, sandbox: Sandbox) -> None:
    body = {"pages": [{"url": URL, "html": PAGE}], "items": [{"url": f"{URL}/item", "title": "Bridge", "text": "It is closed.\n\nToday."}]}
    assert [receipt["status"] for receipt in post(web, **body)] == ["queued", "queued"]
    extract(web, sandbox)
    assert [receipt["status"] for receipt in post(web, **body)] == ["known", "known"]
    assert web.context.ledger.progress.count().outcomes == {Outcome.STORED: 2}
    assert sorted((document.title, document.extractor == "spider") for document in web.context.documents.iterate()) == [
        ("Bridge", True),
        ("Bridge closed", False),
    ]


def record(kind: str, block: bytes, *headers: str) -> bytes:
    """A WARC record as any program may write it."""
    lines = ["WARC/1.0", f"WARC-Type: {kind}", "WARC-Record-ID: <urn:uuid:1>", *headers, f"Content-Length: {len(block)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def test_pages_of_other_programs_warc_files(web: RunningApp, sandbox: Sandbox) -> None:
    add_source(web)
    for zipped in (True, False):
        url = f"{URL}/{zipped}"
        response = b"HTTP/1.1 200 OK\r\nContent-Type:text/html\r\nX-Empty:\r\n\r\n" + PAGE.encode()
        records = (
            record("warcinfo", b"software: another\r\n"),
            record("request", b"GET / HTTP/1.1\r\n\r\n", f"WARC-Target-URI: {url}"),
            record("response", b"20260101000000\r\npaper.example. 1 IN A 192.0.2.1", "WARC-Target-URI: dns:paper.example"),
            record("response", response, f"WARC-Target-URI: <{url}>", "WARC-Date: 2026-11-25T10:00:00Z"),
        )
        (receipt,) = post_warc(web, b"".join(map(gzip.compress, records) if zipped else records))["items"]
        assert (receipt["url"], receipt["status"]) == (url, "queued")
        page = archived(web, url)
        assert (page.body, page.fetched_at, page.source) == (PAGE.encode(), datetime(2026, 11, 25, 10, tzinfo=UTC), "paper")
        assert page.headers == (("Content-Type", "text/html"), ("X-Empty", ""))
    extract(web, sandbox)
    assert web.context.ledger.progress.count().outcomes == {Outcome.STORED: 1, Outcome.DUPLICATE: 1}  # one text at two URLs


def test_the_chunks_that_wget_keeps_are_joined(web: RunningApp) -> None:
    add_source(web)
    page = PAGE.encode()
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (page[:50], page[50:]))
    for name, body in (("whole", chunks + b"0\r\n\r\n"), ("cut", chunks), ("joined", page)):
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        post_warc(web, record("response", block, f"WARC-Target-URI: {URL}/{name}", "WARC-Date: 2026-11-25T10:00:00Z"))
        assert archived(web, f"{URL}/{name}").body == page


def test_newsmills_own_segments_can_be_submitted(web: RunningApp) -> None:
    add_source(web)
    out = io.BytesIO()
    warc_writer.write_page(out, Page(URL, URL, datetime.now(UTC), 200, (("Content-Type", "text/html"),), PAGE.encode()))
    assert post_warc(web, out.getvalue())["items"][0]["status"] == "queued"


def many_responses() -> bytes:
    out = io.BytesIO()
    for number in range(33):
        warc_writer.write_page(out, Page(f"{URL}/{number}", f"{URL}/{number}", datetime.now(UTC), 200, (), b"x"))
    return out.getvalue()


def bomb() -> bytes:
    out = io.BytesIO()
    warc_writer.write_page(out, Page(URL, URL, datetime.now(UTC), 200, (), bytes(65 << 20)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "has no response record"),
        (b"WARC/1.1\r\n", "has no response record"),
        (gzip.compress(b"no WARC", mtime=0), "cannot be read"),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 40\r\n\r\nHTTP/1.1 200 OK\r\n", "ends inside a record"),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 4\r\n\r\nnope\r\n\r\n", "holds no HTTP response"),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n\r\n", "has no WARC-Date"),
        (many_responses, "over 32 response records"),
        (bomb, "too large together"),
    ],
)
def test_a_warc_file_that_cannot_be_read(web: RunningApp, content: Any, detail: str) -> None:
    add_source(web)
    assert detail in post_warc(web, content() if callable(content) else content, 422)["detail"]
    assert web.context.ledger.progress.count().pages == 0


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (gzip.compress(b"\r\n" * (1 << 20)), "too large together"),  # between records
        (zstandard.compress(b"\r\n" * (1 << 20)), "cannot be read"),  # it would unpack to 30,000 times its size
    ],
)
def test_a_bomb_without_a_record(web: RunningApp, monkeypatch: pytest.MonkeyPatch, content: bytes, detail: str) -> None:
    monkeypatch.setattr("newsmill.web.api.submitted_pages.MAX_WARC_BYTES", 1 << 20)
    assert detail in post_warc(web, content, 422)["detail"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"pages": [{"url": URL}]}, "#/pages/0"),
        ({"pages": [{"url": URL, "html": "x", "body": "eA=="}]}, "#/pages/0"),
        ({"pages": [{"url": URL, "body": "not Base64!"}]}, "#/pages/0/body"),
        ({"pages": [{"url": URL, "html": "x", "status": 99}]}, "#/pages/0/status"),
        ({"pages": [{"url": URL, "html": "x"}] * 33}, "#/pages"),
        ({"items": [{"url": URL, "title": "x"}]}, "#/items/0/text"),
        ({"items": [{"url": URL, "title": "x", "text": "x" * 2_000_001}]}, "#/items/0"),
        ({"item": []}, "#/item"),
        ({}, "#"),
        ({"pages": [], "items": []}, "#"),
    ],
)
def test_a_body_that_cannot_be_read(web: RunningApp, body: dict[str, Any], where: str) -> None:
    assert where in [error["where"] for error in post(web, 422, **body)]
    assert web.context.ledger.progress.count().pages == 0


def test_what_else_is_refused(web: RunningApp) -> None:
    (receipt,) = post(web, pages=[{"url": "ftp://paper.example/", "html": PAGE}])
    assert (receipt["status"], receipt["outcome"]) == ("rejected", None)
    assert "not an http(s) URL" in receipt["reason"]
    post(web, 422, pages=[{"url": URL, "html": PAGE}], source="unknown")
    page = {"pages": [{"url": URL, "html": PAGE}]}
    assert web.stranger.post("/api/v1/pages", json=page).status_code == 401
    assert web.program("read").post("/api/v1/pages", json=page).status_code == 403
    assert web.program("write").post("/api/v1/pages", content=b"{", headers={"content-type": "text/plain"}).status_code == 415
    assert web.program("write").post("/api/v1/pages", content=bytes((16 << 20) + 1)).status_code == 413
    assert web.program("write").post("/api/v1/urls", content=bytes(2_000_001)).status_code == 413
    assert web.context.ledger.progress.count().pages == 0


def test_a_time_in_the_future_is_now(web: RunningApp) -> None:
    post(web, pages=[{"url": URL, "html": PAGE, "fetched_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}])
    assert archived(web).fetched_at <= web.context.now()


def test_times_at_the_ends_of_the_calendar_cost_no_page(web: RunningApp, sandbox: Sandbox) -> None:
    times = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "2026-11-25T10:00:00", "1989-12-31", "2026-11-24")
    for number, at in enumerate(times):
        fetched_at = at if "T" in at and at[-6] in "+-" else None
        page = {"url": f"{URL}/{number}", "html": PAGE.replace("Monday", f"day {number}"), "fetched_at": fetched_at}
        item = {"url": f"{URL}/{number}/item", "title": "Bridge", "text": f"It is closed on day {number}.", "published_at": at}
        post(web, pages=[page | {"hint": {"published_at": at}}], items=[item])
    extract(web, sandbox)
    assert web.context.ledger.progress.count().outcomes == {Outcome.STORED: 2 * len(times)}
    found = {document.url: (document.published_at, document.published_precision) for document in web.context.documents.iterate()}
    known = {
        "2026-11-25T10:00:00": (datetime(2026, 11, 25, 10, tzinfo=UTC), "second"),
        "2026-11-24": (datetime(2026, 11, 24, tzinfo=UTC), "day"),
    }
    for number, at in enumerate(times):
        expected = known.get(at, (None, None))
        assert (found[f"{URL}/{number}"], found[f"{URL}/{number}/item"]) == (expected, expected), at


def test_the_archived_page_of_an_item_is_its_json(web: RunningApp, sandbox: Sandbox) -> None:
    post(web, items=[{"url": URL, "title": "Bridge <b>", "text": "It is <script>closed</script>."}])
    extract(web, sandbox)
    (document,) = web.context.documents.iterate()
    shown = web.program("read").get(f"/documents/{document.id}/archived")
    assert shown.status_code == 200
    assert "&lt;script&gt;closed" in shown.text
    assert "<script>" not in shown.text
