"""What few pages need and what costs far more to load than a page to read. It is no page's fault: whoever counts its time stops for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache

stopped: Callable[[], AbstractContextManager[None]] | None = None  # set by whoever counts: a block in which its clock stands still

NO_DATE = "7 xqzw 99"  # in no language


def date_words() -> None:
    """Load the names of days and months in 205 languages, once a process: 1.5 s that the first date in plain words costs (measured).

    Does nothing where nobody counts: there it is loaded by the page that needs it, if one does.
    """
    if stopped is not None:
        _load_date_words()


@cache
def _load_date_words() -> None:
    from htmldate.extractors import external_date_parser  # here, because our parent imports this file and reads no page

    assert stopped is not None
    with stopped():
        external_date_parser(NO_DATE, "%Y-%m-%d")
