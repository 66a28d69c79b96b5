"""Cursors: the position of a reader as an opaque word. They hold no secret; a forged one reads nothing that a query would not find."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime

from newsmill.exceptions import CursorError

_CursorPart = str | int


def encode_cursor(kind: str, *parts: _CursorPart) -> str:
    """A cursor of one kind of list."""
    data = json.dumps([kind, *parts], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str, *types: type) -> tuple[_CursorPart, ...]:
    """The parts of a cursor of that kind. Raises CursorError for anything `seal` did not make."""
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid_cursor(cursor) from None
    if not isinstance(parts, list) or parts[:1] != [kind] or [type(part) for part in parts[1:]] != list(types):
        raise _invalid_cursor(cursor)
    if any(isinstance(part, int) and abs(part) >= 1 << 63 for part in parts) or any(
        "\0" in part for part in parts if isinstance(part, str)
    ):
        raise _invalid_cursor(cursor)
    return tuple(parts[1:])


def parse_time(part: _CursorPart, cursor: str) -> datetime:
    """The aware time in a part. Raises CursorError."""
    try:
        at = datetime.fromisoformat(str(part))
        if at.tzinfo is None:
            raise _invalid_cursor(cursor)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or one that is none in UTC: year 1 or 9999 with an offset
        raise _invalid_cursor(cursor) from None


def _invalid_cursor(cursor: str) -> CursorError:
    return CursorError(f"the cursor {cursor[:80]!r} is none that this list gave out; start again without it")
