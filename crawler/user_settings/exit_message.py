"""Ends a Scrapy command with the message of an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from newsmill.exceptions import NewsmillError


@contextmanager
def exit_with_message() -> Iterator[None]:
    """Turn a NewsmillError into its message and exit code 2."""
    try:
        yield
    except NewsmillError as error:
        print(f"scrapy: {error}", file=sys.stderr)
        sys.exit(2)
