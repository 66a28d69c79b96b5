"""Cursors: the position of a reader in the order of storing or in another list.

A cursor is an opaque string. It holds no secret; a forged one reads nothing that a query would not find.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime

from newsmill.exceptions import CursorError

CursorPart = str | int


def encode_cursor(kind: str, *parts: CursorPart) -> str:
    """A cursor of one kind of list."""
    data = json.dumps([kind, *parts], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str, *types: type) -> tuple[CursorPart, ...]:
    """The parts of a cursor of that kind. Raises CursorError for anything `encode_cursor` did not make."""
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise invalid_cursor(cursor) from None
    if not isinstance(parts, list) or parts[:1] != [kind] or [type(part) for part in parts[1:]] != list(types):
        raise invalid_cursor(cursor)
    if any(isinstance(part, int) and abs(part) >= 1 << 63 for part in parts) or any(
        "\0" in part for part in parts if isinstance(part, str)
    ):
        raise invalid_cursor(cursor)
    return tuple(parts[1:])


def parse_time(part: CursorPart, cursor: str) -> datetime:
    """The aware time in a part. Raises CursorError."""
    try:
        at = datetime.fromisoformat(str(part))
        if at.tzinfo is None:
            raise invalid_cursor(cursor)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):  # not a time, or outside the years 1 to 9999 in UTC
        raise invalid_cursor(cursor) from None


def invalid_cursor(cursor: str) -> CursorError:
    return CursorError(f"the cursor {cursor[:80]!r} is not a cursor of this list; start again without it")
