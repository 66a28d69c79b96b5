"""No number of a page becomes one that JSON cannot hold, and none ends the extraction."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

import newsmill
from newsmill.discovery.feeds import read_feed
from newsmill.discovery.mining_declarations import read_tdmrep
from newsmill.storage.columns import dump_json
from newsmill.text.finite_json import DECODER, NUMBERS, read_integer

FIELDS = ("datePublished", "headline", "author", "keywords", "articleSection", "license", "image", "isAccessibleForFree", "inLanguage")
TEXT = "<p>The council met on Monday to talk about the bridge over the river and its price. </p>" * 9
NUMBERS_OF_PAGES = ("1e999", "-1e999", "NaN", "-Infinity", "1" + "0" * 400, "9" * 4000)


def refuse(name: str) -> Any:
    raise AssertionError(name)


def test_numbers_beyond_json_are_text_or_nothing() -> None:
    assert DECODER.decode('[1, -2.5e3, 1e999, NaN, Infinity, "NaN"]') == [1, -2500.0, "1e999", None, None, "NaN"]
    assert read_integer("7" * 300) == int("7" * 300) and read_integer("7" * 301) == "7" * 301
    assert json.loads(b"[1e999]", **NUMBERS) == ["1e999"]


@pytest.mark.parametrize("number", NUMBERS_OF_PAGES)
def test_a_page_with_such_numbers_gives_json(number: str) -> None:
    for field in FIELDS:
        data = f'{{"@type": "NewsArticle", "headline": "The bridge of the town", "{field}": {number}}}'
        html = f"<title>The bridge</title><script type='application/ld+json'>{data}</script><article><h1>The bridge</h1>{TEXT}</article>"
        document = newsmill.extract(html, url="https://paper.example/bridge")
        written = json.dumps(asdict(document), default=str)
        assert json.loads(written, parse_constant=refuse)["title"]


@pytest.mark.parametrize("number", NUMBERS_OF_PAGES)
def test_listings_with_such_numbers_are_read(number: str) -> None:
    entry = f'{{"url": "https://paper.example/a", "title": {number}, "date_published": {number}}}'
    feed = f'{{"version": "https://jsonfeed.org/version/1.1", "title": "x", "items": [{entry}]}}'
    assert [link.url for link in read_feed(feed.encode(), "https://paper.example/feed.json").pages] == ["https://paper.example/a"]
    for declaration in read_tdmrep(f'[{{"location": "/", "tdm-reservation": {number}}}]'.encode(), "https://paper.example"):
        assert "null" in declaration.value or f': "{number[:20]}' in declaration.value


def test_a_database_gets_none() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"a": float("inf")})
