"""The spool: pages that a killed process did not save are read by the next one, whole and once."""

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

from newsmill.archive.spool import MAX_FILE_PAGES, Spool, SpooledPage, orphaned_spools
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
    rendered="<p>Zwölf</p>".encode(),
)
WRITER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_spool import NOW, PAGE, numbered
from newsmill.archive.spool import Spool, SpooledPage
spool = Spool(Path(sys.argv[1]))
for file in [spool.write(SpooledPage(n, n + 1, numbered(n)), now=NOW) for n in range(100)][:33]:
    spool.release(file)
print("written", flush=True)
sys.stdin.read()
"""


def numbered(n: int) -> Page:
    return replace(PAGE, url=f"https://a.example/{n}", body=b"%d " % n * 1000)


def read_orphans(folder: Path) -> list[SpooledPage]:
    return [spooled for orphan in orphaned_spools(folder) for spooled in orphan.entries() if isinstance(spooled, SpooledPage)]


def abandon(spool: Spool) -> None:
    """End the lock and keep the file, as a kill does."""
    assert spool._file is not None
    os.close(spool._file.descriptor)


def test_files_of_killed_writers_are_orphaned_and_others_are_not(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    assert read_orphans(tmp_path) == []  # the writer still runs
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdin.close()
    process.stdout.close()
    left = sorted(read_orphans(tmp_path), key=lambda spooled: spooled.id)  # files of one second have no order
    assert left == [SpooledPage(n, n + 1, numbered(n)) for n in range(32, 100)]
    for orphan in orphaned_spools(tmp_path):
        orphan.remove()
    assert read_orphans(tmp_path) == [] and not list(tmp_path.iterdir())


def test_a_file_is_deleted_with_its_last_page(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "spool")
    files = [spool.write(SpooledPage(n, 1, numbered(n)), now=NOW) for n in range(MAX_FILE_PAGES + 8)]
    assert len(list(spool.folder.iterdir())) == 2
    assert (spool.folder.stat().st_mode & 0o777, files[0].path.stat().st_mode & 0o777) == (0o700, 0o600)  # type: ignore[union-attr]
    for file in files:
        spool.release(file)
    assert not list(spool.folder.iterdir())
    spool.release(spool.write(SpooledPage(1, 1, PAGE), now=NOW))
    assert not list(spool.folder.iterdir())


@given(cut=st.integers(0, 1500), damage=st.booleans())
def test_a_truncated_or_damaged_file_gives_its_whole_pages(tmp_path_factory: pytest.TempPathFactory, cut: int, damage: bool) -> None:
    """A kill can leave half a write, a power loss any bytes; neither gives a wrong page."""
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    for n in range(3):
        spool.write(SpooledPage(n, 1, replace(PAGE, url=f"https://a.example/{n}")), now=NOW)
    abandon(spool)
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    at = min(cut, len(data) - 1)
    if damage:
        data[at] ^= 0xFF
    else:
        del data[at:]
    path.write_bytes(data)
    pages = read_orphans(folder)
    assert len(pages) <= 2
    assert pages == [SpooledPage(n, 1, replace(PAGE, url=f"https://a.example/{n}")) for n in range(len(pages))]


def test_an_unwritable_folder_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool")
    assert [spool.write(SpooledPage(n, 1, PAGE), now=NOW) for n in range(3)] == [None] * 3
    assert caplog.text.count("is not writable") == 1


def test_a_full_disk_damages_no_other_page(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    spool = Spool(tmp_path)
    spool.write(SpooledPage(1, 1, numbered(1)), now=NOW)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3500, hard))
        assert spool.write(SpooledPage(2, 1, numbered(2)), now=NOW) is None  # half of it fits
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert spool.write(SpooledPage(3, 1, numbered(3)), now=NOW) is not None
    abandon(spool)
    assert read_orphans(tmp_path) == [SpooledPage(1, 1, numbered(1)), SpooledPage(3, 1, numbered(3))]
