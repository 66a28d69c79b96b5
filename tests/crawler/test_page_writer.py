"""Pages become segments: by time, by size, and when the disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawler.politeness.throttle import StopSignal
from crawler.segments import page_writer as module
from crawler.segments.page_writer import PageWriter
from newsmill.archive.spool import Spool
from newsmill.exceptions import ServiceError
from newsmill.model import Kind, LeasedUrl, Page, Segment

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Fakes:
    """An archive, a ledger and a queue that record their calls. The archive fails `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.segments: list[list[str]] = []
        self.saved: list[list[int]] = []
        self.enqueued: list[str] = []
        self.url_leases = self  # of the ledger

    def write(self, pages: Sequence[Page], *, now: datetime) -> Segment:
        if self.failures > 0:
            self.failures -= 1
            raise ServiceError("archive: the disk is full")
        self.segments.append([page.url for page in pages])
        return Segment(f"s{len(self.segments)}", len(pages), 1, now, tuple(range(len(pages))))

    def save_segment(self, segment: Segment, rows: Sequence[Any], *, now: datetime) -> int:
        self.saved.append([row.id for row in rows])
        return len(rows)

    def enqueue(self, segment_id: str) -> bool:
        self.enqueued.append(segment_id)
        return True


def run(fakes: Fakes, use_writer: Callable[[PageWriter, StopSignal], Awaitable[None]]) -> None:
    async def run_all() -> None:
        stop = StopSignal()
        writer = PageWriter(fakes, fakes, fakes.enqueue, stop, lambda: NOW)
        await use_writer(writer, stop)
        stop.event.set()
        await writer.close()

    asyncio.run(run_all())


async def put(writer: PageWriter, n: int, size: int = 10) -> None:
    url = f"http://a.example/{n}"
    await writer.put(LeasedUrl(n, url, Kind.PAGE, "a.example", None, 1, 0), Page(url, url, NOW, 200, (), b"x" * size))


def test_thirty_two_pages_make_a_segment() -> None:
    fakes = Fakes()

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        for n in range(70):
            await put(writer, n)

    run(fakes, use_writer)
    assert [len(segment) for segment in fakes.segments] == [32, 32, 6]
    assert [row for rows in fakes.saved for row in rows] == list(range(70))
    assert fakes.enqueued == ["s1", "s2", "s3"]


def test_two_seconds_make_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_SECONDS", 0.2)
    fakes = Fakes()

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        await put(writer, 1)
        await asyncio.sleep(0.6)
        assert fakes.enqueued == ["s1"]
        await put(writer, 2)

    run(fakes, use_writer)
    assert fakes.saved == [[1], [2]]


def test_a_flush_makes_a_segment() -> None:
    fakes = Fakes()

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        await put(writer, 1)
        writer.flush()
        await asyncio.sleep(0.3)
        assert fakes.enqueued == ["s1"]
        writer.flush()

    run(fakes, use_writer)
    assert fakes.saved == [[1]]


def test_large_pages_make_small_segments_and_wait_for_space() -> None:
    fakes = Fakes()
    max_bytes = 0

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        nonlocal max_bytes
        for n in range(12):
            await put(writer, n, size=8 * 1024 * 1024)
            max_bytes = max(max_bytes, writer.queued_bytes)

    run(fakes, use_writer)
    assert max(len(segment) for segment in fakes.segments) == 2
    assert max_bytes <= module.MAX_QUEUED_BYTES + 8 * 1024 * 1024


def test_the_writer_waits_for_a_full_disk(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(module, "MAX_SEGMENT_SECONDS", 0.05)
    fakes = Fakes(failures=3)

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        for n in range(200):  # far more than the queue holds: the last ones are accepted only when the disk has space
            await put(writer, n)

    run(fakes, use_writer)
    assert [row for rows in fakes.saved for row in rows] == list(range(200))
    assert (caplog.text.count("the disk is full"), caplog.text.count("the archive accepts pages again")) == (1, 1)


def test_a_disk_that_stays_full_does_not_delay_the_stop(caplog: pytest.LogCaptureFixture) -> None:
    fakes = Fakes(failures=10**9)

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        await put(writer, 1)

    run(fakes, use_writer)
    assert (fakes.saved, fakes.enqueued) == ([], [])
    assert "fetched pages not saved: 1 " in caplog.text


def test_a_cancelled_put_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Otherwise each outage that costs leases would shrink the queue, until nothing is fetched any more."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    fakes = Fakes(failures=10)

    async def use_writer(writer: PageWriter, _: StopSignal) -> None:
        writer.spool = Spool(tmp_path)
        puts = [asyncio.ensure_future(put(writer, n, size=1000)) for n in range(200)]
        await asyncio.sleep(0.2)
        for waiting in puts:
            waiting.cancel()
        await asyncio.gather(*puts, return_exceptions=True)
        while fakes.failures or writer.unsaved_pages:
            writer.flush()
            await asyncio.sleep(0.05)
        assert (writer.queued_bytes, writer.unsaved_pages) == (0, 0)
        assert not list(tmp_path.iterdir())

    run(fakes, use_writer)
    assert 0 < sum(map(len, fakes.saved)) < 200
