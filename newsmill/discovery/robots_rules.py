"""The Allow and Disallow rules of one robots.txt group: which rule decides about a URL, in bounded work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

MAX_SEARCHES = 2_000  # per URL; of 451 files of large sites, the one with most wildcards has 352 rules of 2 parts each

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_KEPT_ESCAPES = re.compile(r"(%2[Ff]|%25)")  # an encoded "/" is no separator, and a decoded "%" would begin another escape
_INDEX_PAGE = re.compile(r"/index\.html?\Z")


class Decision(NamedTuple):
    """Whether a URL may be fetched, how many searches that took, and whether they were enough to know."""

    allowed: bool
    searches: int
    complete: bool = True


class _Wildcard(NamedTuple):
    length: int  # of the pattern: the longest that matches decides (RFC 9309 section 2.2.2)
    allow: bool
    parts: tuple[str, ...]  # what stands between the "*"
    anchored: bool  # "$" at the end

    def searches(self, path: str) -> tuple[bool, int]:
        """Whether the path matches, and how many parts were searched for. Leftmost matches suffice, so nothing is tried twice."""
        first, *middle = self.parts
        if not path.startswith(first):
            return False, 1
        at, last = len(first), middle.pop()
        for count, part in enumerate(middle, 2):
            found = path.find(part, at)
            if found < 0:
                return False, count
            at = found + len(part)
        matched = path.endswith(last) and len(path) - len(last) >= at if self.anchored else path.find(last, at) >= 0
        return matched, len(self.parts)


class Rules:
    """The rules of all groups that name one user agent, ready to be matched."""

    def __init__(self, rules: Iterable[tuple[bool, str]]) -> None:
        """`rules`: pairs of (is it Allow, pattern as written), in any order."""
        self._prefixes: dict[str, bool] = {}
        self._exact: dict[str, bool] = {}
        wildcards: set[_Wildcard] = set()
        for allow, pattern in rules:
            self._add(allow, pattern, wildcards)
            if allow and _INDEX_PAGE.search(pattern):  # Google's reference: who allows a folder's index page allows the folder
                self._add(True, pattern[: pattern.rindex("/") + 1] + "$", wildcards)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        # Those that would be tried after the last search are left out, but one: it shows that there are more.
        self._wildcards = sorted(wildcards, key=lambda rule: (rule.length, rule.allow), reverse=True)[: MAX_SEARCHES + 1]

    def _add(self, allow: bool, pattern: str, wildcards: set[_Wildcard]) -> None:
        anchored = pattern.endswith("$")
        parts = tuple(_encoded(part) for part in re.split(r"\*+", pattern.removesuffix("$")))
        if len(parts) > 1:
            wildcards.add(_Wildcard(sum(map(len, parts)) + pattern.count("*") + anchored, allow, parts, anchored))
        elif parts[0] or anchored:
            rules = self._exact if anchored else self._prefixes
            rules[parts[0]] = allow or rules.get(parts[0], False)

    def decide(self, url: str) -> Decision:
        """The decision about an absolute URL or a path. The longest pattern decides; of two equally long ones, Allow (RFC 9309 2.2.2).

        A URL for which `MAX_SEARCHES` are not enough is refused: nobody knows whether the file allows it.
        """
        path = _path(url)
        if path == "/robots.txt":
            return Decision(True, 0)  # RFC 9309 section 2.2.2
        best, searches = self._literal(path)
        for rule in self._wildcards:
            if (rule.length, rule.allow) <= best:
                break
            if searches >= MAX_SEARCHES:
                return Decision(False, searches, complete=False)
            matched, count = rule.searches(path)
            searches += count
            if matched:
                return Decision(rule.allow, searches)
        return Decision(best[1], searches)

    def _literal(self, path: str) -> tuple[tuple[int, bool], int]:
        """The length and permission of the longest rule without "*" that matches, and how many lookups that took."""
        allow = self._exact.get(path)
        best = (0, True) if allow is None else (len(path) + 1, allow)
        lookups = 1
        for length in self._lengths:
            if length < best[0]:
                break
            if length <= len(path):
                lookups += 1
                allow = self._prefixes.get(path[:length])
                if allow is not None:
                    return max(best, (length, allow)), lookups
        return best, lookups


def _path(url: str) -> str:
    """Path and query of a URL as they are compared. The fragment is never sent."""
    rest = url.partition("#")[0]
    scheme, separator, after = rest.partition("://")
    if separator and "/" not in scheme:
        authority_end = re.search(r"[/?]", after)
        rest = after[authority_end.start() :] if authority_end else ""
    return _encoded(rest if rest.startswith("/") else f"/{rest}")


def _encoded(text: str) -> str:
    """One spelling of each octet: all but unreserved characters and "/" percent-encoded (RFC 9309 section 2.2.2)."""
    if _PLAIN.fullmatch(text):
        return text
    pieces = _KEPT_ESCAPES.split(text)  # what was split at stands at the odd places
    pieces[::2] = [quote(unquote_to_bytes(piece.encode("utf-8", "replace")), safe="/") for piece in pieces[::2]]
    return "".join(pieces).replace("%2f", "%2F")
