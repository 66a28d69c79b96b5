"""What an extractor is spared: thousands of inline elements in one."""

from __future__ import annotations

from html_pages import html, paragraphs
from lxml import etree

from newsmill.extraction.body.extract import MAX_CHILDREN, simplify_wide_elements
from newsmill.extraction.html import parse_html


def test_formatting_in_a_wide_element_becomes_one_text() -> None:
    many = "one <b>two</b> <time>gone</time>three " * MAX_CHILDREN
    tree = parse_html(html(f"<p>{many}<a href='/x'>link</a> end</p>{paragraphs()}")).tree
    assert tree is not None
    before = etree.tostring(tree)
    found = simplify_wide_elements(tree)
    wide = found.find(".//p")
    assert wide is not None and [child.tag for child in wide] == ["a"]
    assert " ".join((wide.text or "").split()) == " ".join(["one two three"] * MAX_CHILDREN)
    assert wide.xpath("count(text())") == 2.0, "a text node on either side of the link"
    assert etree.tostring(tree) == before, "the page's own tree is as it was"


def test_any_other_page_is_the_same_tree() -> None:
    tree = parse_html(html(f"<p>{'<b>x</b>' * (MAX_CHILDREN - 1)}</p>{paragraphs()}")).tree
    assert tree is not None and simplify_wide_elements(tree) is tree
