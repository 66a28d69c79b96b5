"""The spool: what one process wrote and did not live to save, another finds, whole and once."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.spool import MAX_FILE_PAGES, Spool, SpooledPage, orphaned_spools
from newsmill.model import Hint, Page

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PAGE = Page(
    "https://a.example/",
    "https://a.example/x",
    NOW,
    200,
    (("Content-Type", "text/html"), ("Set-Cookie", "a=b"), ("set-cookie", "é\u2028")),
    b"\x1f\x8b\x00body",
    ip="203.0.113.9",
    redirects=("https://a.example/",),
    request_headers=(("Accept", "*/*"),),
    source="paper",
    hint=Hint(title="\x00 A title", authors=("B",), published_at=NOW),
)
DYING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_spool import NOW, PAGE, numbered
from crawler.spool import Spool
spool = Spool(Path(sys.argv[1]))
for part in [spool.keep(n, n + 1, numbered(n), now=NOW) for n in range(100)][:33]:
    spool.release(part)
print("written", flush=True)
sys.stdin.read()
"""


def numbered(n: int) -> Page:
    return replace(PAGE, url=f"https://a.example/{n}", body=b"%d " % n * 1000)


def found(folder: Path) -> list[SpooledPage]:
    return [spooled for heritage in orphaned_spools(folder) for spooled in heritage.pages()]


def abandon(spool: Spool) -> None:
    """As its process's death would: the lock goes, the file stays."""
    assert spool._part is not None
    os.close(spool._part.handle)


def test_the_dead_leave_their_pages_and_the_living_are_left_alone(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DYING, str(tmp_path), str(Path(__file__).parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    assert found(tmp_path) == []  # it lives
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdin.close()
    process.stdout.close()
    left = sorted(found(tmp_path), key=lambda spooled: spooled.id)  # files of one second have no order
    assert left == [SpooledPage(n, n + 1, numbered(n)) for n in range(32, 100)]
    for heritage in orphaned_spools(tmp_path):
        heritage.remove()
    assert found(tmp_path) == [] and not list(tmp_path.iterdir())


def test_a_file_goes_with_its_last_page(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "spool")
    parts = [spool.keep(n, 1, numbered(n), now=NOW) for n in range(MAX_FILE_PAGES + 8)]
    assert len(list(spool.folder.iterdir())) == 2
    assert (spool.folder.stat().st_mode & 0o777, parts[0].path.stat().st_mode & 0o777) == (0o700, 0o600)  # type: ignore[union-attr]
    for part in parts:
        spool.release(part)
    assert not list(spool.folder.iterdir())
    spool.release(spool.keep(1, 1, PAGE, now=NOW))
    assert not list(spool.folder.iterdir())


@given(cut=st.integers(0, 1500), spoil=st.booleans())
def test_a_file_cut_short_or_spoilt_gives_what_is_whole(tmp_path_factory: pytest.TempPathFactory, cut: int, spoil: bool) -> None:
    """A kill may leave half a write, a power loss anything: never a wrong page."""
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    for n in range(3):
        spool.keep(n, 1, replace(PAGE, url=f"https://a.example/{n}"), now=NOW)
    abandon(spool)
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    at = min(cut, len(data) - 1)
    if spoil:
        data[at] ^= 0xFF
    else:
        del data[at:]
    path.write_bytes(data)
    pages = found(folder)
    assert len(pages) <= 2
    assert pages == [SpooledPage(n, 1, replace(PAGE, url=f"https://a.example/{n}")) for n in range(len(pages))]


def test_where_nothing_can_be_written_the_crawl_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool")
    assert [spool.keep(n, 1, PAGE, now=NOW) for n in range(3)] == [None] * 3
    assert caplog.text.count("takes no pages") == 1


def test_a_full_disk_spoils_no_page_before_or_after(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    spool = Spool(tmp_path)
    spool.keep(1, 1, numbered(1), now=NOW)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3500, hard))
        assert spool.keep(2, 1, numbered(2), now=NOW) is None  # half of it fits
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert spool.keep(3, 1, numbered(3), now=NOW) is not None
    abandon(spool)
    assert found(tmp_path) == [SpooledPage(1, 1, numbered(1)), SpooledPage(3, 1, numbered(3))]
