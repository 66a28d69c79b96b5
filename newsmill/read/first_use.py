"""What few pages need and what costs far more to load than a page to read. It is no page's fault: whoever counts its time stops for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any

stopped: Callable[[], AbstractContextManager[None]] | None = None  # set by whoever counts: a block in which its clock stands still

NO_DATE = "7 xqzw 99"  # in no language


@cache
def watch_date_words() -> None:
    """From now on the names of days and months in 205 languages are loaded off the clock: 1.5 s and 42 MB, once a process (measured).

    htmldate asks for its parser when it meets the first date in plain words, so a process that meets none is spared both. Where nobody
    counts, the page that needs the names loads them as ever.
    """
    extractors: Any = import_module("htmldate.extractors")  # here, because our parent imports this file and reads no page
    given = extractors.get_external_parser

    @cache
    def loaded() -> Any:
        assert stopped is not None
        with stopped():
            parser = given()
            parser.get_date_data(NO_DATE)
        return parser

    extractors.get_external_parser = lambda: given() if stopped is None else loaded()
