"""robots.txt by RFC 9309 and Google's reference parser. Matching a URL takes bounded work."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote, unquote_to_bytes

MAX_ROBOTS_BYTES = 500 * 1024  # RFC 9309 section 2.5 asks for at least 500 KiB; the rest is ignored
MAX_SEARCHES = 2_000  # for one URL; the most wildcards in 451 files of large sites are 352 rules of 2 parts each
MAX_CRAWL_DELAY_SECONDS = 120.0  # a longer delay would mean "never" for a site with news every hour; large sites ask for 60 s at most

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DISALLOW = "disallow|dissallow|dissalow|disalow|diasllow|disallaw"  # Google's reference accepts these misspelt names
_LINE = re.compile(
    rf"^[^\S\n]*(user[ -]?agent|allow|{_DISALLOW}|crawl[ -]delay|request[ -]rate|site-?maps?)(?:[^\S\n]*(:)|[^\S\n])([^#\n]*)",
    re.I | re.M,
)
_TOKEN = re.compile(r"[\w.*-]*")
_REQUEST_RATE = re.compile(r"(\d{1,9})/(\d{1,9})([smhd]?)(?:\s.*)?", re.I)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_KEPT_ESCAPES = re.compile(r"(%2[Ff]|%25)")  # an encoded "/" is not a separator, and a decoded "%" would begin another escape
_INDEX_PAGE = re.compile(r"/index\.html?\Z")

_T = TypeVar("_T")


class RobotsTxt:
    """One host's robots.txt. `is_reachable` is False if the server failed: then nothing may be fetched until it answers."""

    def __init__(self, text: str = "", *, is_reachable: bool = True) -> None:
        """`text`: the file's lines, ended by "\\n"."""
        self.is_reachable = is_reachable
        self.size = len(text)  # characters
        self._groups: list[_Group[tuple[bool, str]]] = []  # of pairs: is it Allow, pattern
        self._delays: list[_Group[float]] = []  # in seconds
        self._sitemaps: list[str] = []
        self._rules: dict[str, RobotsRules] = {}
        self._parse_lines(text)

    @classmethod
    def parse(cls, body: bytes) -> RobotsTxt:
        """The rules in a body as fetched. Ignores lines that are not rules, such as HTML. Never raises."""
        return cls(_decode_lines(body))

    @classmethod
    def from_response(cls, status: int | None, body: bytes = b"") -> RobotsTxt:
        """The rules that follow from an HTTP status (RFC 9309 section 2.3.1); None stands for no response.

        2xx: the body's rules. 4xx, and redirects without a target: no rules, all allowed. 5xx, 429 and no response: unreachable, all
        disallowed. 429 counts with 5xx, as at Google: it means "too fast" and says nothing about robots.txt.
        """
        if status is not None and 200 <= status < 300:
            return cls.parse(body)
        return cls(is_reachable=status is not None and status < 500 and status != 429)

    def decide(self, url: str, agent: str) -> Decision:
        """Whether `agent` (a product token or a User-Agent header) may fetch the URL, and the number of searches."""
        return self.select_rules(agent).decide(url) if self.is_reachable else Decision(False, 0)

    def can_fetch(self, url: str, agent: str) -> bool:
        """Whether `agent` may fetch the URL."""
        return self.decide(url, agent).is_allowed

    def crawl_delay(self, agent: str) -> float | None:
        """Seconds between two requests by Crawl-delay or Request-rate for `agent`, at most MAX_CRAWL_DELAY_SECONDS; None without either."""
        name = self._select_name(agent)
        delays = [delay for group in self._delays if name in group.names for delay in group.values]
        return min(max(delays), MAX_CRAWL_DELAY_SECONDS) if delays else None

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The Sitemap lines as written; they may name another host."""
        return tuple(self._sitemaps)

    def select_rules(self, agent: str) -> RobotsRules:
        """The rules of every group that names `agent`, or else of every group for "*"; compiled once."""
        if agent not in self._rules:
            name = self._select_name(agent)
            self._rules[agent] = RobotsRules(rule for group in self._groups if name in group.names for rule in group.values)
        return self._rules[agent]

    def _select_name(self, agent: str) -> str:
        """The name of the groups for `agent`: its product token, a prefix of it that ends before a hyphen, or "*".

        Tokens are compared whole (RFC 9309 section 2.2.1). Newsmill-Archive obeys Newsmill's rules, as Googlebot-News does Googlebot's.
        """
        token = _read_product_token(agent)
        while token and not any(token in group.names for group in self._groups):
            token = token.rpartition("-")[0]
        return token or "*"

    def _parse_lines(self, text: str) -> None:
        """Reads groups. Only Allow and Disallow end a list of names (RFC 9309 2.2.4). A delay applies to the names right before it."""
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
                rules.names.add(_read_product_token(value))
                delays.names.add(_read_product_token(value))
            elif field in ("crawldelay", "requestrate"):
                delays.values.extend(_parse_delay(value))
            elif field.startswith("sitemap"):
                self._sitemaps.extend([value] if value else ())
            else:
                rules.values.append((field == "allow", value))


class Decision(NamedTuple):
    """Whether a URL may be fetched, how many searches the answer took, and whether they sufficed."""

    is_allowed: bool
    searches: int
    is_complete: bool = True


class _Group(NamedTuple, Generic[_T]):
    """The names of consecutive User-agent lines, and the rules or delays that follow them."""

    names: set[str]
    values: list[_T]


def _decode_lines(body: bytes) -> str:
    """The complete lines in the first 500 KiB, decoded by the byte order mark, else as UTF-8 with replacement characters."""
    mark, encoding = next(((mark, name) for mark, name in _BOMS if body.startswith(mark)), (b"", "utf-8"))
    text = body[len(mark) : MAX_ROBOTS_BYTES].decode(encoding, "replace").replace("\r", "\n")
    return text if len(body) <= MAX_ROBOTS_BYTES else text[: text.rfind("\n") + 1]  # a shortened rule would forbid more


def _read_product_token(text: str) -> str:
    """The product token at the start of a User-agent line or header, in lower case, or "*". Drops a "*" beside other characters."""
    match = _TOKEN.match(text)
    name = match[0].lower() if match else ""
    return name if name == "*" else name.replace("*", "")


def _parse_delay(value: str) -> tuple[float, ...]:
    """The seconds of a delay ("2.5") or a rate ("1/10s"); empty for any other text."""
    if rate := _REQUEST_RATE.fullmatch(value):
        requests, seconds = int(rate[1]), int(rate[2]) * _UNIT_SECONDS[rate[3].lower()]
        return (seconds / requests,) if requests else ()
    try:
        delay = float(value)
    except ValueError:
        return ()
    return (delay,) if math.isfinite(delay) and delay >= 0 else ()


class RobotsRules:
    """The Allow and Disallow rules of all groups that name one user agent, compiled for matching."""

    def __init__(self, rules: Iterable[tuple[bool, str]]) -> None:
        """`rules`: pairs of (is it Allow, pattern as written), in any order."""
        self._prefixes: dict[str, bool] = {}
        self._exact: dict[str, bool] = {}
        wildcards: set[_Wildcard] = set()
        for allow, pattern in rules:
            self._add(allow, pattern, wildcards)
            if allow and _INDEX_PAGE.search(pattern):  # Google's parser: an allowed index page allows its folder
                self._add(True, pattern[: pattern.rindex("/") + 1] + "$", wildcards)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        # Rules behind the last possible search are dropped, except one: it shows that there are more.
        self._wildcards = sorted(wildcards, key=lambda rule: (rule.length, rule.allow), reverse=True)[: MAX_SEARCHES + 1]

    def _add(self, allow: bool, pattern: str, wildcards: set[_Wildcard]) -> None:
        is_anchored = pattern.endswith("$")
        parts = tuple(_normalize_escapes(part) for part in re.split(r"\*+", pattern.removesuffix("$")))
        if len(parts) > 1:
            wildcards.add(_Wildcard(sum(map(len, parts)) + pattern.count("*") + is_anchored, allow, parts, is_anchored))
        elif parts[0] or is_anchored:
            rules = self._exact if is_anchored else self._prefixes
            rules[parts[0]] = allow or rules.get(parts[0], False)

    def decide(self, url: str) -> Decision:
        """The decision about an absolute URL or a path. The longest pattern decides; of two equally long ones, Allow (RFC 9309 2.2.2).

        A URL that needs more than `MAX_SEARCHES` is refused, since the file may forbid it.
        """
        path = _normalize_path(url)
        if path == "/robots.txt":
            return Decision(True, 0)  # RFC 9309 section 2.2.2
        best, searches = self._match_literals(path)
        for rule in self._wildcards:
            if (rule.length, rule.allow) <= best:
                break
            if searches >= MAX_SEARCHES:
                return Decision(False, searches, is_complete=False)
            is_match, count = rule.match(path)
            searches += count
            if is_match:
                return Decision(rule.allow, searches)
        return Decision(best[1], searches)

    def _match_literals(self, path: str) -> tuple[tuple[int, bool], int]:
        """The length and permission of the longest matching rule without "*", and the number of look-ups."""
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


class _Wildcard(NamedTuple):
    length: int  # characters of the pattern: the longest that matches decides (RFC 9309 section 2.2.2)
    allow: bool
    parts: tuple[str, ...]  # the texts between the "*"
    is_anchored: bool  # "$" at the end

    def match(self, path: str) -> tuple[bool, int]:
        """Whether the path matches, and the number of searches. Leftmost matches suffice, so no part is searched for twice."""
        first, *middle = self.parts
        if not path.startswith(first):
            return False, 1
        at, last = len(first), middle.pop()
        for count, part in enumerate(middle, 2):
            start = path.find(part, at)
            if start < 0:
                return False, count
            at = start + len(part)
        is_match = path.endswith(last) and len(path) - len(last) >= at if self.is_anchored else path.find(last, at) >= 0
        return is_match, len(self.parts)


def _normalize_path(url: str) -> str:
    """Path and query of a URL as rules are matched against them. The fragment is never sent."""
    rest = url.partition("#")[0]
    scheme, separator, after = rest.partition("://")
    if separator and "/" not in scheme:
        authority_end = re.search(r"[/?]", after)
        rest = after[authority_end.start() :] if authority_end else ""
    return _normalize_escapes(rest if rest.startswith("/") else f"/{rest}")


def _normalize_escapes(text: str) -> str:
    """One spelling of each octet: all but unreserved characters and "/" percent-encoded (RFC 9309 section 2.2.2)."""
    if _PLAIN.fullmatch(text):
        return text
    pieces = _KEPT_ESCAPES.split(text)  # the separators stand at the odd indexes
    pieces[::2] = [quote(unquote_to_bytes(piece.encode("utf-8", "replace")), safe="/") for piece in pieces[::2]]
    return "".join(pieces).replace("%2f", "%2F")
