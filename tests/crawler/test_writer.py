"""Pages → segments: in time, in size, and when the disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawler import page_writer as module
from crawler.page_writer import PageWriter
from crawler.spool import Spool
from crawler.throttle import StopSignal
from newsmill.exceptions import ServiceError
from newsmill.model import Kind, LeasedUrl, Page, Segment

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Fakes:
    """An archive and a ledger that remember, and fail as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.segments: list[list[str]] = []
        self.saved: list[list[int]] = []
        self.announced: list[str] = []

    def write(self, pages: Sequence[Page], *, now: datetime) -> Segment:
        if self.failures > 0:
            self.failures -= 1
            raise ServiceError("archive: the disk is full")
        self.segments.append([page.url for page in pages])
        return Segment(f"s{len(self.segments)}", len(pages), 1, now, tuple(range(len(pages))))

    def save_segment(self, segment: Segment, rows: Sequence[Any], *, now: datetime) -> int:
        self.saved.append([row.id for row in rows])
        return len(rows)

    def announce(self, segment_id: str) -> bool:
        self.announced.append(segment_id)
        return True


def run(fakes: Fakes, story: Callable[[PageWriter, StopSignal], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        stop = StopSignal()
        writer = PageWriter(fakes, fakes, fakes.announce, stop, lambda: NOW)
        await story(writer, stop)
        stop.event.set()
        await writer.close()

    asyncio.run(all_of_it())


async def put(writer: PageWriter, n: int, size: int = 10) -> None:
    url = f"http://a.example/{n}"
    await writer.put(LeasedUrl(n, url, Kind.PAGE, "a.example", None, 1, 0), Page(url, url, NOW, 200, (), b"x" * size))


def test_thirty_two_pages_make_a_segment() -> None:
    fakes = Fakes()

    async def story(writer: PageWriter, _: StopSignal) -> None:
        for n in range(70):
            await put(writer, n)

    run(fakes, story)
    assert [len(segment) for segment in fakes.segments] == [32, 32, 6]
    assert [row for rows in fakes.saved for row in rows] == list(range(70))
    assert fakes.announced == ["s1", "s2", "s3"]


def test_two_seconds_make_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_SECONDS", 0.2)
    fakes = Fakes()

    async def story(writer: PageWriter, _: StopSignal) -> None:
        await put(writer, 1)
        await asyncio.sleep(0.6)
        assert fakes.announced == ["s1"]
        await put(writer, 2)

    run(fakes, story)
    assert fakes.saved == [[1], [2]]


def test_nothing_more_to_come_makes_a_segment() -> None:
    fakes = Fakes()

    async def story(writer: PageWriter, _: StopSignal) -> None:
        await put(writer, 1)
        writer.hurry()
        await asyncio.sleep(0.3)
        assert fakes.announced == ["s1"]
        writer.hurry()

    run(fakes, story)
    assert fakes.saved == [[1]]


def test_large_pages_make_small_segments_and_wait_for_room() -> None:
    fakes = Fakes()
    most = 0

    async def story(writer: PageWriter, _: StopSignal) -> None:
        nonlocal most
        for n in range(12):
            await put(writer, n, size=8 * 1024 * 1024)
            most = max(most, writer.waiting)

    run(fakes, story)
    assert max(len(segment) for segment in fakes.segments) == 2
    assert most <= module.MAX_QUEUED_BYTES + 8 * 1024 * 1024


def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(module, "MAX_SEGMENT_SECONDS", 0.05)
    fakes = Fakes(failures=3)

    async def story(writer: PageWriter, _: StopSignal) -> None:
        for n in range(200):  # far more than may wait: the last ones are taken only once the disk has room
            await put(writer, n)

    run(fakes, story)
    assert [row for rows in fakes.saved for row in rows] == list(range(200))
    assert caplog.text.count("the disk is full") == 3


def test_a_disk_that_stays_full_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    fakes = Fakes(failures=10**9)

    async def story(writer: PageWriter, _: StopSignal) -> None:
        await put(writer, 1)

    run(fakes, story)
    assert (fakes.saved, fakes.announced) == ([], [])
    assert "1 fetched pages could not be saved" in caplog.text


def test_a_visit_that_ends_while_it_waits_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else each outage that costs leases would take a piece of the room for good, until nothing is fetched any more."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    fakes = Fakes(failures=10)

    async def story(writer: PageWriter, _: StopSignal) -> None:
        writer.spool = Spool(tmp_path)
        puts = [asyncio.ensure_future(put(writer, n, size=1000)) for n in range(200)]
        await asyncio.sleep(0.2)
        for waiting in puts:
            waiting.cancel()
        await asyncio.gather(*puts, return_exceptions=True)
        while fakes.failures or writer.unsaved:
            writer.hurry()
            await asyncio.sleep(0.05)
        assert (writer.waiting, writer.unsaved) == (0, 0)
        assert not list(tmp_path.iterdir())

    run(fakes, story)
    assert 0 < sum(map(len, fakes.saved)) < 200
