"""A row of an imported file is the statement of a stranger: it says nothing about another's documents, nor about this archive."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from rows import NOON, Mill, document_of, good
from sqlalchemy import Engine, select

from newsmill.context import build_context
from newsmill.exports.citation import cite
from newsmill.exports.parquet import arrow_schema, write_parquet
from newsmill.exports.parquet_reader import ParquetReader
from newsmill.extraction.document_identity import hash_text
from newsmill.intake.document_import import ImportedPart, ImportOptions, import_part, list_parts
from newsmill.model import Document, Link, Outcome, Source
from newsmill.storage.database import reading
from newsmill.storage.documents import Documents
from newsmill.storage.ledger.takedowns import Takedowns
from newsmill.storage.revisions import Revisions
from newsmill.storage.schema import ledger as ledger_rows
from newsmill.text.urls import make_key

NOW = NOON + timedelta(days=2)
HONEST, HOSTILE = "https://news.example/bridge", "https://hostile.example/bridge"
WORDS = " ".join(f"word{number}" for number in range(120))
READER = ParquetReader()
NO_OPTIONS = ImportOptions()


@pytest.fixture(scope="module", autouse=True)
def close_reader() -> Iterator[None]:
    yield
    READER.close()


def article(url: str, text: str = WORDS, **fields: object) -> Document:
    return document_of(url, **{"text": text, "source": None, "archive_ref": None, **fields})


def load(engine: Engine, folder: Path, found: Iterable[Document], options: ImportOptions = NO_OPTIONS) -> tuple[dict[str, int], str]:
    """Import a file of documents. Returns the counts that are not 0, and the sentences about its rows."""
    path = folder / "a.parquet"
    with path.open("wb") as file:
        write_parquet(file, found)
    app = build_context(engine, str(folder / "archive"), now=lambda: NOW)
    parts: list[ImportedPart] = [import_part(app, READER, part, options) for part in list_parts([str(path)])]
    return dict(+sum((part.counts for part in parts), Counter())), "\n".join(message for part in parts for message in part.messages)


def fetch(mill: Mill, document: Document) -> str:
    """Fetch and store a page. Returns the place of its record in the archive."""
    mill.ledger.links.add([Link(document.url)], now=mill.now)
    mill.lease(document.url.split("/")[2])
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, document))
    return f"{claim.segment}@{claim.offset}"


def read(engine: Engine, url: str) -> Document:
    found = Documents(engine).get(url)
    assert found is not None
    return found


@pytest.mark.parametrize("is_first", [True, False])
def test_a_row_names_no_record_of_another_url(engine: Engine, mill: Mill, tmp_path: Path, is_first: bool) -> None:
    """Read again from there, it would have the honest page, and a takedown of it would bar that one."""
    if not is_first:
        honest = fetch(mill, article(HONEST))
        assert load(engine, tmp_path, [article(HOSTILE, "Forged.", archive_ref=honest)])[0] == {"stored": 1}
    else:
        segment = f"20261125T120000Z-{1:08x}"  # that the next fetch will have
        assert load(engine, tmp_path, [article(HOSTILE, "Forged.", archive_ref=f"{segment}@0")])[0] == {"stored": 1}
        assert fetch(mill, article(HONEST)) == f"{segment}@0"
    assert read(engine, HOSTILE).archive_ref is None
    with reading(engine) as conn:
        row = conn.execute(select(ledger_rows).where(ledger_rows.c.url_key == make_key(HOSTILE))).one()
    assert (row.segment, row.offset) == (None, None)
    Takedowns(engine).add([HOSTILE], "a court", now=NOW)
    assert read(engine, HONEST).text == WORDS
    mill.ledger.retries.retry(urls=[HONEST], refetch=True, now=mill.now)
    mill.lease("news.example")
    (claim,) = mill.claim(mill.save())
    assert mill.store(good(claim, article(HONEST, f"{WORDS} and more")))[Outcome.STORED] == 1


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda one: replace(one, fetched_at=NOW), id="fetched now"),
        pytest.param(lambda one: replace(one, source="paper"), id="of a followed source"),
        pytest.param(lambda one: replace(one, requested_url=f"{HONEST}?utm_source=x"), id="at another spelling of the URL"),
        pytest.param(lambda one: replace(one, url=f"{HONEST}/amp", requested_url=f"{HONEST}/amp", canonical_url=HONEST), id="as AMP page"),
    ],
)
def test_a_row_replaces_no_document_that_was_fetched_here(
    engine: Engine, mill: Mill, tmp_path: Path, forge: Callable[[Document], Document]
) -> None:
    mill.ledger.sources.put(Source("paper", homepage="https://news.example/", discover=False), now=NOON)
    fetch(mill, article(HONEST, source="paper"))
    before = read(engine, HONEST)
    forged = forge(article(HONEST, f"{WORDS} forged", fetched_at=NOW - timedelta(hours=1)))
    counts, _ = load(engine, tmp_path, [forged])
    assert counts in ({"kept": 1}, {"duplicate": 1}), counts
    assert read(engine, HONEST) == before and Revisions(engine).get(before.id, 2) is None


def test_the_operator_may_let_an_import_replace(engine: Engine, mill: Mill, tmp_path: Path) -> None:
    fetch(mill, article(HONEST))
    corrected = article(HONEST, f"{WORDS} corrected", fetched_at=NOW)
    assert load(engine, tmp_path, [corrected])[0] == {"kept": 1}
    assert load(engine, tmp_path, [corrected], ImportOptions(replaces=True))[0] == {"changed": 1}
    assert read(engine, HONEST).text == corrected.text


@pytest.mark.parametrize("is_first", [True, False])
def test_a_row_replaces_no_document_of_another_source(engine: Engine, tmp_path: Path, is_first: bool) -> None:
    mine, theirs = article(HONEST, source="mine"), article(HONEST, f"{WORDS} forged", source="theirs", fetched_at=NOW)
    first, second = (theirs, mine) if is_first else (mine, theirs)
    second = replace(second, fetched_at=NOW)
    assert load(engine, tmp_path, [replace(first, fetched_at=NOON)])[0] == {"stored": 1}
    assert load(engine, tmp_path, [second])[0] == {"kept": 1}
    assert read(engine, HONEST).text == first.text
    assert load(engine, tmp_path, [replace(second, source=first.source)])[0] == {"changed": 1}, "a later text of the same source"


def test_a_row_belongs_to_no_source_of_another_site(engine: Engine, mill: Mill, tmp_path: Path) -> None:
    mill.ledger.sources.put(Source("paper", homepage="https://news.example/", discover=False), now=NOON)
    rows = [article(HOSTILE, "Forged.", source="paper"), article(HONEST, source="paper"), article(f"{HOSTILE}/2", source="theirs")]
    assert load(engine, tmp_path, rows)[0] == {"stored": 3}
    assert [read(engine, one.url).source for one in rows] == [None, "paper", "theirs"]
    assert load(engine, tmp_path, [article(f"{HOSTILE}/3", "Mine.", source="paper")], ImportOptions(is_own=True))[0] == {"stored": 1}
    assert read(engine, f"{HOSTILE}/3").source == "paper", "of an aggregator, for example"


def test_the_page_itself_replaces_what_a_row_said_of_it(engine: Engine, mill: Mill, tmp_path: Path) -> None:
    """A short article after a long forgery looks like "We will be right back", which replaces no document that was fetched."""
    assert load(engine, tmp_path, [article(HONEST, f"{WORDS} forged " * 20, title="Forged")])[0] == {"stored": 1}
    mill.now = NOW
    mill.ledger.retries.retry(urls=[HONEST], refetch=True, now=mill.now)
    mill.lease("news.example")
    (claim,) = mill.claim(mill.save())
    mill.store(good(claim, article(HONEST, "The council met.", title="The council", fetched_at=NOW)))
    assert read(engine, HONEST).text == "The council met."


def test_an_outcome_of_a_file_bars_no_url(engine: Engine, mill: Mill, tmp_path: Path) -> None:
    rows = [{"url": HONEST, "at": NOON, "outcome": outcome, "detail": "a court"} for outcome in ("takedown", "discarded")]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "outcomes.parquet")
    app = build_context(engine, str(tmp_path / "archive"), now=lambda: NOW)
    (part,) = list_parts([str(tmp_path / "outcomes.parquet")])
    assert +import_part(app, READER, part).counts == {"other": 2}
    fetch(mill, article(HONEST))
    assert read(engine, HONEST).text == WORDS


def test_digests_and_ids_follow_from_the_content(engine: Engine, tmp_path: Path) -> None:
    honest = article(HONEST)
    forged = replace(article(HOSTILE, "Forged."), id=honest.id, content_hash=honest.content_hash, word_count=9)
    assert load(engine, tmp_path, [forged])[0] == {"stored": 1}
    found = read(engine, HOSTILE)
    assert (found.id, found.content_hash, found.word_count) == (make_key(HOSTILE), hash_text(f"{found.title}\n\nForged."), 1)
    forgery, original = (cite([one], "", NOW, "0.1.0") for one in (replace(forged, url=honest.url), honest))
    assert forgery.digest != original.digest


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fetched_at", NOW + timedelta(seconds=1), "fetched_at is 2026-11-27T12:00:01+00:00, in the future"),
        ("first_seen_at", NOW + timedelta(hours=1), "first_seen_at is"),
        ("text_seen_at", NOW + timedelta(hours=1), "text_seen_at is"),
        ("gone_at", NOW + timedelta(hours=1), "gone_at is"),
        ("published_at", NOW + timedelta(days=2), "published_at is"),
        ("modified_at", datetime(2100, 1, 1, tzinfo=NOW.tzinfo), "modified_at is"),
        ("published_day", "2100-01-01", "published_day is 2100-01-01, in the future"),
        ("revision", 0, "revision is 0"),
        ("canonical_url", HONEST, "canonical_url is on another site than url"),
        ("tags", ("x" * 1_500_000, "y" * 1_500_000), "the cap is 2,000,000"),
        ("tags", ("",) * 2_000_001, "the cap is 2,000,000"),
    ],
)
def test_a_row_that_no_worker_writes_is_refused(engine: Engine, tmp_path: Path, name: str, value: object, message: str) -> None:
    counts, messages = load(engine, tmp_path, [replace(article(HOSTILE), **{name: value})])  # type: ignore[arg-type]
    assert counts == {"invalid": 1} and message in messages


@pytest.mark.parametrize("is_own", [True, False])
def test_a_text_is_first_seen_at_its_import_unless_the_operator_says_otherwise(engine: Engine, tmp_path: Path, is_own: bool) -> None:
    stated = NOON - timedelta(days=300)
    row = article(HOSTILE, first_seen_at=stated, fetched_at=stated, text_seen_at=stated)
    load(engine, tmp_path, [row], ImportOptions(is_own=is_own))
    assert read(engine, HOSTILE).text_seen_at == (stated if is_own else NOW)


READ = """
import re, resource, sys
from pathlib import Path
from datetime import UTC, datetime
from newsmill.exceptions import ConfigError
from newsmill.exports.parquet_reader import ParquetReader, list_row_groups
rows = 0
with ParquetReader() as reader:
    try:
        for part in list_row_groups(sys.argv[1]):
            for found in reader.read_documents(part, datetime(2026, 12, 1, tzinfo=UTC)):
                rows += len(found)
    except ConfigError as error:
        print(error, file=sys.stderr)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # ru_maxrss counts from before the exec
print(rows, peak >> 10, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("characters", "expected", "message"), [(1_900_000, 400, ""), (100_000_000, 0, "row 0 of part 0 cannot be read")])
def test_a_file_takes_no_more_memory_than_its_limit(tmp_path: Path, characters: int, expected: int, message: str) -> None:
    """400 equal texts, which are 30 kB of Parquet: read at once, they take gigabytes."""
    schema = arrow_schema()
    table = pyarrow.Table.from_pylist([article(f"{HOSTILE}/{number}", "x").to_dict() for number in range(400)], schema=schema)
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 400, pyarrow.int32()), ["word " * (characters // 5)])
    pyarrow.parquet.write_table(table.set_column(schema.get_field_index("text"), "text", texts), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 10_000_000
    done = subprocess.run([sys.executable, "-c", READ, tmp_path / "bomb.parquet"], capture_output=True, text=True, check=True)
    rows, ours, child = map(int, done.stdout.split())
    assert rows == expected and message in done.stderr, done.stderr
    assert ours < 400 and child < 900, "MB"


def test_a_footer_is_not_read_at_any_length(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100) + (1 << 30).to_bytes(4, "little") + b"PAR1")
    (part,) = list_parts([str(tmp_path / "a.parquet")])
    assert part.problem is not None and "a footer of 1,073,741,824 bytes" in part.problem
