"""`doctor` finds each kind of trouble, mends what it says it mends, and has nothing to say about a sound store at work."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from rows import NOON, SITE, after, bad, good, links, page_of
from sqlalchemy import Engine, text

from newsmill.archive.archive import Archive
from newsmill.model import ClaimedPage, Outcome, State
from newsmill.storage import copy_groups
from newsmill.storage.database import writing
from newsmill.storage.doctor import Doctor, Finding
from newsmill.storage.ledger import Fetched, Ledger

LATER = after(hours=2)


class Store:
    """A store with six articles: three stored, one refused by the reader, one in a worker's hands, one due."""

    def __init__(self, engine: Engine, ledger: Ledger, folder: Path) -> None:
        self.engine, self.ledger, self.folder = engine, ledger, folder
        self.archive = Archive(str(folder))
        self.doctor = Doctor(engine, ledger, self.archive)
        ledger.links.add(links(6), now=NOON)
        self.claims = self._fetch(5)
        results = [*(good(claim) for claim in self.claims[:3]), bad(self.claims[3], Outcome.NOT_ARTICLE)]
        ledger.results.store(results, now=NOON, owner="worker", seconds=60)

    def _fetch(self, count: int) -> list[ClaimedPage]:
        self.ledger.hosts.lease("crawler", limit=1, seconds=60, now=NOON)
        leased_rows = self.ledger.url_leases.lease("paper.example", "crawler", limit=count, seconds=60, now=NOON)
        self.segment = self.archive.write([page_of(row.url) for row in leased_rows], now=NOON)
        rows = [Fetched(row.id, row.fence, offset, row.url, 200) for row, offset in zip(leased_rows, self.segment.offsets, strict=True)]
        self.ledger.url_leases.save_segment(self.segment, rows, now=NOON)
        return self.ledger.claims.claim(self.segment.id, "worker", seconds=60, now=NOON)

    def sql(self, statement: str, **values: object) -> None:
        with writing(self.engine) as conn:
            conn.execute(text(statement), values)

    def file(self) -> Path:
        return next(self.folder.rglob(f"{self.segment.id}.warc.gz"))

    def look(self, **options: bool) -> dict[str, Finding]:
        return {finding.check: finding for finding in self.doctor.examine(now=NOON, **options)}


@pytest.fixture
def store(engine: Engine, ledger: Ledger, tmp_path: Path) -> Store:
    return Store(engine, ledger, tmp_path / "archive")


def test_a_sound_store_at_work_gives_no_findings(store: Store) -> None:
    assert store.look(deep=True) == {}
    assert store.look(repair=True) == {}


def lease_forgotten(store: Store) -> None:
    store.sql("UPDATE ledger SET lease_until = NULL WHERE state = 'processing'")


def next_year(store: Store) -> None:
    store.ledger.retries.retry(now=after(days=365), outcome=Outcome.NOT_ARTICLE, refetch=True)


def host_next_year(store: Store) -> None:
    store.ledger.hosts.pause("paper.example", "crawler", until=after(days=365), failures=1, now=NOON)


def no_offset(store: Store) -> None:
    store.sql("UPDATE ledger SET \"offset\" = 99999999 WHERE state = 'processing'")


def document_gone(store: Store) -> None:
    store.sql("DELETE FROM documents WHERE url = :url", url=store.claims[1].url)


def damaged(store: Store) -> None:
    store.ledger.results.store([bad(store.claims[4], Outcome.ARCHIVE_DAMAGED)], now=NOON, owner="worker", seconds=60)


def miscounted(store: Store) -> None:
    store.sql("UPDATE counts SET n = n + 5 WHERE outcome = 'stored'")
    store.sql("DELETE FROM counts WHERE outcome = 'found'")


def orphan(store: Store) -> None:
    lost = store.archive.write([page_of(f"{SITE}/lost")], now=NOON)
    for path in (next(store.folder.rglob(f"{lost.id}*")), store.file().with_name("half.warc.gz.tmp")):
        path.touch()
        os.utime(path, (NOON.timestamp() - 7200,) * 2)


def unindexed(store: Store) -> None:
    store.sql("DELETE FROM search_entries")
    store.sql("DELETE FROM search_pending")


def ungrouped(store: Store) -> None:
    copy_groups.catch_up(store.engine)
    store.sql("UPDATE copy_groups SET group_id = 999 + ledger_id")


def untold(store: Store) -> None:
    copy_groups.catch_up(store.engine)
    store.sql("DELETE FROM stories_due")


def miscounted_story(store: Store) -> None:
    values = "(1, 0, 0, 2, 2, 1, NULL), (2, 0, 0, 0, 0, 0, 99)"
    store.sql(f"INSERT INTO stories (id, first_second, last_second, documents, texts, sources, merged_into) VALUES {values}")


MENDED: list[tuple[str, Callable[[Store], None], int]] = [
    ("dead_lease", lease_forgotten, 1),
    ("far_future", next_year, 1),
    ("host_asleep", host_next_year, 1),
    ("no_segment", no_offset, 1),
    ("no_document", document_gone, 1),
    ("archive_damaged", damaged, 1),
    ("counts", miscounted, 2),
    ("not_indexed", unindexed, 3),
    ("copies", ungrouped, 3),
    ("stories", untold, 3),
    ("story_counts", miscounted_story, 2),
    ("orphan_file", orphan, 2),
]


@pytest.mark.parametrize(("check", "spoil", "count"), MENDED, ids=[check for check, _, _ in MENDED])
def test_what_is_found_is_mended(store: Store, check: str, spoil: Callable[[Store], None], count: int) -> None:
    spoil(store)
    found = store.look()
    assert {name: finding.count for name, finding in found.items()} == {check: count}
    assert found[check].remedy is not None
    assert not found[check].repaired
    mended = store.look(repair=True)
    assert mended.keys() == {check}
    assert mended[check].repaired
    assert store.look(deep=True) == {}


def test_a_mended_row_is_worked_on_again(store: Store) -> None:
    no_offset(store)
    store.look(repair=True)
    trace = store.ledger.traces.get(store.claims[4].url)
    assert trace is not None
    assert (trace.state, trace.segment) == (State.DUE, None)
    assert store.ledger.results.store([good(store.claims[4])], now=NOON, owner="worker", seconds=60) == {}, (
        "its late worker changes nothing"
    )


def test_a_forgotten_death_is_still_counted(store: Store) -> None:
    store.ledger.claims.mark_in_progress(store.claims[4], now=NOON)
    lease_forgotten(store)
    store.look(repair=True)
    (claim,) = store.ledger.claims.claim(store.segment.id, "other", seconds=60, now=LATER)
    assert claim.crashes == 1


def test_pages_that_wait_in_a_lost_archive_are_fetched_again(store: Store) -> None:
    store.file().unlink()
    found = store.look(repair=True)
    assert found.keys() == {"segment_missing", "page_missing"}
    assert (found["page_missing"].examples, found["page_missing"].repaired) == ((store.claims[4].url,), True)
    trace = store.ledger.traces.get(store.claims[4].url)
    assert trace is not None
    assert (trace.state, trace.segment) == (State.DUE, None)
    assert store.look().keys() == {"segment_missing"}


def file_gone(store: Store) -> None:
    store.ledger.results.store([bad(store.claims[4], Outcome.NOT_ARTICLE)], now=NOON, owner="worker", seconds=60)
    store.file().unlink()


def file_cut(store: Store) -> None:
    with store.file().open("r+b") as file:
        file.truncate(200)


def document_disowned(store: Store) -> None:
    store.sql("UPDATE ledger SET document_id = NULL WHERE url = :url", url=store.claims[1].url)


def state_and_outcome(store: Store) -> None:
    store.sql("UPDATE ledger SET state = 'failed' WHERE outcome = 'not_article'")


FOR_A_PERSON: list[tuple[str, Callable[[Store], None]]] = [
    ("segment_missing", file_gone),
    ("segment_length", file_cut),
    ("unowned_document", document_disowned),
    ("state", state_and_outcome),
]


@pytest.mark.parametrize(("check", "spoil"), FOR_A_PERSON, ids=[check for check, _ in FOR_A_PERSON])
def test_what_needs_a_person_is_only_told(store: Store, check: str, spoil: Callable[[Store], None]) -> None:
    spoil(store)
    assert check in store.look()
    assert not store.look(repair=True)[check].repaired


def test_damage_inside_a_segment_is_found_by_reading_it(store: Store) -> None:
    with store.file().open("r+b") as file:
        file.seek(store.segment.offsets[1] + 20)
        file.write(b"\0" * 40)
    assert store.look() == {}
    found = store.look(deep=True)["page_unreadable"]
    assert (found.count, found.examples[0].split(": ")[0]) == (1, store.claims[1].url)


def test_rows_that_point_nowhere_are_named(store: Store, url: str) -> None:
    if not url.startswith("sqlite"):  # Postgres never lets its guard down
        return
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:  # foreign keys are off by default
        connection.execute("DELETE FROM segments")
    connection.close()
    assert store.look()["foreign_key"].count == 5
