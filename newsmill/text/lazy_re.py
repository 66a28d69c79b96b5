"""`re` for modules that processes load without using all of their patterns: a pattern is compiled when it is first used.

A command compiled 460 patterns when it started, 0.2 s of CPU, and used 30.
Put `from newsmill.text import lazy_re as re` where `import re` was.
"""

from __future__ import annotations

import re
from re import DOTALL, IGNORECASE, I, Match, Pattern, search, sub
from typing import Any, AnyStr, cast

__all__ = ["DOTALL", "IGNORECASE", "I", "Match", "Pattern", "compile", "search", "sub"]


def compile(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`. The result has the attributes and methods of a pattern, but functions of `re` do not accept it.

    >>> word = compile(r"[a-z]+", IGNORECASE)
    >>> word.pattern, word.findall("Two words"), word.groups
    ('[a-z]+', ['Two', 'words'], 0)
    """
    return cast("re.Pattern[AnyStr]", _LazyPattern(pattern, flags))


class _CompiledPattern:
    """What a lazy pattern becomes: its attributes are those of the pattern, as fast as on the pattern itself."""


class _LazyPattern(_CompiledPattern):
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self.pattern, self._flags = pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        compiled = re.compile(self.pattern, self._flags)
        vars(self).update({one: getattr(compiled, one) for one in dir(compiled) if not one.startswith("_")})
        self.__class__ = _CompiledPattern  # type: ignore[assignment]
        return getattr(compiled, name)
