"""The Allow and Disallow rules of one robots.txt group: which rule decides about a URL, in bounded work."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote, unquote_to_bytes

MAX_SEARCHES = 2_000  # per URL; of 451 files of large sites, the one with most wildcards has 352 rules of 2 parts each

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_KEPT_ESCAPES = re.compile(r"(%2[Ff]|%25)")  # an encoded "/" is no separator, and a decoded "%" would begin another escape
_INDEX_PAGE = re.compile(r"/index\.html?\Z")


class Decision(NamedTuple):
    """Whether a URL may be fetched, how many searches that took, and whether they were enough to know."""

    is_allowed: bool
    searches: int
    is_complete: bool = True


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


class RobotsRules:
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
                return Decision(False, searches, is_complete=False)
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


# What a robots.txt allows us, by RFC 9309 and Google's reference parser, and what a Retry-After header asks for.

MAX_ROBOTS_BYTES = 500 * 1024  # bytes; RFC 9309 section 2.5 asks for at least 500 KiB, and what follows is ignored
MAX_CRAWL_DELAY_SECONDS = 300.0  # seconds; a site that asks for more is still visited 288 times a day, which keeps a section page fresh
MAX_RETRY_AFTER_SECONDS = 3600.0  # seconds; a Retry-After beyond it is asked again after an hour

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DISALLOW = "disallow|dissallow|dissalow|disalow|diasllow|disallaw"  # Google's reference accepts these misspelt names
_LINE = re.compile(
    rf"^[^\S\n]*(user[ -]?agent|allow|{_DISALLOW}|crawl[ -]delay|request[ -]rate|site-?maps?)(?:[^\S\n]*(:)|[^\S\n])([^#\n]*)",
    re.I | re.M,
)
_TOKEN = re.compile(r"[\w.*-]*")
_RATE = re.compile(r"(\d{1,9})/(\d{1,9})([smhd]?)(?:\s.*)?", re.I)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SECONDS = re.compile(r"\d{1,20}(?:\.\d{1,9})?(?:e\d{1,2})?", re.I)

_T = TypeVar("_T")


class _Group(NamedTuple, Generic[_T]):
    """The names of consecutive User-agent lines, and the rules or delays that follow them."""

    names: set[str]
    values: list[_T]


class RobotsTxt:
    """One host's robots.txt. `reachable` is False where the server failed: then nothing may be fetched until it answers."""

    def __init__(self, text: str = "", *, is_reachable: bool = True) -> None:
        """`text`: the file's lines, ended by "\\n"."""
        self.is_reachable = is_reachable
        self.size = len(text)  # characters
        self._groups: list[_Group[tuple[bool, str]]] = []  # of pairs: is it Allow, pattern
        self._delays: list[_Group[float]] = []  # in seconds
        self._sitemaps: list[str] = []
        self._rules: dict[str, RobotsRules] = {}
        self._read(text)

    @classmethod
    def parse(cls, body: bytes) -> RobotsTxt:
        """The rules in a body as fetched: never raises. Lines that are none, as those of an HTML page, are passed over."""
        return cls(_text(body))

    @classmethod
    def from_response(cls, status: int | None, body: bytes = b"") -> RobotsTxt:
        """What RFC 9309 section 2.3.1 makes of an answer; None stands for no answer.

        2xx: the body's rules. 4xx, and redirects that led nowhere: no rules, all allowed. 5xx, 429 and no answer: unreachable, all
        disallowed. (429 says nothing about robots.txt but "you are too fast"; Google counts it with 5xx, and so do we.)
        """
        if status is not None and 200 <= status < 300:
            return cls.parse(body)
        return cls(is_reachable=status is not None and status < 500 and status != 429)

    def decide(self, url: str, agent: str) -> Decision:
        """Whether `agent` (a product token, or a whole User-Agent header) may fetch the URL, and the work that took."""
        return self.select_rules(agent).decide(url) if self.is_reachable else Decision(False, 0)

    def can_fetch(self, url: str, agent: str) -> bool:
        """Whether `agent` may fetch the URL."""
        return self.decide(url, agent).is_allowed

    def crawl_delay(self, agent: str) -> float | None:
        """Seconds between two requests that Crawl-delay or Request-rate asks `agent` to keep, at most 300; None when neither does."""
        name = self._name(agent)
        delays = [delay for group in self._delays if name in group.names for delay in group.values]
        return min(max(delays), MAX_CRAWL_DELAY_SECONDS) if delays else None

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The Sitemap lines as written; they may name another host."""
        return tuple(self._sitemaps)

    def select_rules(self, agent: str) -> RobotsRules:
        """The rules of every group that names `agent`, or else of every group for all ("*"); compiled once."""
        if agent not in self._rules:
            name = self._name(agent)
            self._rules[agent] = RobotsRules(rule for group in self._groups if name in group.names for rule in group.values)
        return self._rules[agent]

    def _name(self, agent: str) -> str:
        """The name by which the file speaks to `agent`: its product token, a part of it that ends before a hyphen, or "*".

        Tokens are compared whole (RFC 9309 section 2.2.1). As Googlebot-News obeys rules for Googlebot, Newsmill-Archive obeys Newsmill's.
        """
        token = _token(agent)
        while token and not any(token in group.names for group in self._groups):
            token = token.rpartition("-")[0]
        return token or "*"

    def _read(self, text: str) -> None:
        """Only Allow and Disallow close a list of names: RFC 9309 section 2.2.4 forbids all other lines to.

        A delay is for the names right before it, as in crawler-commons.
        """
        rules: _Group[tuple[bool, str]] = _Group(set(), [])
        delays: _Group[float] = _Group(set(), [])
        for line in _LINE.finditer(text):
            field, value = re.sub("[ -]", "", line[1].lower()), line[3].strip()
            if line[2] is None and len(value.split()) > 2:
                continue  # a sentence that begins with such a word
            if field == "useragent":
                if rules.values or not self._groups:
                    self._groups.append(rules := _Group(set(), []))
                    self._delays.append(delays := _Group(set(), []))
                elif delays.values:
                    self._delays.append(delays := _Group(set(), []))
                rules.names.add(_token(value))
                delays.names.add(_token(value))
            elif field in ("crawldelay", "requestrate"):
                delays.values.extend(_delay(value))
            elif field.startswith("sitemap"):
                self._sitemaps.extend([value] if value else ())
            else:
                rules.values.append((field == "allow", value))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 section 10.2.3: seconds or an HTTP date), 0 to 3600; None when it says nothing.

    A date in the past is 0; a negative number or garbage is None.
    """
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # OverflowError: a year or an hour of more digits than a C integer has
        return None
    if at.tzinfo is None:  # "-0000", a zone RFC 5322 calls unknown
        at = at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _token(text: str) -> str:
    """The product token a User-agent line or header begins with, in lower case, or "*". A "*" beside other characters means nothing."""
    found = _TOKEN.match(text)
    name = found[0].lower() if found else ""
    return name if name == "*" else name.replace("*", "")


def _delay(value: str) -> tuple[float, ...]:
    """The seconds that "2.5" or "1/10s" asks for, or nothing where it is neither."""
    if rate := _RATE.fullmatch(value):
        requests, seconds = int(rate[1]), int(rate[2]) * _UNIT_SECONDS[rate[3].lower()]
        return (seconds / requests,) if requests else ()
    try:
        delay = float(value)
    except ValueError:
        return ()
    return (delay,) if math.isfinite(delay) and delay >= 0 else ()


def _text(body: bytes) -> str:
    """The whole lines in the first 500 KiB: by the byte order mark, else UTF-8 with what is none of it replaced."""
    mark, encoding = next(((mark, name) for mark, name in _BOMS if body.startswith(mark)), (b"", "utf-8"))
    text = body[len(mark) : MAX_ROBOTS_BYTES].decode(encoding, "replace").replace("\r", "\n")
    return text if len(body) <= MAX_ROBOTS_BYTES else text[: text.rfind("\n") + 1]  # a rule cut short would forbid more than was written
