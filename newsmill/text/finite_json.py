"""JSON that others wrote, without numbers that cannot be written as JSON again: NaN, Infinity, and those beyond the range of a float."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_INTEGER_DIGITS = 300  # an int of 309 digits cannot become a float


def read_float(text: str) -> float | str:
    """The number, or its text if it is beyond the range of a float.

    >>> read_float("1.5"), read_float("-1e999")
    (1.5, '-1e999')
    """
    value = float(text)
    return value if math.isfinite(value) else text


def read_integer(text: str) -> int | str:
    """The number, or its text if it has more than MAX_INTEGER_DIGITS digits."""
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else text


def _drop_constant(_: str) -> None:
    """NaN, Infinity and -Infinity are no values."""


NUMBERS: dict[str, Any] = {"parse_float": read_float, "parse_int": read_integer, "parse_constant": _drop_constant}  # for json.loads
DECODER = json.JSONDecoder(strict=False, **NUMBERS)  # not strict: strings of many pages hold control characters
