"""The fast pass finds exactly what trafilatura's own fast mode finds, and leaves trafilatura as it was."""

import pytest
import trafilatura
from trafilatura import xpaths

from newsmill.extraction.body.fast_pass import run_fast_pass
from newsmill.extraction.html import parse_html

TEXT = "".join(
    f"<p>The council met for the {n}th time and voted to keep the ferry running through the winter months.</p>" for n in range(12)
)
OTHER = "<p>Another article of the same site, which the page appends when its reader scrolls down to the end of the first one.</p>" * 3
PAGES = {
    "boxes beside the text": f"<div class='post-content'><h1>Ferry</h1>{TEXT}<div id='share'>Share this</div>"
    f"<aside class='related'>{OTHER}</aside></div><div class='footer'>{OTHER}</div>",
    "comments": f"<article>{TEXT}</article><ul class='comment-list'><li>{OTHER}</li></ul>",
    "order of id and class": f"<main>{TEXT}<div class='text' id='cookie-story'>{OTHER}</div>"
    f"<div id='text-2' class='cookie'>{OTHER}</div></main>",
    "appended articles": f"<h1>Ferry</h1><div>{TEXT}</div><div class='infinite-scroll'>{OTHER}<h1>Another</h1></div>",
    "appended articles without a headline": f"<h1>Ferry</h1><div>{TEXT}</div><div class='infinite-scroll'>{OTHER}</div>",
    "names that lxml cannot make": f"<article><fb:like class='share'>Like</fb:like>{TEXT}<x<y id=nav>{OTHER}</x<y></article>",
    "little text in much": f"<div class='story'><p>Short text of an article.</p></div><div>{'<span>word</span> ' * 900}</div>",
    "no paragraphs": f"<div class='cookie-banner'>{OTHER}</div><div>{'Words of the page without any markup. ' * 9}</div>",
    "forum": f"<script type='application/ld+json'>{{\"@type\": \"DiscussionForumPosting\"}}</script><div class='comments'>{TEXT}</div>",
    "nothing": "<p></p>",
}


@pytest.mark.parametrize("name", PAGES)
def test_the_result_is_that_of_trafilatura(name: str) -> None:
    tree = parse_html(f"<html><head><title>Ferry</title></head><body>{PAGES[name]}</body></html>").tree
    assert tree is not None
    lists = [*xpaths.BODY_XPATH, *xpaths.OVERALL_DISCARD_XPATH]
    expected = trafilatura.bare_extraction(tree, include_comments=False, with_metadata=False, fast=True)
    for _ in range(2):  # the second time from kept answers
        found = run_fast_pass(tree, None)
        assert (found and found.text) == (expected and expected.text)
    assert [*xpaths.BODY_XPATH, *xpaths.OVERALL_DISCARD_XPATH] == lists
