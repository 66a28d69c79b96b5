"""Any text becomes a tree, or says why not, in time that grows with its length."""

from __future__ import annotations

import re
import time

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from newsmill.extraction.html import MAX_DEPTH, parse_html, parse_source, prepare_html


def test_text_below_the_depth_limit_of_the_parser_is_kept() -> None:
    found = parse_html("<div>" * 1000 + "<p>deep</p>" + "</div>" * 1000 + "<p>after</p>")
    assert found.tree is not None
    assert "deep" in found.tree.text_content() and "after" in found.tree.text_content()
    assert found.warnings
    deepest = max(sum(1 for _ in element.iterancestors()) for element in found.tree.iter())
    assert deepest <= MAX_DEPTH + 1


def test_nesting_no_parser_follows_is_named() -> None:
    assert parse_html("<div>" * 100_000 + "text").too_deep


@pytest.mark.parametrize(
    "attributes",
    [
        " ".join(f"a{n}='1'" for n in range(100_000)),
        " ".join(f"a{n}" for n in range(100_000)),
        " ".join(f"a{n}='>'" for n in range(100_000)),
        "".join(f"/a{n}" for n in range(100_000)),
        "".join(f"a{n}='x'" for n in range(100_000)),
        "a=b " * 100_000,
    ],
)
def test_a_tag_with_100_000_attributes(attributes: str) -> None:
    started = time.process_time()
    found = parse_html(f"<html><body><p {attributes}>text</p></body></html>")
    assert time.process_time() - started < 10  # libxml2 alone takes a minute
    assert found.tree is not None
    assert found.tree.text_content() == "text"
    assert found.warnings


def test_a_comparison_in_a_script_is_no_tag() -> None:
    script = f"<script>for(d=0;d<e;++d)if(c===a[d])return!0;{'f(a, b=c) ' * 900}</script>"
    found = parse_html(f"<html><head>{script}</head><body><p>text</p></body></html>")
    assert found.tree is not None and not found.warnings
    assert "return!0" in (found.tree.findtext("head/script") or "")


def test_a_stray_quote_hides_nothing() -> None:
    """After a quoted value a second quote begins no value: a page of 4,000 characters behind it is not an attribute."""
    found = parse_html("<p><img src='/a.png''/></p><p>it's here</p>" + "<p>more</p>" + "x" * 5000)
    assert found.tree is not None
    assert "it's here" in found.tree.text_content()
    assert not found.warnings


@pytest.mark.parametrize(
    "text", ['<a "' * 200_000, "<" * 500_000, "<!--" * 500_000, "<script" * 200_000, "<a " + "=" * 500_000, "<p>" * 200_000]
)
def test_linear(text: str) -> None:
    started = time.process_time()
    parse_html(text)
    assert time.process_time() - started < 15


def test_characters_that_cut_a_page_off() -> None:
    found = parse_html("<p>one\0 two\ud800 three\x0b</p><p>four</p>")
    assert found.tree is not None
    assert found.tree.text_content() == "one two threefour"


@pytest.mark.parametrize("number", [*range(1, 0x20), 0x7F, 0xD800, 0xFDD0, 0xFFFD, 0xFFFE, 0xFFFF, 0x10FFFF, 0x110000])
def test_references_to_characters_that_xml_lacks(number: int) -> None:
    """Unwrapping the deep elements writes their text, and lxml refuses to write such characters."""
    spellings = f"&#{number};", f"&#{number}", f"&#000{number};", f"&#x{number:x};", f"&#X00{number:X} "
    html = "<div>" * 256 + " ".join(f"one{spelling}/two" for spelling in spellings) + f"&#&#{number};{number};"
    found = parse_html(html)
    assert found.tree is not None and found.warnings
    text = found.tree.text_content()
    assert text.count("one") == text.count("two") == len(spellings)
    etree.Element("p").text = text  # raises ValueError for what XML does not have


def test_a_reference_with_more_zeros_than_a_number_of_python_has() -> None:
    found = parse_html(f"<p>one&#{'0' * 5000}11;two&#x{'0' * 5000}b;three&#{'0' * 5000}65;")
    assert found.tree is not None
    assert found.tree.text_content() == "one two threeA"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", None),
        ("  \n", None),
        ("\0\0", None),
        ("<!-- only a comment -->", ""),
        ("<!doctype html>", ""),
        ("plain text", "plain text"),
        ("<?xml version='1.0' encoding='utf-16'?><p>x</p>", "x"),
    ],
)
def test_pages_that_hold_hardly_anything(text: str, content: str | None) -> None:
    found = parse_html(text)
    assert (None if found.tree is None else found.tree.text_content(), found.too_deep, found.warnings) == (content, False, ())


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()) | st.sampled_from("<>/='\"!-& "), max_size=300))
def test_any_text_gives_a_tree_that_can_be_written_as_xml(text: str) -> None:
    found = parse_html(text)
    if found.tree is None:
        assert found.too_deep or not re.sub(r"[^<\w]", "", text), "only a page that holds nothing has no tree"
        return
    etree.Element("p").text = found.tree.text_content()  # raises ValueError for characters that XML does not have
    assert max(len(list(element.iterancestors())) for element in found.tree.iter()) <= MAX_DEPTH + 1


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="<&"), min_size=1, max_size=200))
def test_text_without_markup_stays_as_it_is(text: str) -> None:
    found = parse_html(f"<p>x{text}")
    assert found.tree is not None
    assert found.tree.text_content() == f"x{text}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('<div role="heading" aria-level="1">A</div>', "h1"),
        ("<p role=heading aria-level=3>A</p>", "h3"),
        ('<span role="heading">A</span>', "h2"),
        ('<div role="heading" aria-level="9">A</div>', "h2"),
        ('<button role="heading" aria-level="1">A</button>', "button"),
        ('<div role="group" class="heading">A</div>', "div"),
    ],
)
def test_a_box_with_the_role_of_a_heading_is_one(written: str, expected: str) -> None:
    tree = parse_html(f"<body>{written}</body>").tree
    assert tree is not None and [element.tag for element in tree.iterfind("body/*")] == [expected]
    kept = parse_source(prepare_html(written.encode()), keeps_components=True).tree  # for selectors of an operator
    assert kept is not None and not kept.findall(".//h1")


@pytest.mark.parametrize("halves", ["&#55357;&#56832;", "&#xD83D;&#xDE00;", "&#xd83d&#xde00;", "&#0055357;&#56832", "&#55357;&#xDE00;"])
def test_a_character_written_as_its_two_halves_is_one(halves: str) -> None:
    tree = parse_html(f"<p>fun {halves} here</p>").tree
    assert tree is not None
    assert tree.text_content() == "fun \N{GRINNING FACE} here"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<x-story><p>One.</p></x-story>", '<div class="x-story"><p>One.</p></div>'),
        ("<div><x-a>One.</x-a><x-a>Two.</x-a></div>", '<div><div class="x-a">One.</div><div class="x-a">Two.</div></div>'),
        ('<p>The <x-note class="a">bridge</x-note> stays.</p>', '<p>The <span class="x-note a">bridge</span> stays.</p>'),
        ("<p><a><x-title>One</x-title></a></p>", '<p><a><span class="x-title">One</span></a></p>'),
        ('<article><template shadowrootmode="open"><p>One.</p></template></article>', "<article><p>One.</p></article>"),
        ("<article><template><p>One.</p></template></article>", "<article><template><p>One.</p></template></article>"),
    ],
)
def test_web_components_become_plain_elements(written: str, expected: str) -> None:
    tree = parse_html(f"<html><body>{written}</body></html>").tree
    assert tree is not None and lxml.html.tostring(tree, encoding="unicode") == f"<html><body>{expected}</body></html>"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('What it costs<a hidden class="anchor" aria-hidden="true" href="#cost">#</a>', "What it costs"),
        ('What it costs<a class="headerlink" href="#cost" title="Permanent link">\u00b6</a>', "What it costs"),
        ('<a href="#cost"><span aria-hidden="true">\u00a7</span></a> What it costs', " What it costs"),
        ('<a href="#cost">What it costs</a>', "What it costs"),
        ('Rules in C<a href="/tag/c">#</a>', "Rules in C#"),
        ('Item <a href="#c">3</a>', "Item 3"),
    ],
)
def test_marks_that_link_to_a_section_are_no_part_of_its_heading(written: str, expected: str) -> None:
    tree = parse_html(f"<html><body><h2 id=cost>{written}</h2><p>One<a href='#a'>*</a></p></body></html>").tree
    assert tree is not None and tree.text_content() == f"{expected}One*"
