"""URL keys against the test data of browsers and of crawler-commons, miniflux; `pytest -s` shows the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rates
from rates import Result

from newsmill.exceptions import UrlError
from newsmill.text import urls


def key_or_none(url: str, base: str | None = None) -> str | None:
    try:
        return urls.make_key(urls.normalize(url, base))
    except UrlError:
        return None


def as_browsers(shared: Path) -> Iterator[Result]:
    """web-platform-tests: the key of the URL that a browser makes of the input, or None if it refuses it or it is not http(s)."""
    for case in rates.cases(shared, "urls", "whatwg"):
        href, key = case.get("href"), key_or_none(case["input"], case["base"])
        if href is None:
            yield Result("refused", key is None, case["id"])
        elif href.startswith(("http:", "https:")):
            yield Result("http(s)", key is not None and key == key_or_none(href), case["id"])
        else:
            yield Result("other schemes", key is None, case["id"])


def same_page(shared: Path) -> Iterator[Result]:
    """Pairs of spellings of one URL."""
    for case in rates.cases(shared, "urls", "tracking", "cc-normalize", "cc-resolve"):
        one, other = spellings(case)
        yield Result(case["kind"], one == other, case["id"])


def spellings(case: dict[str, Any]) -> tuple[str | None, str | None]:
    match case["kind"], case.get("row"):
        case "tracking", _:
            return key_or_none(case["input"]), key_or_none(case["expected"])
        case "cc-resolve", [reference, base, absolute]:
            return key_or_none(reference, base or None), key_or_none(absolute)
        case _, [one, other, *_]:
            return key_or_none(one), key_or_none(other)
    raise AssertionError(case)


def test_urls_as_browsers_read_them(shared: Path) -> None:
    rates.check("URLs: WHATWG", as_browsers(shared), 0.98)
    assert [result for result in as_browsers(shared) if result.group == "refused" and not result.holds] == []


def test_spellings_of_one_url_share_a_key(shared: Path) -> None:
    rates.check("URLs: one key", same_page(shared), 1.0)


def test_normal_forms_in_the_suites_are_stable(shared: Path) -> None:
    """Every string of the collection, as written: refused, or in normal form after one pass."""
    checked = 0
    for case in rates.cases(shared, "urls"):
        for value in strings(case):
            try:
                once = urls.normalize(value)
            except UrlError:
                continue
            checked += 1
            assert (urls.normalize(once), urls.make_key(once)) == (once, urls.make_key(value)), value
    assert checked > 1_000


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)
