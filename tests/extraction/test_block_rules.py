"""The hand gate's rules on constructed pages: each names what a person would name, and prose has no name."""

from __future__ import annotations

import lxml.html
import pytest

from newsmill.extraction.body import block_rules
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.layout_stats import LayoutStats
from newsmill.extraction.body.page_facts import PageFacts
from newsmill.extraction.body.page_stats import PageStats

PROSE = "<p>The council of the town voted on Tuesday to keep the old bridge open to people on foot.</p>"


def view_of(inside: str, kept: bool = True) -> PageStats:
    layout = segment(lxml.html.document_fromstring(f"<html><body><main>{inside}</main></body></html>"))
    return PageStats(LayoutStats(layout, PageFacts(title="Old bridge stays open - The Paper")), [1.0 if kept else 0.0] * len(layout.blocks))


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<h1>Old bridge stays open</h1>", "headline repeated"),
        ("<p>Read more: <a href='/'>why the bridge was built</a></p>", "read-more line"),
        ("<p><a href='/'>Five bridges that you should have seen</a></p>", "nothing but a link"),
        ("<p>Sign up for our newsletter and get the news in your inbox</p>", "newsletter or sign-up box"),
        ("<p class='byline'>Ann Example, Springfield</p>", "byline"),
        ("<figure><figcaption>The bridge in spring, seen from the north.</figcaption></figure>", "caption"),
        ("<p>One two three four five.</p>" + PROSE + "<p>One two three four five.</p>", "repeated on this page"),
        ("<div class='related'><p>A story that is like this one</p></div>", "related pages"),
        (PROSE, None),
        ("<h2>What the engineers say</h2>", None),
        ("<p>Source code of the model is open, said the <a href='/'>institute</a>.</p>", None),
    ],
)
def test_reasons(inside: str, expected: str | None):
    stats = view_of(PROSE.replace("town", "city") + inside)
    assert block_rules.find_reason(stats, len(stats.blocks) - 1) == expected


def test_a_heading_far_down_is_not_the_headline():
    stats = view_of(PROSE * 6 + "<h1>Another part</h1>")
    assert block_rules.find_rule(stats, len(stats.blocks) - 1) is None


def test_class_words_only_explain():
    stats = view_of(PROSE + "<div class='teaser'><p>A story that is like this one</p></div>")
    assert block_rules.find_rule(stats, 1) is None
    assert block_rules.find_reason(stats, 1) == "teaser"


def test_comments_are_known_by_the_box_around_them():
    stats = view_of(PROSE * 4 + "<div id='comments'><div><p>I do not agree with a word of this.</p></div></div>")
    assert [block_rules.is_in_comments(stats, i) for i in (0, len(stats.blocks) - 1)] == [False, True]


@pytest.mark.parametrize("names", ['class="OUTBRAIN"', 'class="ob-widget"', 'id="taboola-below-article"', 'class="trc_rbox_div trc_rbox"'])
def test_boxes_of_recommendation_services_are_beside_the_text(names: str):
    stats = view_of(f"{PROSE * 4}<div {names}><div><a href='/x'>What people did after work</a></div></div>")
    assert [block_rules.find_settled(stats, i) for i in (0, len(stats.blocks) - 1)] == [None, block_rules.BESIDE_TEXT]


def test_a_menu_is_beside_the_text_although_trafilatura_has_its_words():
    """The text has the words of the link, so the alignment takes the link for text."""
    stats = view_of(f"<nav><ul><li><a href='/x'>Bridges</a></li></ul></nav>{PROSE * 4}")
    assert block_rules.find_settled(stats, 0) == block_rules.BESIDE_TEXT


@pytest.mark.parametrize(
    ("inside", "stays"),
    [
        (PROSE + "<pre>git init</pre>" + PROSE, True),
        (PROSE + "<p>Copy</p><pre>git init</pre><p>View source</p>" + PROSE, True),
        (PROSE + "<pre>git init</pre>", False),
        (PROSE + "<p>Copy</p><p>Wrap</p><pre>git init</pre>" + PROSE, False),
    ],
)
def test_code_in_the_text_stays(inside: str, stays: bool):
    blocks = view_of(inside).blocks
    kept = frozenset(block.index for block in blocks if len(block.words) > 5)
    (code,) = (block.index for block in blocks if block.box.tag == "pre")
    assert block_rules.find_restored(view_of(inside, kept=False), range(len(blocks)), kept) == (frozenset({code}) if stays else frozenset())
