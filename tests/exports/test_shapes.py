"""Documents in the formats and under the names that others read."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
import trafilatura
from hypothesis import given
from hypothesis import strategies as st
from rows import FULL

from newsmill.exceptions import ConfigError
from newsmill.exports import cells, formats, news_article, peer_formats
from newsmill.exports.json_lines import encode_json_line
from newsmill.model import Block, BlockType, Document, LiveUpdate, Markup, TextLink

EMPTY = replace(
    FULL,
    id="1" * 32,
    **dict.fromkeys(("canonical_url", "source", "site_name", "title", "description", "published_at", "image", "language", "section")),
    **dict.fromkeys(("authors", "blocks", "tags", "images", "live_updates", "warnings"), ()),
    **dict.fromkeys(("article_type", "is_free", "confidence", "archive_ref")),
    rights={},
    provenance={},
)


def written(name: str, *documents: Document, names: str | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    formats.find_format(name, names, **options).write(out, documents)
    return out.getvalue()


def test_json_lines_hold_every_field() -> None:
    full, empty = (json.loads(text) for text in written("jsonl", FULL, EMPTY).splitlines())
    assert set(full) == {field.name for field in fields(Document)} | {"doubtful"} == set(empty)
    assert (full["doubtful"], empty["doubtful"]) == (FULL.doubtful, False)
    assert full["published_at"] == "2026-11-24T23:59:59.123456Z"
    assert full["authors"] == [{"name": "Ann", "type": "person"}, {"name": "Agency", "type": "organisation"}]
    assert empty["published_at"] is None


def test_a_line_is_one_line_to_every_reader() -> None:
    text = encode_json_line({"text": "a\u2028b\u2029c\x85d\ne"}).decode()
    assert len(text.splitlines()) == 1
    assert json.loads(text) == {"text": "a\u2028b\u2029c\x85d\ne"}


def test_zyte_leaves_out_what_is_not_known() -> None:
    record = peer_formats.as_zyte(FULL)
    assert record["headline"] == FULL.title
    assert record["datePublished"] == "2026-11-24T23:59:59Z"
    assert record["authors"] == [{"name": "Ann"}, {"name": "Agency"}]
    assert (record["inLanguage"], record["mainImage"], record["breadcrumbs"]) == ("cs", {"url": FULL.image}, [{"name": "Sport"}])
    assert record["metadata"] == {"dateDownloaded": "2026-11-25T12:00:01Z", "probability": 0.1}
    assert set(peer_formats.as_zyte(EMPTY)) == {"url", "articleBody", "metadata"}


def test_news_please_has_the_keys_of_its_dictionary() -> None:
    # newsplease/NewsArticle.py, get_dict
    keys = """authors date_download date_modify date_publish description filename image_url language localpath maintext source_domain text
    title title_page title_rss url"""
    record = peer_formats.as_newsplease(FULL)
    assert list(record) == keys.split()
    assert (record["date_publish"], record["date_modify"], record["authors"]) == ("2026-11-24 23:59:59", None, ["Ann"])
    assert (record["maintext"].count("\n"), record["source_domain"]) == (1, "paper.example")


def test_trafilatura_has_the_keys_of_its_own_output() -> None:
    page = (
        "<html><head><title>T</title></head><body><article>" + "<p>Words enough to count as a text.</p>" * 20 + "</article></body></html>"
    )
    theirs = json.loads(trafilatura.extract(page, url="https://a.example/b", output_format="json", with_metadata=True) or "")
    assert set(peer_formats.as_trafilatura(FULL)) == set(theirs)
    assert set(peer_formats.as_trafilatura(EMPTY)) == set(theirs)
    ours = peer_formats.as_trafilatura(FULL)
    assert (ours["date"], ours["author"], ours["tags"], ours["filedate"]) == ("2026-11-24", "Ann; Agency", "one;two", "2026-11-25")


def test_schema_org() -> None:
    record = news_article.as_news_article(replace(FULL, license="https://creativecommons.org/licenses/by/4.0/"))
    assert record["@type"] == ["NewsArticle", "LiveBlogPosting"]
    assert record["author"] == [{"@type": "Person", "name": "Ann"}, {"@type": "Organization", "name": "Agency"}]
    assert (record["isAccessibleForFree"], record["license"][:5], record["publisher"]["name"]) == (False, "https", "The Paper")
    assert record["image"] == [{"@type": "ImageObject", "url": FULL.image, "caption": "c"}]
    small = news_article.as_news_article(replace(EMPTY, license="All rights reserved", article_type="Evil"))
    assert (small["@type"], small["copyrightNotice"], small["publisher"]["name"]) == ("NewsArticle", "All rights reserved", "paper.example")
    assert not {"datePublished", "author", "image", "keywords", "isAccessibleForFree", "license"} & set(small)


def test_csv_reads_back() -> None:
    nasty = replace(FULL, title='=HYPERLINK("https://evil.example")', text='a "quoted"\nline', tags=("-1", "two"), confidence=-0.5)
    rows = list(csv.DictReader(io.StringIO(written("csv", nasty, EMPTY).decode(), newline="")))
    assert tuple(rows[0]) == cells.CSV_COLUMNS
    assert set(cells.CSV_COLUMNS) == {field.name for field in fields(Document)} - {"blocks", "provenance"} | {"doubtful"}
    assert rows[0]["title"] == "'" + (nasty.title or "")
    assert (rows[0]["text"], rows[0]["authors"], rows[0]["tags"], rows[0]["confidence"]) == (nasty.text, "Ann; Agency", "'-1; two", "-0.5")
    assert json.loads(rows[0]["rights"]) == FULL.rights
    assert (rows[1]["title"], rows[1]["is_free"], rows[1]["authors"]) == ("", "", "")


LIVE = replace(
    FULL,
    live_updates=(
        LiveUpdate("The bridge is open again.\n\nTrains run.", "Bridge open", datetime(2026, 11, 25, 13, 5, tzinfo=UTC)),
        LiveUpdate("Goal!", None, datetime(2026, 11, 25, 12, 58, tzinfo=UTC)),
        LiveUpdate("Half time", "Half time", None),
    ),
)
UPDATES = ("2026-11-25 13:05 UTC · Bridge open", "The bridge is open again.", "Trains run.", "2026-11-25 12:58 UTC", "Goal!", "Half time")
IN_TEXT = "\n\n".join((LIVE.text, *UPDATES))


def test_updates_of_a_live_blog_stand_below_the_text_as_on_the_page() -> None:
    assert LIVE.text_with_updates() == IN_TEXT
    assert replace(LIVE, live_updates=()).text_with_updates() == LIVE.text
    changed = LIVE.with_updates()
    assert (changed.text, changed.word_count, changed.live_updates) == (IN_TEXT, LIVE.word_count, LIVE.live_updates)
    assert "\n\n".join(block.text for block in changed.blocks[len(LIVE.blocks) :]) == IN_TEXT.removeprefix(f"{LIVE.text}\n\n")


def test_an_update_that_the_text_holds_is_not_said_twice() -> None:
    text = "A short lead. Goal!\n\nBridge open\n\nThe bridge is open again.\nTrains run."
    assert replace(LIVE, text=text).text_with_updates() == f"{text}\n\n2026-11-25 12:58 UTC\n\nGoal!\n\nHalf time"


@pytest.mark.parametrize(
    ("name", "names", "field"),
    [
        ("jsonl", None, "text"),
        ("jsonld", None, "articleBody"),
        ("jsonl", "zyte", "articleBody"),
        ("jsonl", "news-please", "maintext"),
        ("jsonl", "trafilatura", "text"),
    ],
)
def test_every_format_that_carries_text_takes_the_updates(name: str, names: str | None, field: str) -> None:
    found = json.loads(written(name, LIVE, names=names, live_updates="in-text"))[field]
    assert found in (IN_TEXT, peer_formats.remove_blank_lines(IN_TEXT))
    assert json.loads(written(name, LIVE, names=names))[field] in (LIVE.text, peer_formats.remove_blank_lines(LIVE.text))


def test_texts_tables_and_markdown_take_the_updates() -> None:
    assert written("text", LIVE, live_updates="in-text").decode() == IN_TEXT + "\n"
    rows = list(csv.DictReader(io.StringIO(written("csv", LIVE, live_updates="in-text").decode(), newline="")))
    assert rows[0]["text"] == IN_TEXT
    parquet = pyarrow.parquet.read_table(pyarrow.BufferReader(written("parquet", LIVE, live_updates="in-text")))
    assert parquet["text"].to_pylist() == [IN_TEXT]
    assert (
        "### 2026-11-25 13:05 UTC · Bridge open\n\nThe bridge is open again." in written("markdown", LIVE, live_updates="in-text").decode()
    )


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet"])
def test_markdown_is_a_field_on_request(name: str) -> None:
    linked = replace(FULL, blocks=(Block(BlockType.PARAGRAPH, "See this", markup=Markup(links=(TextLink(4, 8, "https://a.example/"),))),))
    raw = written(name, linked, include=["markdown"])
    rows = {
        "jsonl": lambda: json.loads(raw),
        "csv": lambda: next(csv.DictReader(io.StringIO(raw.decode(), newline=""))),
        "parquet": lambda: pyarrow.parquet.read_table(pyarrow.BufferReader(raw)).to_pylist()[0],
    }
    assert rows[name]()["markdown"] == "See [this](https://a.example/)"
    if name != "csv":
        assert rows[name]()["blocks"][0]["markup"]["links"] == [{"start": 4, "end": 8, "url": "https://a.example/"}]
    assert b"markdown" not in written(name, linked)


def unescape_formula(cell: str) -> str:
    """The text of a cell, by the rule of docs/reference/export-formats.md."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "export-formats.md"
    rule = re.search(r"`(\^'[^`]+)`", page.read_text(encoding="utf-8"))
    assert rule is not None
    return cell[1:] if re.match(rule[1], cell) else cell


@given(st.text(alphabet=st.sampled_from("'=+-@\t\r\n aＡ＝｜|"), max_size=8))
def test_no_cell_is_a_formula_and_each_can_be_read_back(text: str) -> None:
    cell = cells.escape_formula(text)
    assert not cell.lstrip(" \t\r\n").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not cell.startswith(("\t", "\r"))
    assert unescape_formula(cell) == text


def test_no_hostile_string_is_a_formula(shared: Path) -> None:
    lines = (shared / "cases" / "injection" / "cases.jsonl").read_text(encoding="utf-8").split("\n")
    payloads = [case["payload"] for text in lines if text for case in [json.loads(text)] if isinstance(case.get("payload"), str)]
    assert len(payloads) > 3000
    documents = [replace(EMPTY, title=payload.replace("\0", ""), tags=(payload.replace("\0", ""),)) for payload in payloads]
    rows = list(csv.DictReader(io.StringIO(written("csv", *documents).decode("utf-8", "surrogatepass"), newline="")))
    assert len(rows) == len(documents)
    assert not [row for row in rows if row["title"].lstrip()[:1] in tuple("=+-@") or row["tags"].lstrip()[:1] in tuple("=+-@")]
    assert [unescape_formula(row["title"]) for row in rows] == [document.title for document in documents]


def test_what_is_not_a_format_is_said() -> None:
    for name, names, says in (
        ("xml", None, "expected jsonl, csv"),
        ("jsonl", "scrapy", "expected zyte"),
        ("csv", "zyte", "cannot be combined"),
    ):
        with pytest.raises(ConfigError, match=says):
            formats.find_format(name, names)


def test_times_are_utc() -> None:
    assert (
        peer_formats.as_newsplease(replace(FULL, published_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))["date_publish"]
        == "2026-01-02 03:04:05"
    )
