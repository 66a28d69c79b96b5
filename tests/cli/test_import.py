"""`newsmill import` of what `newsmill export` wrote: messages, counts and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_result import Newsmill
from rows import document_of

from newsmill.exports.parquet import write_parquet

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
    Path("c.parquet").write_bytes(Path("parts/a.parquet").read_bytes()[:-9])
    for name, message in (("empty", "no file that ends in .parquet"), ("c.parquet", "not a whole Parquet file"), ("none", "none: ")):
        done = newsmill("import", "parts", name)
        assert (done.code, message in done.err) == (2, True), done.err
    assert not Path("data").exists()
