"""What an extractor is spared: thousands of inline elements in one."""

from __future__ import annotations

from html_pages import html, paragraphs
from lxml import etree

from newsmill.extraction.body.trafilatura_blocks import MAX_CHILDREN, MAX_LINKS, simplify_wide_elements
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


def test_links_and_spans_are_spared_above_a_number() -> None:
    links = "<a href='/x'>link</a> " * (MAX_LINKS + 1)
    cells = f"<table>{'<tr><td rowspan=1000>a<td colspan=2>b' * 600}</table>"
    tree = parse_html(html(f"<p>{links}</p><p>some <a href='/x'>link</a> more</p>{cells}{'<br>' * 300}{paragraphs()}")).tree
    assert tree is not None
    before = etree.tostring(tree)
    found = simplify_wide_elements(tree)
    many, few = found.findall(".//p")[:2]
    assert len(many) == 0 and (many.text or "").split() == ["link"] * (MAX_LINKS + 1)
    assert [child.tag for child in few] == ["a"]
    assert found.xpath("count(//td) = 1200 and not(//td/@*)")
    assert etree.tostring(tree) == before, "the page's own tree is as it was"


def test_a_span_of_thousands_of_digits_is_one_of_the_largest() -> None:
    cells = f"<table>{'<tr><td rowspan=' + '9' * 5000 + '>a<td>b'}{'<tr><td rowspan=1000>a<td>b' * 1_000}</table>"
    tree = parse_html(html(f"{cells}{paragraphs()}")).tree
    assert tree is not None and not simplify_wide_elements(tree).xpath("//td/@*")
