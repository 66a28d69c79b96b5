"""A backup is a store: made during work, updated, restored into an empty folder, consistent, and usable from there."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest
import services
from rows import NOON, after, good, links, page_of

from newsmill.archive.archive import Archive
from newsmill.context import build_context
from newsmill.exceptions import ServiceError
from newsmill.model import Outcome
from newsmill.storage import database, schema_version
from newsmill.storage.copies import back_up
from newsmill.storage.doctor import Doctor
from newsmill.storage.documents import Documents
from newsmill.storage.ledger import Fetched, Ledger
from newsmill.storage.processes import Heartbeat, list_live_processes


class Home:
    """A store in a place of its own."""

    def __init__(self, url: str, archive: Path) -> None:
        self.engine = database.connect(url)
        schema_version.upgrade(self.engine)
        self.ledger, self.documents = Ledger(self.engine), Documents(self.engine)
        self.archive = Archive(str(archive))

    def work(self, first: int, count: int) -> None:
        """`count` articles all the way, and one more that stays in a worker's hands."""
        self.ledger.links.add(links(first + count + 1)[first:], now=NOON)
        self.ledger.hosts.lease("crawler", limit=1, seconds=60, now=NOON)
        leased_rows = self.ledger.url_leases.lease("paper.example", "crawler", limit=99, seconds=60, now=NOON)
        segment = self.archive.write([page_of(row.url) for row in leased_rows], now=NOON)
        rows = [Fetched(row.id, row.fence, offset, row.url, 200) for row, offset in zip(leased_rows, segment.offsets, strict=True)]
        self.ledger.url_leases.save_segment(segment, rows, now=NOON)
        claims = self.ledger.claims.claim(segment.id, "worker", seconds=60, now=NOON)
        self.ledger.results.store([good(claim) for claim in claims[:count]], now=NOON, owner="worker", seconds=60)

    def finish(self) -> int:
        """What a restored installation does first: the work that was in progress when the copy was made."""
        later = after(hours=1)
        for segment in self.ledger.segments.list_pending(now=later, limit=99):
            claims = self.ledger.claims.claim(segment, "restored", seconds=60, now=later)
            for claim in claims:
                assert self.archive.read_page(claim.segment, claim.offset).url == claim.url
            self.ledger.results.store([good(claim) for claim in claims], now=later, owner="restored", seconds=60)
        return self.documents.count()

    def check(self) -> None:
        assert Doctor(self.engine, self.ledger, self.archive).examine(now=after(hours=1), deep=True) == []


def test_an_embedded_backup_is_a_store(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    home = Home(f"sqlite:///{data / 'newsmill.sqlite'}", data / "archive")
    home.work(0, 3)
    Heartbeat(home.engine, role="worker").beat(NOON)
    first = back_up(data / "newsmill.sqlite", data / "archive", copy)
    assert (first.segments, first.new) == (1, 1)
    home.work(10, 3)
    second = back_up(data / "newsmill.sqlite", data / "archive", copy)
    assert (second.segments, second.new) == (2, 1), "a segment never changes, so it is copied once"
    home.work(20, 3)  # after the backup: not in it
    restored = Home(f"sqlite:///{copy / 'newsmill.sqlite'}", copy / "archive")
    assert restored.documents.count() == 6
    assert [len(list_live_processes(store.engine, now=NOON)) for store in (home, restored)] == [1, 0], "nothing runs on a copy"
    assert restored.finish() == 8
    restored.check()
    assert restored.ledger.progress.count().outcomes == {Outcome.STORED: 8}
    for store in (home, restored):
        store.engine.dispose()


def test_a_page_that_was_taken_down_leaves_the_next_backup(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    home = Home(f"sqlite:///{data / 'newsmill.sqlite'}", data / "archive")
    home.work(0, 3)
    (file,) = (data / "archive").rglob("*.warc.gz")
    os.utime(file, (file.stat().st_mtime - 3600,) * 2)  # it was written an hour ago
    assert back_up(data / "newsmill.sqlite", data / "archive", copy).new == 1
    app = build_context(home.engine, str(data / "archive"), now=lambda: after(hours=1))
    app.takedowns.add(["https://paper.example/1"], "letter 23", now=app.now())
    assert app.takedowns.erase(app.archive, now=app.now()).pages == 1
    assert back_up(data / "newsmill.sqlite", data / "archive", copy).new == 1
    assert back_up(data / "newsmill.sqlite", data / "archive", copy).new == 0
    (copied,) = (copy / "archive").rglob("*.warc.gz")
    assert (copied.read_bytes() == file.read_bytes(), b"paper.example/1" in gzip.decompress(copied.read_bytes())) == (True, False)
    home.engine.dispose()


def test_a_part_of_the_archive_may_be_on_another_disk(tmp_path: Path) -> None:
    data, year = tmp_path / "data", tmp_path / "data" / "archive" / "segments" / f"{NOON:%Y}"
    home = Home(f"sqlite:///{data / 'newsmill.sqlite'}", data / "archive")
    home.work(0, 3)
    year.rename(tmp_path / "disk")
    year.symlink_to(tmp_path / "disk")
    home.finish()
    home.check()
    assert back_up(data / "newsmill.sqlite", data / "archive", tmp_path / "copy").new == 1
    restored = Home(f"sqlite:///{tmp_path / 'copy' / 'newsmill.sqlite'}", tmp_path / "copy" / "archive")
    restored.check()
    for store in (home, restored):
        store.engine.dispose()


def test_a_killed_process_leaves_no_log_beside_the_next_backup(tmp_path: Path) -> None:
    """The copy is a store. SQLite would apply the log of its last user to the copy that replaces it."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    home = Home(f"sqlite:///{data / 'newsmill.sqlite'}", data / "archive")
    home.work(0, 3)
    back_up(data / "newsmill.sqlite", data / "archive", copy)
    restored = Home(f"sqlite:///{copy / 'newsmill.sqlite'}", copy / "archive")
    with pytest.raises(ServiceError, match="in use"):
        back_up(data / "newsmill.sqlite", data / "archive", copy)
    restored.finish()
    log = (copy / "newsmill.sqlite-wal").read_bytes()  # as a kill leaves it
    restored.engine.dispose()
    home.work(10, 3)
    for old in ((copy / "newsmill.sqlite").read_bytes(), b"damaged" * 1000):
        (copy / "newsmill.sqlite").write_bytes(old)
        (copy / "newsmill.sqlite-wal").write_bytes(log)
        back_up(data / "newsmill.sqlite", data / "archive", copy)
        assert {path.name for path in copy.iterdir()} == {"archive", "newsmill.sqlite"}
    updated = Home(f"sqlite:///{copy / 'newsmill.sqlite'}", copy / "archive")
    assert updated.finish() == 8
    updated.check()
    for store in (home, updated):
        store.engine.dispose()


def test_a_backup_while_others_write_is_whole(tmp_path: Path) -> None:
    """A writer's open transaction is neither waited for nor copied."""
    data = tmp_path / "data"
    home = Home(f"sqlite:///{data / 'newsmill.sqlite'}", data / "archive")
    home.work(0, 2)
    with database.writing(home.engine) as conn:
        conn.exec_driver_sql("UPDATE documents SET title = 'half done'")
        back_up(data / "newsmill.sqlite", data / "archive", tmp_path / "copy")
    restored = Home(f"sqlite:///{tmp_path / 'copy' / 'newsmill.sqlite'}", tmp_path / "copy" / "archive")
    assert {document.title for document in restored.documents.iterate()} != {"half done"}
    restored.finish()
    restored.check()
    for store in (home, restored):
        store.engine.dispose()


@pytest.mark.slow
def test_a_postgres_dump_and_the_archive_are_everything(postgres_url: str, tmp_path: Path) -> None:
    """The way of docs/guides/operating.md: pg_dump first, then the archive; pg_restore into an empty database."""
    old, new = services.make_database(postgres_url, "newsmill_old"), services.make_database(postgres_url, "newsmill_new")
    home = Home(old, tmp_path / "archive")
    home.work(0, 3)
    dump = tmp_path / "newsmill.dump"
    programs = services.find_binaries()
    subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, old], check=True)
    subprocess.run(["cp", "-a", tmp_path / "archive", tmp_path / "restored"], check=True)
    home.work(10, 3)
    subprocess.run([programs / "pg_restore", "--no-owner", "-d", new, dump], check=True)
    restored = Home(new, tmp_path / "restored")
    assert restored.finish() == 4
    restored.check()
    for store in (home, restored):
        store.engine.dispose()
