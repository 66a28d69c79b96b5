"""Which of a page's titles is the headline, and what is only the site's name."""

from __future__ import annotations

import pytest

from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.extraction.metadata.titles import find_title, join_letters, remove_site_name

URL = "https://www.morning-paper.example/a/b.html"
JSON_LD = '<script type="application/ld+json">{{"@type":"NewsArticle","headline":"{}"}}</script>'


def title(head: str = "", body: str = "", hint: str | None = None) -> tuple[str, str] | None:
    tree = parse_html(f"<html><head>{head}</head><body>{body}</body></html>").tree
    assert tree is not None
    return find_title(read_structured_data(tree, URL), URL, hint)


def og(text: str) -> str:
    return f'<meta property="og:title" content="{text}">'


@pytest.mark.parametrize(
    ("head", "body", "want"),
    [
        ("<title>Bridge closes - Morning Paper</title>", "<h1>Bridge closes</h1>", ("Bridge closes", "dom")),
        (og("Bridge closes | Morning Paper") + '<meta property="og:site_name" content="Morning Paper">', "", ("Bridge closes", "meta")),
        (og("Bridge closes ｜ Morning Paper"), "", ("Bridge closes", "meta")),  # the site's name from its URL
        (
            JSON_LD.format("Bridge closes") + og("Bridge closes for cars: all you need to know"),
            "<h1>Bridge closes</h1>",
            ("Bridge closes", "dom"),
        ),
        # a title that is only the host's name is the last choice
        ("<title>morning-paper.example</title>", "<h1></h1><h2>Bridge closes</h2>", ("Bridge closes", "dom")),
        ('<meta name="title" content="morning-paper.example"><title>Bridge closes</title>', "", ("Bridge closes", "dom")),
        ("<title>morning-paper.example</title>", "<h2>Morning-Paper.example</h2>", ("morning-paper.example", "dom")),
        # a breadcrumb trail carries the search engine's title
        (
            JSON_LD.format("Lime bridge closed 2026") + og("A bridge says goodbye"),
            "<nav><ol class=breadcrumb><li><h1>Lime bridge closed 2026</h1></li></ol></nav>",
            ("A bridge says goodbye", "meta"),
        ),
        (
            og("A bridge says goodbye"),
            "<ul class=breadcrumbs><li><h1>Lime bridge 2026</h1></li></ul><h2>A bridge says goodbye</h2>",
            ("A bridge says goodbye", "dom"),
        ),
        # the site's name in a link to its homepage; its first word is in the title
        (
            '<meta property="og:title" content="Old paper found in a bridge">',
            '<h1><a href="https://daily.example/">The Daily Paper</a></h1><h3>Old paper found in a bridge</h3>',
            ("Old paper found in a bridge", "meta"),
        ),
        # the site's name in a logo
        ("<title>Bridge closes</title>", "<h1 class=logo>Morning Paper</h1><h2>Bridge closes</h2>", ("Bridge closes", "dom")),
        # the site's name in the h1 of each page
        (
            "<title>Bridge closes — The Valley Ledger</title>",
            "<header><h1>The Valley Ledger</h1></header><h2>Bridge closes</h2><h2>What it costs</h2>",
            ("Bridge closes", "dom"),
        ),
        # a box with the site's name below the headline
        ("<title>Bridge closes - Morning Paper</title>", "<h1>Bridge closes</h1><h2>Morning Paper</h2>", ("Bridge closes", "dom")),
        # a kicker inside the h1
        (
            og("Druze demand a share in the new government"),
            "<h1>Minority in Syria - Druze demand a share in the new government</h1>",
            ("Druze demand a share in the new government", "meta"),
        ),
        # a widget that translates the page
        (
            "<title>Home - a motto of many words</title>",
            "<h1>Bridge closes</h1><div id='goog-gt-tt' class='skiptranslate'><div><h1>Original text</h1></div></div>",
            ("Bridge closes", "dom"),
        ),
        # an h1 about something else
        (og("Bridge closes for cars"), "<h1>Our blog</h1>", ("Bridge closes for cars", "meta")),
        ("", "<h1>Only this</h1>", ("Only this", "dom")),
        ("<title>Home</title>", "", ("Home", "dom")),
        (og("Caf&amp;eacute; closes"), "", ("Café closes", "meta")),
        (og("Soft&amp;shy;ware"), "", ("Software", "meta")),
    ],
)
def test_which_title(head: str, body: str, want: tuple[str, str]) -> None:
    assert title(head, body) == want


def test_the_listing_comes_last_and_nothing_is_none() -> None:
    assert title(hint="From the feed") == ("From the feed", "feed")
    assert title(og("From the page"), hint="From the feed") == ("From the page", "meta")
    assert title() is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Bridge closes - BBC News", "Bridge closes"),
        ("BBC: Bridge closes", "BBC: Bridge closes"),  # a colon without white space before it parts no site name
        ("BBC News | Bridge closes", "Bridge closes"),
        ("Bridge - ferry - BBC", "Bridge - ferry"),
        ("The BBC - a history", "The BBC - a history"),
        ("BBC", "BBC"),
        ("", ""),
    ],
)
def test_cutting_the_sites_name(text: str, want: str) -> None:
    assert remove_site_name(text, frozenset({join_letters("BBC"), join_letters("BBC News")})) == want


@pytest.mark.parametrize(
    "text",
    [
        "大桥维修方案通过_江城日报网",
        "大桥维修方案通过_新闻_江城日报网",
        "大桥维修方案通过-江城日报网",
        "大桥维修方案通过--江城日报网",
        "大桥维修方案通过——江城日报网",
        "大桥维修方案通过丨江城日报网",
        "大桥维修方案通过 - 江城日报网",
        "大桥维修方案通过／江城日报网",
        "大桥维修方案通过（江城日报网）",
        "大桥维修方案通过【江城日报网】",
        "【江城日报网】大桥维修方案通过",
        "大桥维修方案通过 « Jiang Daily",
        "大桥维修方案通过 < Jiang Daily",
        "大桥维修方案通过 ★ Jiang Daily",
    ],
)
def test_cutting_the_sites_name_from_a_title_without_spaces(text: str) -> None:
    assert remove_site_name(text, frozenset({join_letters("江城日报网"), join_letters("Jiang Daily")})) == "大桥维修方案通过"


@pytest.mark.parametrize(
    "text", ["【独家】大桥维修方案通过", "大桥-渡轮", "专访：“大桥很旧”（下）", "one_two_three", "one_two_", "大桥】", "X—Y"]
)
def test_other_separators_in_titles_stay(text: str) -> None:
    assert remove_site_name(text, frozenset({join_letters("江城日报网"), join_letters("Jiang Daily")})) == text
