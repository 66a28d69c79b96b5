"""Parquet as DuckDB, pandas, polars and Hugging Face datasets read it: the same rows, with types and not with text."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from rows import FULL

from newsmill.exceptions import ConfigError
from newsmill.exports.formats import find_format
from newsmill.model import Document

DOCUMENTS = [
    replace(FULL, published_day="2026-11-25"),
    replace(
        FULL, id="1" * 32, published_at=None, authors=(), tags=(), images=(), live_updates=(), rights={}, is_free=None, confidence=None
    ),
]
AT = datetime(2026, 11, 24, 23, 59, 59, 123456, UTC)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "part-00001.parquet"
    with path.open("wb") as file:
        find_format("parquet").write(file, DOCUMENTS)
    return path


def test_duckdb(path: Path) -> None:
    import duckdb

    conn = duckdb.connect()
    conn.execute("SET TimeZone = 'UTC'")
    rows = conn.execute(f"SELECT id, epoch_us(published_at), authors[1].name, len(tags), published_day, is_free FROM '{path}'").fetchall()
    assert rows == [("0" * 32, int(AT.timestamp() * 1e6), "Ann", 2, date(2026, 11, 25), False), ("1" * 32, None, None, 0, None, None)]
    types = dict(conn.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{path}')").fetchall())
    assert list(types) == [*(field.name for field in fields(Document)), "doubtful"]
    assert types["published_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["authors"] == 'STRUCT("name" VARCHAR, "type" VARCHAR)[]'
    assert conn.execute(f"SELECT map_from_entries(rights)['tdm'] FROM '{path}' LIMIT 1").fetchone() == ("1",)


def test_the_newest_state_of_a_document_that_is_gone(tmp_path: Path) -> None:
    """The query of the guide. A document that is gone has the revision that it had before."""
    import duckdb

    states = (FULL, replace(FULL, revision=2), replace(FULL, revision=2, gone_at=AT), replace(FULL, id="1" * 32, gone_at=AT))
    states = (*states, replace(FULL, id="1" * 32), replace(FULL, id="1" * 32))
    for number, document in enumerate(states, 1):
        folder = tmp_path / "corpus" / "data" / f"by_day={number % 2}"  # a day that was corrected
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"part-{number:05}.parquet").open("wb") as file:
            find_format("parquet").write(file, [document])
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "search-and-export.md").read_text()
    query = guide.partition("```sql\n")[2].partition("```")[0].replace("corpus/", f"{tmp_path}/corpus/")
    rows = duckdb.sql(query).select("id, revision, gone_at IS NULL").fetchall()
    assert sorted(rows) == [("0" * 32, 2, False), ("1" * 32, 1, True)]


def test_pandas(path: Path) -> None:
    import pandas

    frame = pandas.read_parquet(path)
    assert str(frame.dtypes["published_at"]) == "datetime64[us, UTC]"
    assert frame["published_at"][0] == pandas.Timestamp(AT)
    assert frame["published_at"].isna().tolist() == [False, True]
    assert frame["authors"][0][0] == {"name": "Ann", "type": "person"}
    assert frame["word_count"].sum() == 4


def test_polars(path: Path) -> None:
    import polars

    frame = polars.read_parquet(path)
    assert frame.schema["published_at"] == polars.Datetime("us", "UTC")
    assert frame["published_at"].to_list() == [AT, None]
    assert frame["authors"].to_list()[0][1] == {"name": "Agency", "type": "organisation"}
    assert frame["live_updates"].to_list()[0][0]["at"] == FULL.live_updates[0].at


def test_hugging_face(path: Path, tmp_path: Path) -> None:
    import datasets  # type: ignore[import-untyped]

    found: Any = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path))
    assert found.num_rows == 2
    assert found[0]["published_at"] == AT
    assert found[0]["authors"][0]["name"] == "Ann"
    assert found[0]["text"] == FULL.text
    assert found.features["word_count"].dtype == "int64"


def test_without_pyarrow_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[parquet\]'"):
        find_format("parquet")
