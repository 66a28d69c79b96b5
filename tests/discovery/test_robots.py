"""robots.txt: decisions by RFC 9309, statuses, hostile files in bounded work; declarations. The suites are in tests/conformance."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsmill.discovery.mining_declarations import (
    find_header_declarations,
    find_meta_declarations,
    find_robots_declarations,
    read_ai_txt,
    read_tdmrep,
)
from newsmill.discovery.robots import MAX_SEARCHES, RobotsTxt

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FORBIDDEN = b"User-agent: *\nDisallow: /\n"


def test_rules_delay_and_sitemaps():
    robots = RobotsTxt.parse(
        b"\xef\xbb\xbfUser-agent: newsmill\nDisallow: /intern/\nAllow: /intern/open\nCrawl-delay: 2.5\n"
        b"User-agent: *\nDisallow: /\nSitemap: https://other.example/sitemap.xml\n"
    )
    assert robots.can_fetch("https://a.example/news", "newsmill")
    assert not robots.can_fetch("https://a.example/intern/x", "newsmill/0.1 (+https://a.example)")
    assert robots.can_fetch("https://a.example/intern/open", "newsmill")
    assert not robots.can_fetch("https://a.example/news", "otherbot")
    assert robots.crawl_delay("newsmill") == 2.5
    assert robots.crawl_delay("otherbot") is None
    assert robots.sitemaps == ("https://other.example/sitemap.xml",)


@pytest.mark.parametrize(("written", "seconds"), [(b"1e9", 120.0), (b"-5", None), (b"soon", None), (b"nan", None), (b"0", 0.0)])
def test_crawl_delay_is_clamped(written, seconds):
    assert RobotsTxt.parse(b"User-agent: *\nCrawl-delay: " + written).crawl_delay("newsmill") == seconds


def test_request_rate_is_a_delay():
    assert RobotsTxt.parse(b"User-agent: *\nRequest-rate: 1/10s").crawl_delay("newsmill") == 10


@pytest.mark.parametrize(
    ("status", "allowed", "reachable"),
    [
        (200, False, True),
        (404, True, True),
        (403, True, True),
        (301, True, True),
        (429, False, False),
        (500, False, False),
        (None, False, False),
    ],
)
def test_statuses(status, allowed, reachable):
    robots = RobotsTxt.from_response(status, FORBIDDEN)
    assert (robots.can_fetch("https://a.example/", "newsmill"), robots.is_reachable) == (allowed, reachable)


def test_html_and_bytes_after_500_kib_are_ignored():
    assert RobotsTxt.parse(b"<!DOCTYPE html><pre>" + FORBIDDEN).can_fetch("https://a.example/x", "newsmill")
    assert RobotsTxt.parse(b"# " + b"x" * 512_000 + b"\n" + FORBIDDEN).can_fetch("https://a.example/x", "newsmill")
    assert RobotsTxt.parse(FORBIDDEN[:-1] + b"x" * 512_000).can_fetch("https://a.example/x", "newsmill")


@pytest.mark.parametrize(
    ("robots", "agent", "forbidden"),
    [
        # Any line but Allow and Disallow may stand between two names of a group: RFC 9309 section 2.2.4.
        ("User-agent: newsmill\nNoindex: /x\nUser-agent: b\nDisallow: /", "newsmill", True),
        ("User-agent: newsmill\nSitemap: /s\nCrawl-delay: 5\nUser-agent: b\nDisallow: /", "newsmill", True),
        ("User-agent: newsmill\nDisallow: /a\nUser-agent: b\nDisallow: /", "newsmill", False),
        ("User-agent: newsmill\nDisallow:\nUser-agent: b\nDisallow: /", "newsmill", False),
        # Tokens are compared whole: RFC 9309 section 2.2.1.
        ("User-agent: news\nDisallow: /", "newsmill", False),
        ("User-agent: mill\nDisallow: /", "newsmill", False),
        ("User-agent: newsmills\nDisallow: /", "newsmill", False),
        ("User-agent: a\nDisallow: /", "newsmill", False),
        ("User-agent: NewsMill/2.0 beta\nDisallow: /", "newsmill", True),
        ("User-agent: newsmill-archive\nDisallow: /", "newsmill", False),
        ("User-agent: newsmill\nDisallow: /", "newsmill-archive", True),
        ("User-agent: newsmill\nDisallow: /\nUser-agent: newsmill-archive\nAllow: /", "newsmill-archive", False),
        ("User-agent: *\nDisallow: /\nUser-agent: newsmill\nAllow: /b", "newsmill", False),
        # Two groups of one name are one: RFC 9309 section 2.2.1.
        ("User-agent: newsmill\nAllow: /b\nUser-agent: b\nDisallow:\nUser-agent: newsmill\nDisallow: /", "newsmill", True),
        # Lines that are not rules are ignored.
        ("<!--\nUser-agent: *\nDisallow: /\n-->", "newsmill", True),
        ("User agent strings that begin so are not a rule\nDisallow: /", "newsmill", False),
        ("USERAGENT *\rDissallow /", "newsmill", True),
    ],
)
def test_which_group_applies(robots, agent, forbidden):
    assert RobotsTxt.parse(robots.encode()).can_fetch("https://a.example/story", agent) is not forbidden


@pytest.mark.parametrize(
    ("rules", "url", "allowed"),
    [
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Disallow: /a*\nAllow: /a", "/a", False),
        ("Disallow: /\nAllow: /$", "/?x=1", False),
        ("Disallow: /*.pdf$", "/a.pdf?x", True),
        ("Disallow: /*/b*/c$", "/a/bb/c", False),
        ("Disallow: /*c$", "/c", False),
        ("Disallow: /*aa*aa$", "/aaa", True),
        ("Disallow: /a%2Ab", "/a*b", False),
        ("Disallow: /a%2Ab", "/axb", True),
        ("Disallow: /a%24", "/a$c", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /a%2fb", "/a%2Fb", False),
        ("Disallow: /%c3%a4", "/ä", False),
        ("Disallow: /ä", "/%C3%A4x", False),
        ("Disallow: /x?a=[1]", "/x?a=%5B1%5D", False),
        ("Disallow: /%2525", "/%2525", False),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow: /#all", "/x", False),
        ("Disallow: x", "/x", True),
        ("Disallow: /\nAllow: /news/index.html", "/news/", True),
        ("Disallow: /?", "?q=1", False),
    ],
)
def test_which_rule_decides(rules, url, allowed):
    assert RobotsTxt.parse(f"User-agent: *\n{rules}".encode()).can_fetch(f"https://a.example{url}", "newsmill") is allowed


def test_a_delay_applies_to_the_names_before_it():
    robots = RobotsTxt.parse(
        b"User-agent: a\nCrawl-delay: 2\nUser-agent: b\nUser-agent: c\nCrawl-delay: 7\nRequest-rate: 2/1m 0600-0845\nDisallow: /"
    )
    assert [robots.crawl_delay(agent) for agent in ("a", "b", "c", "d")] == [2, 30, 30, None]


def matches_by_definition(pattern: str, path: str) -> bool:
    """Matches a pattern as a regular expression: the definition, in unbounded time."""
    body = "".join(".*" if char == "*" else re.escape(char) for char in pattern.removesuffix("$"))
    return re.match(body + (r"\Z" if pattern.endswith("$") else ""), path) is not None


patterns = st.text("ab/*$", max_size=8).map(lambda text: "/" + text)


@given(st.lists(st.tuples(st.booleans(), patterns), max_size=6), st.text("ab/$", max_size=10).map(lambda text: "/" + text))
@example([(False, "/*a*a$")], "/a")
def test_the_longest_pattern_decides_as_by_definition(rules, path):
    robots = RobotsTxt.parse("\n".join(["User-agent: *", *(f"{'Allow' if allow else 'Disallow'}: {p}" for allow, p in rules)]).encode())
    encoded = path.replace("$", "%24")
    spelled = [(len(p[:-1].replace("$", "%24")) + 1 if p.endswith("$") else len(p.replace("$", "%24")), allow, p) for allow, p in rules]
    matching = [(length, allow) for length, allow, p in spelled if matches_by_definition(p[:-1].replace("$", "%24") + p[-1], encoded)]
    assert robots.can_fetch(path, "newsmill") is max(matching, default=(0, True))[1]


HOSTILE = {
    "names": b"".join(b"User-agent: %d\n" % i for i in range(25_000)) + b"Disallow: /a\n" * 9_000,  # protego alone: 284 s
    "rules": b"User-agent: *\n" + b"Disallow: /*a*b*c$\n" * 30_000,
    "wildcards": b"User-agent: *\n" + b"".join(b"Disallow: *a$%d\n" % n for n in range(29_000)),
    "parts": b"User-agent: *\n" + b"".join(b"Disallow: *a*a*a*a*a%d\n" % n for n in range(20_000)),
    "lengths": b"User-agent: *\n" + b"".join(b"Disallow: /%sb\n" % (b"a" * n) for n in range(950)),
    "stars": b"User-agent: *\nDisallow: /" + b"*a" * 200_000,
    "own name": b"User-agent: n*e*w*s\n" * 20_000 + b"Disallow: /\n",
    "delays": b"User-agent: *\nCrawl-delay: 1\n" * 15_000,
    "blanks": b"User-agent: " + b" " * 500_000,
    "binary": bytes(range(256)) * 2_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_take_bounded_work(body):
    """A pattern of many parts needs at most one search for each character of the URL."""
    decision = RobotsTxt.parse(body).decide("https://a.example/" + "a" * 2_000, "newsmill")
    assert decision.searches <= MAX_SEARCHES + 2_000
    assert decision.is_allowed is decision.is_complete


def test_an_undecided_url_is_refused():
    robots = RobotsTxt.parse(HOSTILE["wildcards"][:400_000] + b"\nDisallow: /a/much/longer/pattern/*/that/decides\n")
    assert robots.decide("https://a.example/a/b", "newsmill")[::2] == (False, False)
    assert robots.decide("https://a.example/a/much/longer/pattern/x/that/decides", "newsmill") == (False, 3, True)


def test_real_files_are_far_from_the_bound(cases, body):
    for case in cases("robots", "real-robots"):
        robots = RobotsTxt.parse(body(case))
        decision = robots.decide("https://www.example.com/a/b/c-d?x=1", "newsmill")
        delay = robots.crawl_delay("newsmill")
        assert decision.is_complete and decision.searches < MAX_SEARCHES / 4, case["id"]
        assert delay is None or 0 <= delay <= 120


@given(st.binary() | st.text("User-agent: *\nDisallow/%2F$#\r\ufeff").map(str.encode), st.text(), st.text())
def test_any_bytes_can_be_parsed(body, url, agent):
    assert isinstance(RobotsTxt.parse(body).can_fetch(url, agent), bool)


# ---- declarations


def test_declarations_are_quoted() -> None:
    headers = [("TDM-Reservation", "1"), ("Content-Type", "text/html"), ("x-robots-tag", "noai")]
    assert [(one.name, one.value) for one in find_header_declarations(headers)] == [("tdm-reservation", "1"), ("x-robots-tag", "noai")]
    html = b'<html><head><META NAME="robots" content="noai,  noimageai"><meta name=viewport content=x><meta name="tdm-policy" content="https://a/p">'
    assert [one.value for one in find_meta_declarations(html)] == ["noai, noimageai", "https://a/p"]
    robots = b"User-agent: *\nContent-Signal: ai-train=no, search=yes # comment\nDisallow:\nContent-Usage: train-ai=n\n"
    assert [one.value for one in find_robots_declarations(robots, "u")] == ["ai-train=no, search=yes", "train-ai=n"]
    (rule,) = read_tdmrep(b'[{"location": "/*", "tdm-reservation": 1, "tdm-policy": "https://a/p", "x": [1]}, 7, {"location": "/"}]', "u")
    assert rule.value == '{"location": "/*", "tdm-reservation": 1, "tdm-policy": "https://a/p"}'
    assert [one.value for one in read_ai_txt(b"# ai\nUser-Agent: *\nDisallow: *\n", "text/plain", "u")] == ["User-Agent: *", "Disallow: *"]


def test_hostile_declarations_give_nothing_or_are_cut() -> None:
    assert read_tdmrep(b"[" * 100_000, "u") == read_tdmrep(b'{"a": 1}', "u") == read_tdmrep(b"<html>", "u") == []
    assert read_ai_txt(b"<!doctype html><html>", "text/plain", "u") == []
    assert len(find_header_declarations([("X-Robots-Tag", "x" * 5000)] * 100)) == 20
    assert len(find_meta_declarations(b'<meta name="robots" content="' + b"x" * 1500 + b'">')[0].value) == 300
    assert find_meta_declarations(b"<meta " * 100_000) == []
