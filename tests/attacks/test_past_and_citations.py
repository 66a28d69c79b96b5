"""What was taken down is served from no file of any machine, and a citation names one corpus only.

Two machines share a database: each has a data folder of its own.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from command_result import CommandResult, make_runner
from rows import SITE, SOURCE, Mill, after, document_of, good, links
from services import eventually, make_database
from shared_database import WITHOUT_TRIGGERS
from sqlalchemy import Engine, text, update

import newsmill as newsmill_package
from newsmill.exceptions import ServiceError
from newsmill.model import Kind
from newsmill.search import indexer
from newsmill.storage import clock, database
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import is_sqlite
from newsmill.storage.frozen_stores import format_time
from newsmill.storage.ledger import Ledger
from newsmill.storage.private_files import make_image_mark, make_image_name
from newsmill.storage.processes import Heartbeat
from newsmill.storage.schema import documents
from newsmill.storage.storing_order import find_horizon
from newsmill.text import urls

SECRET = "Kowalczyk"
URL = f"{SITE}/0"
MINUTE = 60  # seconds within which the processes of a machine erase what another one took down
LATER = 24 * 365  # hours, after the takedowns of the tests
UNSORTED = {"title": "json-ld", "authors": "dom", "published_at": "meta", "a": "b"}


def publish(engine: Engine, hours: int, *names: str) -> str:
    """Let the site show an article about each name, the first at URL. Returns the time of storing."""
    mill = Mill(Ledger(engine), now=after(hours=hours))
    mill.ledger.sources.put(SOURCE, now=mill.now)
    permitted = mill.lease()  # and the listings
    mill.ledger.links.add(links(len(names)), now=mill.now, again=True)
    results = []
    for claim in mill.claim(mill.save([row for row in (*permitted, *mill.lease()) if row.kind is Kind.PAGE])):
        number = int(claim.url.rpartition("/")[2])
        words = f"{names[number]} news of hour {hours}. " + " ".join(names[number] + str(word) for word in range(40))
        fields = {"title": f"The {names[number]}", "first_seen_at": after(minutes=number), "provenance": UNSORTED, "archive_ref": None}
        results.append(good(claim, document_of(claim.url, text=words, rights={"tdm": "1", "robots": "all"}, **fields)))
    mill.store(*results)
    while indexer.index_pending(engine):
        pass
    with reading(engine) as conn:
        return format_time(find_horizon(conn))


def at(hours: int) -> str:
    return format_time(after(hours=hours))


@dataclass(frozen=True)
class Machines:
    """Runs a command on a machine: `machines("a", "export")`."""

    folder: Path
    run: Callable[..., CommandResult]
    patch: pytest.MonkeyPatch

    def __call__(self, name: str, *arguments: str) -> CommandResult:
        self.patch.setenv("NEWSMILL_DATA", str(self.folder / name))
        (self.folder / name).mkdir(exist_ok=True)
        return self.run(*arguments)

    def take_down(self, name: str) -> None:
        done = self(name, "takedowns", "add", URL, "--reason", "letter 23", "--yes")
        assert done.code == 0, done.err

    def find(self, name: str, secret: str) -> list[str]:
        """The files of a machine that have a text."""
        found = []
        for path in (self.folder / name).rglob("*"):
            if path.is_file() and secret.encode() in path.read_bytes():
                found.append(path.name)
        return found


@pytest.fixture
def machines(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "200")
    return Machines(tmp_path, make_runner(capsys, monkeypatch), monkeypatch)


@contextmanager
def web(folder: Path) -> Iterator[None]:
    """A running `newsmill web` with this data folder."""
    command = [sys.executable, "-m", "newsmill.cli.main", "web", "--port", "0"]
    environment = os.environ | {"NEWSMILL_DATA": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and "http://" in process.stderr.readline()
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_takedown_reaches_the_files_of_another_machine_that_nobody_opens(engine: Engine, machines: Machines) -> None:
    publish(engine, 0, SECRET, "bridge")
    assert SECRET in machines("b", "export", SECRET, "--as-of", at(0)).out
    images = machines.folder / "b" / "images"
    images.mkdir()
    (images / make_image_name(f"{SITE}/{SECRET}.jpg")).write_bytes(SECRET.encode())
    (images / make_image_mark(f"{SITE}/{SECRET}.jpg", urls.make_key(URL))).touch()
    with web(machines.folder / "b"):
        machines.take_down("a")
        assert eventually(lambda: not machines.find("b", SECRET), MINUTE), machines.find("b", SECRET)
        assert "a machine erases its files of past times" in machines("a", "takedowns", "list").err
        assert eventually(lambda: "images: erased by the processes of" in machines("a", "takedowns", "list").err, MINUTE)
    assert not list(images.iterdir())


@pytest.mark.slow
def test_a_process_that_starts_later_applies_the_takedowns_before(engine: Engine, machines: Machines) -> None:
    publish(engine, 0, SECRET, "bridge")
    assert SECRET in machines("b", "export", "--as-of", at(0)).out
    machines.take_down("a")
    with web(machines.folder / "b"):
        assert eventually(lambda: not machines.find("b", SECRET), MINUTE), machines.find("b", SECRET)


def test_no_machine_is_said_to_have_erased_what_it_has_not(engine: Engine, machines: Machines) -> None:
    """A process of another machine is alive, and has not looked for takedowns, as one of an older version."""
    publish(engine, 0, SECRET, "bridge")
    Heartbeat(engine, role="web").beat(clock.read_clock(engine))
    for step in ("add", "erase", "list"):
        options = (URL, "--reason", "letter 23", "--yes") if step == "add" else ()
        assert "files of past times and images: not erased yet by the processes of" in machines("a", "takedowns", step, *options).err
    assert "takedowns: not applied yet to files of past times and images of" in machines("a", "status").out


def test_a_second_takedown_of_one_article_is_applied_as_the_first(engine: Engine, machines: Machines) -> None:
    """It was permitted between the two, and stored again."""
    publish(engine, 0, SECRET, "bridge")
    machines.take_down("a")
    assert machines("a", "takedowns", "remove", URL).code == 0
    again = publish(engine, LATER, SECRET, "bridge")
    assert SECRET in machines("b", "export", "--as-of", again).out
    machines.take_down("a")
    for query in ((), (SECRET,)):
        assert SECRET not in machines("b", "export", *query, "--as-of", again).out
    assert not machines.find("b", SECRET)


def test_an_open_corpus_of_the_past_serves_nothing_that_was_taken_down(engine: Engine, machines: Machines, url: str) -> None:
    publish(engine, 0, SECRET, "bridge")
    with newsmill_package.open(url) as corpus, corpus.as_of(after(hours=0)) as past:
        found = past.documents()
        assert SECRET in next(found).text
        copy = pickle.loads(pickle.dumps(past))  # as a process of multiprocessing gets it
        machines.take_down("a")
        for reader in (past, copy):
            for read in (lambda one: list(one.documents()), lambda one: one.search(SECRET), lambda one: one.document(URL)):
                with pytest.raises(ServiceError, match="taken down"):
                    read(reader)
        copy.close()
        with corpus.as_of(after(hours=0)) as again:
            assert [one.title for one in again.documents()] == ["The bridge"] and list(again.taken_down) == [urls.make_key(URL)]


def test_a_takedown_before_a_time_is_no_loss_of_that_time(engine: Engine, machines: Machines) -> None:
    publish(engine, 0, SECRET, "bridge", "harbour")
    machines.take_down("a")
    publish(engine, LATER, "ferry", "bridge", "harbour")
    for time, says in ((at(0), "1 document of that time taken down since"), (at(LATER), "")):
        cited = machines("a", "cite", "--as-of", time)
        for done in (cited, machines("a", "cite", "--verify", cited.out), machines("a", "export", "--as-of", time)):
            assert done.code == 0 and (says in done.err if says else "taken down" not in done.err), (time, done)
        folder = machines.folder / f"corpus-{len(says)}"
        assert machines("a", "export", "--as-of", time, "--to", str(folder)).code == 0
        assert len(json.loads((folder / "manifest.json").read_text())["taken_down"]) == bool(says)


FORGED: dict[str, Any] = {
    "url": "https://evil.example/0",
    "requested_url": "https://evil.example/0",
    "canonical_url": "https://evil.example/0",
    "authors": [{"name": "Mallory", "type": "person"}],
    "published_at": after(hours=-9000),
    "modified_at": after(hours=-9000),
    "first_seen_at": after(hours=-9000),
    "source": "evil",
    "text": "Forged.",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_field_of_a_corpus_is_found_by_its_citation(name: str, engine: Engine, machines: Machines) -> None:
    """The forger has the whole store, and changes one field without any trace."""
    publish(engine, 0, SECRET, "bridge")
    cited = machines("a", "cite", "--as-of", at(0)).out
    assert machines("a", "cite", "--verify", cited).code == 0
    with writing(engine) as conn:
        conn.execute(text("DROP TRIGGER past_changed" if is_sqlite(engine) else WITHOUT_TRIGGERS))
        conn.execute(update(documents).where(documents.c.id == urls.make_key(URL)).values({name: FORGED[name]}))
    shutil.rmtree(machines.folder / "a" / "past")
    done = machines("a", "cite", "--verify", cited)
    assert done.code == 1 and "digest: " in done.out, done


def test_a_copy_in_another_database_has_the_same_bytes(
    tmp_path: Path, sqlite_template: Path, postgres_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    shutil.copy(sqlite_template, tmp_path / "a" / "newsmill.sqlite")
    engine = database.connect(f"sqlite:///{tmp_path / 'a' / 'newsmill.sqlite'}")
    publish(engine, 0, SECRET, "bridge", "harbour")
    publish(engine, 5, "ferry", "bridge", "museum")
    engine.dispose()
    machines = Machines(tmp_path, make_runner(capsys, monkeypatch), monkeypatch)

    def export(name: str) -> dict[str, str]:
        found = {}
        for form in ("jsonl", "parquet", "csv", "jsonld"):
            for time in ((), ("--as-of", at(0)), ("--as-of", at(5), "bridge")):
                file = tmp_path / f"{name}-{form}-{len(found)}"
                assert machines(name, "export", "--format", form, "-o", str(file), *time).code == 0
                found[f"{form} {time}"] = sha256(file.read_bytes()).hexdigest()
        return found | {"cite": machines(name, "cite", "--as-of", at(0)).out}

    before = export("a")
    copy = make_database(postgres_url, "newsmill_copied_corpus")
    monkeypatch.setenv("DATABASE_URL", copy)
    assert machines("a", "db", "copy").code == 0
    assert export("b") == before
