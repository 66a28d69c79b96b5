"""`newsmill extract --learn`: site profiles are learned from all lines before the first output."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path

import pytest
from command_result import CommandResult, Newsmill

from newsmill.cli import extract_pages

FOOTER = "Have your say about this story in the reading room of the Gazette"


def line(number: int, host: str = "gazette.example", footer: str = FOOTER) -> dict[str, object]:
    chance = random.Random(number)
    words = ["".join(chance.choices("abcdefghij", k=6)) for _ in range(300)]
    body = "".join(f"<p>{' '.join(words[at : at + 50]).capitalize()}.</p>" for at in range(0, 300, 50))
    html = (
        f"<html><head><title>Story {words[0]}</title></head><body><article><h1>Story {words[0]}</h1>{body}<p>{footer}</p></article></body>"
    )
    return {"id": number, "url": f"https://{host}/news/story-{number}", "html": html}


def extract(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch, lines: list[object], *options: str) -> CommandResult:
    text = "".join(f"{entry if isinstance(entry, str) else json.dumps(entry)}\n" for entry in lines)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return newsmill("extract", *options)


def test_without_learn_no_page_influences_another(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    records = extract(newsmill, monkeypatch, [line(number) for number in range(6)]).lines
    assert all(FOOTER in record["text"] and record["profile_version"] is None for record in records)


def test_profiles_are_per_site_and_every_line_has_an_output_in_order(
    newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines: list[object] = [line(number) for number in range(6)]
    other = line(6, "other.example", "Only this page of this site ends like that")
    lines += ["not json", "", other, {"id": 7, "url": None, "html": line(7)["html"]}]
    monkeypatch.setattr(extract_pages, "MAX_BYTES_IN_MEMORY", 10_000)  # the lines go through a file
    records = extract(newsmill, monkeypatch, lines, "--learn", "--processes", "2").lines
    assert [record["id"] for record in records] == [0, 1, 2, 3, 4, 5, None, 6, 7]
    assert all(FOOTER not in record["text"] and record["profile_version"] == 1 for record in records[:6])
    assert records[6]["outcome"] == "bad_input"
    assert "Only this page" in records[7]["text"]
    assert FOOTER in records[8]["text"] and records[8]["profile_version"] is None, "a page without a URL belongs to no site"


def test_the_order_of_lines_does_not_matter(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_pages, "MAX_LEARNING_PAGES", 5)
    lines: list[object] = [line(number) for number in range(8)]
    one = extract(newsmill, monkeypatch, lines, "--learn").lines
    two = extract(newsmill, monkeypatch, lines[::-1], "--learn").lines
    assert {record["id"]: record["text"] for record in one} == {record["id"]: record["text"] for record in two}
