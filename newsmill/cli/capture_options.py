"""Options of `submit` and `extract` that choose captures: days, and lists of URLs."""

from __future__ import annotations

import re
import sys
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

from newsmill.exceptions import ConfigError

_DAY = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


def parse_day(text: str, *, is_last: bool = False) -> date:
    """`2024`, `2024-05` or `2024-05-17` → the first day of that time, or its last one. Raises ConfigError."""
    match = _DAY.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError(text)
        year, month, day = (None if part is None else int(part) for part in match.groups())
        assert year is not None
        month = month or (12 if is_last else 1)
        return date(year, month, day or (monthrange(year, month)[1] if is_last else 1))
    except ValueError:
        raise ConfigError(f"{text!r}: expected a day, month or year such as 2024-05-17, 2024-05 or 2024") from None


def read_period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """The first moment, and the one behind the last; days are in UTC, and the last one is included. Raises ConfigError."""
    first = None if since is None else parse_day(since)
    last = None if until is None else parse_day(until, is_last=True)
    if first is not None and last is not None and first > last:
        raise ConfigError(f"no day lies between {first} and {last}; --since is the older one")
    return (
        None if first is None else datetime.combine(first, clock_time(), UTC),
        None if last is None or last == date.max else datetime.combine(last + timedelta(days=1), clock_time(), UTC),
    )


def read_urls(urls: Sequence[str], file: Path | None) -> Iterator[str]:
    """The URLs of the arguments, of standard input for "-", and of the file. Skips empty lines and # comments. Raises ConfigError."""
    for url in urls:
        yield from _read_lines(sys.stdin.buffer) if url == "-" else [url]
    if file is not None:
        try:
            with file.open("rb") as lines:
                yield from _read_lines(lines)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def _read_lines(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        text = line.decode("utf-8-sig", "replace").strip()
        if text and not text.startswith("#"):
            yield text
