"""`newsmill takedowns`: what people see, from the question to the permission."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_result import Newsmill
from rows import page_of

from newsmill import context, settings
from newsmill.cli.maintenance.takedowns import print_result
from newsmill.intake.page_submission import store_pages
from newsmill.storage.ledger.takedown_demands import TakedownResult

URL = "https://www.example.org/a"


@pytest.fixture(autouse=True)
def archived_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newsmill: Newsmill) -> None:
    monkeypatch.chdir(tmp_path)
    assert newsmill("submit", URL).code == 0
    with context.open_context(settings.load()) as store:
        store_pages(store, lambda _: False, [page_of(URL)], "api")


def test_from_the_demand_to_the_permission(newsmill: Newsmill) -> None:
    assert newsmill("takedowns", "list").err == "no URL is barred\n"
    assert newsmill("takedowns", "erase").err.endswith("no takedown waits; nothing is searched\n")
    done = newsmill("takedowns", "add", "www.example.org/a", "--reason", "letter 23", "--yes")
    assert (done.code, done.out) == (0, "")
    assert "0 documents removed, 1 URL barred\n" in done.err
    assert "1 page erased from 1 file of the archive; 1 file searched\n" in done.err
    trace = newsmill("trace", URL)
    assert ("takedown" in trace.out, "letter 23" in trace.out) == (True, True)
    (row,) = newsmill("takedowns", "list", "--json").json
    assert (row["url"], row["reason"], row["erased_pages"], row["erase_after"]) == (URL, "letter 23", 1, None)
    assert "letter 23" in newsmill("takedowns", "list").out
    done = newsmill("takedowns", "add", URL, "--reason", "letter 24", "--yes", "--json")
    assert (done.json["documents"], done.json["urls"], done.json["erasure"]["pages"]) == ([], [URL], 0)
    done = newsmill("takedowns", "remove", URL)
    assert (done.code, done.err) == (0, "1 URL permitted again\n")
    assert newsmill("takedowns", "remove", URL).code == 1


def test_what_is_refused(newsmill: Newsmill) -> None:
    for arguments, says in (
        ((URL, "--reason", " "), "--reason: expected 1 to 1,000 characters"),
        ((URL, "--reason", "x"), "Confirm with --yes"),
        (("ftp://example.org/a", "--reason", "x", "--yes"), "ftp"),
    ):
        done = newsmill("takedowns", "add", *arguments)
        assert (done.code, says in done.err) == (2, True), done.err
    assert newsmill("takedowns", "list").err == "no URL is barred\n"


def test_articles_are_listed_one_on_a_line(newsmill: Newsmill, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the question, and the ones with nearly the same text after it."""
    urls = [f"https://www.example.org/{n}" for n in range(20)]
    asked = newsmill("takedowns", "add", *urls, "--reason", "x").err.splitlines()
    assert asked[:20] == [f"  {url}, which has no document" for url in urls]
    assert asked[20:] == ["newsmill: Remove these 20 articles? Confirm with --yes"]
    print_result(TakedownResult((), ()), urls)
    assert capsys.readouterr().err.splitlines()[-21:] == ["20 other documents with nearly the same text:", *(f"  {url}" for url in urls)]


def test_a_damaged_archive(newsmill: Newsmill, tmp_path: Path) -> None:
    (file,) = (tmp_path / "newsmill-data" / "archive").rglob("*.warc.gz")
    whole = file.read_bytes()
    file.write_bytes(whole[:350] + b"\0" * 20 + whole[370:])
    done = newsmill("takedowns", "add", URL, "--reason", "letter 23", "--yes")
    assert (done.code, "1 file of the archive could not be searched" in done.err, file.name in done.err) == (1, True, True)
    assert "takedowns: 1 URL may still have pages in the archive" in newsmill("status").out
    file.write_bytes(whole)
    done = newsmill("takedowns", "erase")
    assert (done.code, "1 page erased" in done.err) == (0, True)
    assert "takedowns:" not in newsmill("status").out
