"""`newsmill import` of what `newsmill export` wrote: messages, counts and exit codes."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from command_result import Newsmill
from rows import document_of

from newsmill import settings
from newsmill.exceptions import NewsmillError
from newsmill.exports.parquet import arrow_schema, write_parquet
from newsmill.intake.document_import import open_pool

SITE = "https://paper.example"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSMILL_DATA", "data")
    Path("parts").mkdir()
    with Path("parts/a.parquet").open("wb") as file:
        write_parquet(file, [document_of(f"{SITE}/{number}", text=f"The storm {number}") for number in range(3)])
    return tmp_path


def test_what_is_imported_is_found_and_exported_again(newsmill: Newsmill) -> None:
    assert newsmill("import", "parts").err == "3 documents stored\n"
    again = newsmill("import", "parts/a.parquet", "--json")
    assert {name: n for name, n in again.json.items() if n} == {"known": 3}
    assert len(newsmill("search", "storm", "--json").lines) == 3
    assert newsmill("export", "--format", "parquet", "-o", "b.parquet").code == 0
    assert {name: n for name, n in newsmill("import", "b.parquet", "--json").json.items() if n} == {"known": 3}


def test_files_that_cannot_be_imported_are_named_before_any_work(newsmill: Newsmill) -> None:
    Path("empty").mkdir()
    cases = (
        ("empty", "no file that ends in .parquet"),
        ("none", "none: no such file"),
        ("file:///none.parquet", "file:///none.parquet: no"),
    )
    for name, message in cases:
        done = newsmill("import", "parts", name)
        assert (done.code, message in done.err) == (2, True), done.err
    assert not Path("data").exists()


def test_files_that_break_are_named_and_the_others_are_stored(newsmill: Newsmill) -> None:
    Path("parts/_profiles").mkdir()
    Path("parts/_profiles/pages.parquet").write_bytes(b"of newsmill extract --learn")
    whole = Path("parts/a.parquet").read_bytes()
    for row, name in enumerate("bcd"):
        pyarrow.parquet.write_table(
            pyarrow.parquet.read_table("parts/a.parquet").slice(row, 1), f"parts/{name}.parquet", compression="none"
        )
    inside = bytearray(Path("parts/b.parquet").read_bytes())
    inside[4:40] = bytes(36)  # the first page's header; the footer is whole
    Path("parts/b.parquet").write_bytes(inside)
    Path("parts/c.parquet").write_bytes(whole[:-9])
    Path("parts/a.parquet").unlink()
    done = newsmill("import", "parts", "-p", "2", "--json")
    assert (done.code, {name: n for name, n in done.json.items() if n}) == (1, {"stored": 1, "unreadable": 2})
    assert [message for message in ("parts/b.parquet: cannot be read (", "parts/c.parquet: not a whole") if message not in done.err] == []
    assert done.err.splitlines()[-1] == "2 files could not be read to the end; the same command reads them again"
    Path("parts/b.parquet").unlink()
    Path("parts/c.parquet").write_bytes(whole)
    assert newsmill("import", "parts", "-p", "1").err.splitlines()[-1] == "2 documents stored, 2 already known"


def test_rows_that_no_worker_writes_are_counted_and_named(newsmill: Newsmill) -> None:
    noon, at = datetime(2026, 1, 1, 12, tzinfo=UTC).replace(tzinfo=None), pyarrow.timestamp("us", tz="UTC")
    link = {"type": "paragraph", "text": "x", "markup": {"links": [{"start": 0, "end": 1, "url": "javascript:x"}]}}
    columns = [
        ("rights", pyarrow.array([[("a", "b")]], pyarrow.map_(pyarrow.string(), pyarrow.string())), ""),
        ("provenance", pyarrow.array(["text"]), ""),
        ("fetched_at", pyarrow.array([noon], pyarrow.timestamp("us")), "fetched_at has no time zone"),
        ("fetched_at", pyarrow.array([datetime(9000, 1, 1, tzinfo=UTC)], at), "fetched_at is 9000-01-01"),
        ("modified_at", pyarrow.array([1 << 62], at), ""),
        ("gone_at", pyarrow.array([noon], pyarrow.timestamp("us", tz="No/Where")), ""),
        ("live_updates", pyarrow.array([[{"text": "x", "at": noon}]]), "live_updates has no time zone"),
        ("title", pyarrow.Array.from_buffers(pyarrow.string(), 1, pyarrow.array([b"\xff"]).buffers()), "utf-8"),
        ("published_day", pyarrow.array(["../.."]), "Invalid isoformat string"),
        ("published_day", pyarrow.array(["20260101"]), "published_day is not a day"),
        ("canonical_url", pyarrow.array(["javascript:x"]), "not an http(s) URL"),
        ("image", pyarrow.array(["data:x"]), "begins with none of"),
        ("blocks", pyarrow.array([[link]]), "begins with none of"),
        ("source", pyarrow.array(["../paper"]), "source is not the name of a source"),
        ("language", pyarrow.array(["en\nx"]), "language is not a language tag"),
        ("confidence", pyarrow.array([float("nan")]), "confidence is nan"),
    ]
    schema = arrow_schema()
    row = pyarrow.Table.from_pylist([document_of(f"{SITE}/bad").to_dict()], schema=schema)
    Path("bad").mkdir()
    for number, (name, values, _) in enumerate(columns):
        pyarrow.parquet.write_table(row.set_column(schema.get_field_index(name), name, values), f"bad/{number:02}.parquet")
    late = {"url": f"{SITE}/0", "at": datetime(2026, 12, 1, tzinfo=UTC), "outcome": "no_text", "detail": None}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([late]), "bad/late.parquet")  # of a page that has a document
    outcome = {"url": f"{SITE}/down", "at": noon.replace(tzinfo=UTC), "outcome": "no_text", "detail": None}
    outcomes = [outcome, outcome | {"url": 1}, outcome | {"at": noon}, outcome | {"outcome": ["x"]}, outcome | {"detail": [1]}]
    for number, one in enumerate(outcomes):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([one]), f"bad/outcome{number}.parquet")
    done = newsmill("import", "bad", "parts", "-p", "1", "--json")
    assert {name: n for name, n in done.json.items() if n} == {
        "stored": 3,
        "failed": 1,
        "known": 1,
        "invalid": len(columns) + len(outcomes) - 1,
    }
    for number, (_, _, message) in enumerate(columns):
        assert any(f"bad/{number:02}.parquet, row 0 of part 0: " in line and message in line for line in done.err.splitlines()), done.err


def test_a_killed_process_is_one_sentence_or_part_of_a_stop() -> None:
    with pytest.raises(NewsmillError, match="run the same command again"), open_pool(settings.load(), 1, lambda: False) as pool:
        pool.submit(os._exit, 1).result()
    with open_pool(settings.load(), 1, lambda: True) as pool:
        pool.submit(os._exit, 1).result()
