"""The documents of a past moment are those that the store had then, whatever was done to them since."""

from __future__ import annotations

import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rows import NOON, SITE, SOURCE, Mill, after, document_of, ended, good, insert_pages, links
from sqlalchemy import JSON, Engine, TypeDecorator, select, text, update
from strikes import kill_at_each_step
from struck import freeze_store

from newsmill.exceptions import ConfigError, ServiceError
from newsmill.model import Author, Outcome
from newsmill.search.indexer import index_pending
from newsmill.search.search import Search
from newsmill.storage import database, frozen_stores, past_documents, schema_version
from newsmill.storage.changes import remove
from newsmill.storage.database import reading, writing
from newsmill.storage.doctor import CHECKS
from newsmill.storage.documents import DOCUMENT_COLUMNS, from_row
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.schema import documents, past_limits
from newsmill.storage.schema import ledger as ledger_rows
from newsmill.storage.schema import past_documents as past_rows
from newsmill.storage.storing_order import find_horizon, make_stamp
from newsmill.text import urls

EDITS = int(os.environ.get("NEWSMILL_TEST_EDITS", "60"))
MOMENTS = 50 if EDITS >= 1000 else 10
URL = f"{SITE}/1"
QUERIES = ("harbour", "bridge1 OR storm2", "title:museum", "strike -budget3", "lang:de", "before:2026-12-24", "section:storm")
TOPICS = ("harbour", "bridge", "election", "storm", "museum", "railway", "budget", "strike")

Rows = dict[str, tuple[Any, ...]]  # by id


class Publisher:
    """A site that edits, moves and removes its articles at random, and a store that follows it."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.mill, self.random = engine, Mill(Ledger(engine)), random.Random(seed)
        self.mill.ledger.sources.put(SOURCE, now=NOON)
        self.mill.lease()
        self.articles: dict[int, dict[str, Any]] = {}

    def change(self) -> None:
        self.mill.now += timedelta(minutes=self.random.randrange(1, 90))
        actions = {
            self.edit: 8, self.revisit: 4, self.extract: 3, self.go: 2, self.merge: 2, self.take_down: 0.4, self.rename: 0.2,
            self.migrate: 0.3, self.forget: 0.1,
        }  # fmt: skip
        self.random.choices([*actions], [*actions.values()])[0]()

    def edit(self) -> None:
        number = self.random.randrange(12)
        topic = TOPICS[number % len(TOPICS)]
        text = " ".join(f"{topic}{self.random.randrange(9)} {word}" for word in TOPICS)
        # of two documents of one second, that which was indexed first is listed first
        published = {"published_at": NOON - timedelta(hours=number + 1), "published_precision": "second"}
        self.articles[number] = {"title": f"The {topic}", "text": text, "confidence": 0.9} | published
        self._show(number)

    def revisit(self) -> None:
        if self.articles:
            number = self.random.choice([*self.articles])
            changed = {"confidence": self.random.choice((0.91, 0.92, 1 / 3)), "authors": (Author(self.random.choice(("Ann", "Ben"))),)}
            self.articles[number] |= changed | {"fetched_at": self.mill.now}
            self._show(number)

    def merge(self) -> None:
        """Let a page name the URL of another one as its canonical URL."""
        if len(self.articles) > 1:
            first, second = self.random.sample([*self.articles], 2)
            self._show(first, f"{SITE}/{second}")

    def extract(self) -> None:
        stored = self._list_stored()
        if not stored:
            return
        url = self.random.choice(stored)
        self.mill.ledger.retries.retry(urls=[url], now=self.mill.now)
        with reading(self.engine) as conn:
            segment = conn.execute(select(ledger_rows.c.segment).where(ledger_rows.c.url == url)).scalar_one()
        for claim in self.mill.claim(segment) if segment else ():
            changed = {"extractor": f"newsmill {self.random.randrange(9)}", "section": self.random.choice(TOPICS)}
            document = document_of(claim.url, archive_ref=None, **self.articles[int(claim.url.rpartition("/")[2])] | changed)
            self.mill.store(good(claim, document))

    def go(self) -> None:
        if self.articles:
            url = f"{SITE}/{self.random.choice([*self.articles])}"
            self.mill.ledger.links.add([link for link in links(12) if link.url == url], now=self.mill.now, again=True)
            rows = [row for row in self.mill.lease() if row.url == url]
            self.mill.ledger.url_endings.end([ended(row, Outcome.GONE, "HTTP 404") for row in rows], now=self.mill.now)

    def take_down(self) -> None:
        if stored := self._list_stored():
            Takedowns(self.engine).add([self.random.choice(stored)], "a letter", now=self.mill.now)

    def rename(self) -> None:
        old, new = ("paper", "gazette") if self.random.random() < 0.5 else ("gazette", "paper")
        SourceChanges(self.engine)._rename_documents(old, new, self.mill.now)

    def migrate(self) -> None:
        """As a migration that changes a field of every document."""
        with writing(self.engine) as conn:
            values = {"language": self.random.choice(("cs", "de", "fr")), "changed_at": make_stamp(conn, self.mill.now)}
            conn.execute(update(documents).values(**values))

    def forget(self) -> None:
        SourceChanges(self.engine)._remove_documents("gazette", self.mill.now)

    def _show(self, number: int, canonical: str | None = None) -> None:
        url = f"{SITE}/{number}"
        self.mill.ledger.links.add([link for link in links(12) if link.url == url], now=self.mill.now, again=True)
        for row in self.mill.lease():
            if row.url == url:
                for claim in self.mill.claim(self.mill.save([row])):
                    document = document_of(url, canonical, archive_ref=None, **self.articles[number])
                    self.mill.store(good(claim, document))

    def _list_stored(self) -> list[str]:
        with reading(self.engine) as conn:
            found = conn.execute(select(ledger_rows.c.url).join(documents, documents.c.ledger_id == ledger_rows.c.id))
            return sorted(found.scalars())


def read_now(engine: Engine) -> Rows:
    with reading(engine) as conn:
        rows = conn.execute(select(*DOCUMENT_COLUMNS, documents.c.stored_at))
        return {row.id: _freeze(dict(row._mapping)) for row in rows}


def read_past(engine: Engine, at: datetime) -> Rows:
    return {row["id"]: _freeze(row) for batch in past_documents.iterate_at(engine, at) for row in batch}


def _freeze(row: dict[str, Any]) -> tuple[Any, ...]:
    return from_row(row), row["stored_at"]  # type: ignore[arg-type]


def search_all(engine: Engine) -> dict[str, list[str]]:
    """The matches of each query, newest first."""
    return {query: Search(engine).find_ids(query, limit=100, order="newest")[0] for query in QUERIES}


def test_every_moment_of_the_past_stays_as_it_was(engine: Engine, tmp_path: Path) -> None:
    publisher = Publisher(engine, seed=40)
    frozen: dict[datetime, Rows] = {}
    matches: dict[datetime, dict[str, list[str]]] = {}
    for number in range(1, EDITS + 1):
        publisher.change()
        if number % (EDITS // MOMENTS) == 0:
            with reading(engine) as conn:
                at = find_horizon(conn)
            if at > NOON:
                while index_pending(engine):
                    pass
                at = past_documents.settle(engine, at, now=publisher.mill.now)
                frozen[at], matches[at] = read_now(engine), search_all(engine)
    assert len(frozen) > MOMENTS // 2
    for at, expected in frozen.items():
        taken_down = {one.id for one in past_documents.list_taken_down(engine, at)}
        found = read_past(engine, at)
        assert found == {one: row for one, row in expected.items() if one not in taken_down}, at
        past = frozen_stores.freeze(engine, tmp_path / "past", at, with_index=True)
        expected_matches = {query: [one for one in ids if one not in taken_down] for query, ids in matches[at].items()}
        assert search_all(past) == expected_matches, at
        past.dispose()
    assert any(ids for found_then in matches.values() for ids in found_then.values())
    with reading(engine) as conn:
        (check,) = (one for one in CHECKS if one.check == "past")
        assert conn.execute(text(check.query)).all() == []


def test_no_column_of_a_document_is_missing_from_its_past(engine: Engine) -> None:
    """A migration that adds a column to `documents` has to call past_triggers.create."""
    insert_pages(engine, document_of(URL))
    with writing(engine) as conn:
        before = conn.execute(select(*(documents.c[name] for name in past_documents.VERSION_COLUMNS))).mappings().one()
        others: dict[Any, Any] = {
            bool: True,
            int: 77,
            float: 0.7,
            datetime: NOON + timedelta(days=9),
            str: "other",
            list: ["x"],
            dict: {"x": "y"},
        }
        for name in past_documents.VERSION_COLUMNS:
            kind = documents.c[name].type.impl if isinstance(documents.c[name].type, TypeDecorator) else documents.c[name].type
            conn.execute(update(documents).values({name: others[type(before[name]) if isinstance(kind, JSON) else kind.python_type]}))
        conn.execute(documents.update().values(stored_at=NOON + timedelta(days=10)))
    with reading(engine) as conn:
        changed = [row.changed for row in conn.execute(select(past_rows).order_by(past_rows.c.number))]
        assert changed == [f"{name}," for name in (*past_documents.VERSION_COLUMNS, "stored_at")]
        assert past_documents.read_at(conn, [document_of(URL).id], NOON + timedelta(hours=1)) == [{"id": document_of(URL).id, **before}]


def test_a_takedown_deletes_the_past_of_every_document_at_the_url(engine: Engine) -> None:
    """Also of one that was removed with its source, and of one whose id another article has now."""
    mill = Mill(Ledger(engine))
    mill.ledger.sources.put(SOURCE, now=NOON)
    mill.lease()  # the listings
    mill.store(*map(good, mill.fetch(*links(3))))
    with writing(engine) as conn:
        stamp = make_stamp(conn, NOON + timedelta(days=1))
        moved = {"url": f"{SITE}/new", "requested_url": f"{SITE}/new", "text": "Another article.", "stored_at": stamp}
        conn.execute(update(documents).where(documents.c.id == urls.make_key(f"{SITE}/1")).values(moved))
        remove(conn, [urls.make_key(f"{SITE}/2")], NOON + timedelta(days=2))
        conn.execute(update(documents).where(documents.c.id == urls.make_key(f"{SITE}/0")).values(text="short", stored_at=stamp))
    ids = [urls.make_key(f"{SITE}/{number}") for number in range(3)]
    now = NOON + timedelta(days=5)
    Takedowns(engine).add([f"{SITE}/0", f"{SITE}/2"], "a letter", now=now)
    with writing(engine) as conn:
        past_documents.take_down(conn, [], {urls.make_key(f"{SITE}/1")}, "another letter")
        assert conn.execute(select(past_rows.c.document_id)).all() == []
    reasons = {ids[0]: "a letter", ids[1]: "another letter", ids[2]: "a letter"}
    for at, listed in ((NOON, ids), (NOON + timedelta(days=1), [ids[0], ids[2]]), (NOON + timedelta(days=3), [ids[0]]), (now, [])):
        expected = [(one, reasons[one]) for one in sorted(listed)]
        assert [(one.id, one.reason) for one in past_documents.list_taken_down(engine, at)] == expected
        gone = {ids[2]} if at > NOON + timedelta(days=2) else set()  # it was removed, and is no loss of later times
        assert read_past(engine, at).keys() == set(ids) - set(listed) - gone - ({ids[0]} if at == now else set())


@pytest.mark.parametrize("discards_first", [False, True])
def test_a_takedown_leaves_no_file_of_a_store_that_is_being_made(discards_first: bool, engine: Engine, tmp_path: Path) -> None:
    """Whether its files are deleted before the store is finished or only committed by then; nor those of a killed process."""
    insert_pages(engine, *(document_of(f"{SITE}/{number}") for number in range(2)))
    at = past_documents.settle(engine, None, now=NOON)
    folder = tmp_path / "past"
    frozen_stores.freeze(engine, folder, at, with_index=False).dispose()
    (store,) = folder.glob("*.db")
    unfinished = [f"{store.stem}-{name}.part" for name in ("old", "new")]
    for name in ("another.db", "another.part-wal", *unfinished):
        (folder / name).touch()
    os.utime(folder / unfinished[0], (0, time.time() - frozen_stores.MAX_PAUSE_SECONDS - 1))
    frozen_stores.freeze(engine, folder, at, with_index=False).dispose()
    assert {one.name for one in folder.iterdir()} == {store.name, f"{store.name}-lock", unfinished[1]}
    store.unlink()

    def take_down(what: str, more: int) -> None:
        Takedowns(engine).add([f"{SITE}/0"], "a letter", now=NOON)
        if discards_first:
            frozen_stores.remove_outdated(engine, folder)

    with pytest.raises(ServiceError, match="documents were taken down while a store of the past was made"):
        frozen_stores.freeze(engine, folder, at, with_index=True, on_progress=take_down)
    assert not list(folder.glob("*.db*"))
    frozen_stores.remove_outdated(engine, folder)
    assert not list(folder.iterdir())


def test_times_of_which_the_store_knows_nothing(engine: Engine) -> None:
    settle = past_documents.settle
    with pytest.raises(ConfigError, match="the store had no document at"):
        settle(engine, NOON, now=NOON)
    insert_pages(engine, replace(document_of(URL), fetched_at=NOON))
    later = NOON + timedelta(days=1)
    with pytest.raises(ConfigError, match="the store had no document at"):
        settle(engine, NOON - timedelta(seconds=1), now=NOON)
    with pytest.raises(ConfigError, match="is in the future"):
        settle(engine, later, now=NOON)
    assert settle(engine, None, now=NOON) == NOON
    assert settle(engine, later, now=later) == later
    with writing(engine) as conn:
        assert make_stamp(conn, NOON) > later  # although the clock was set back
        conn.execute(update(past_limits).values(began_at=later))
    with pytest.raises(ConfigError, match="an older program replaced versions; choose 2026-11-26"):
        settle(engine, NOON, now=later)


@pytest.mark.slow
def test_of_two_that_make_a_store_at_once_one_waits(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    insert_pages(engine, *(document_of(f"{SITE}/{number}", title="The harbour") for number in range(3)))
    at = past_documents.settle(engine, None, now=NOON)
    make, made, is_begun, goes_on = frozen_stores._make, list[Path](), Event(), Event()

    def wait(engine: Engine, path: Path, at: datetime, on_progress: frozen_stores.OnProgress) -> None:
        made.append(path)
        is_begun.set()
        assert goes_on.wait(30)
        make(engine, path, at, on_progress)

    monkeypatch.setattr(frozen_stores, "_make", wait)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(frozen_stores.freeze, engine, tmp_path / "past", at, with_index=True)
        assert is_begun.wait(30)
        second = pool.submit(frozen_stores.freeze, engine, tmp_path / "past", at, with_index=True)
        with pytest.raises(TimeoutError):
            second.result(0.5)
        goes_on.set()
        frozen = [future.result(30) for future in (first, second)]
    assert len(made) == 1
    for one in frozen:
        assert Search(one).search("title:harbour", limit=9).total == 3
        one.dispose()


def test_a_kill_while_a_store_is_made_leaves_no_half_of_it(tmp_path: Path) -> None:
    source, folder = f"sqlite:///{tmp_path / 'newsmill.sqlite'}", tmp_path / "past"
    engine = database.connect(source)
    schema_version.upgrade(engine)
    insert_pages(engine, *(document_of(f"{SITE}/{number}", text=f"{TOPICS[number]} news", published_at=NOON) for number in range(8)))
    at = past_documents.settle(engine, None, now=after(hours=24))
    expected = {f"{SITE}/{number}" for number in range(8)}
    states = set()
    for _ in kill_at_each_step(freeze_store, {"url": source, "folder": str(folder)}, tmp_path / "log", every=12):
        states.add(tuple(sorted(path.suffix for path in folder.glob("*") if "-" not in path.suffix)))
        past = frozen_stores.freeze(engine, folder, at, with_index=True)
        with reading(past) as conn:
            assert set(conn.execute(select(documents.c.url)).scalars()) == expected
        assert [len(Search(past).find_ids(f"{topic} news", limit=9)[0]) for topic in TOPICS] == [1] * 8
        past.dispose()
        shutil.rmtree(folder)
    assert len(states) >= 2, "before the store is there, and after"
