"""Emptied boxes: the parser makes the same of everything else on the page, whatever is on it, and what fields are read from stays."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator, Set
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml.html import HtmlElement

from newsmill.extraction.body.blocks import make_signature
from newsmill.extraction.html import HtmlSource, parse_source, prepare_html
from newsmill.extraction.site_profile.html_pruner import NESTED_TAGS, HtmlPruner
from newsmill.text.charset import to_utf8

SIGNS = frozenset(("div.x", "aside", "footer.x", "nav.menu", "section.x", "header.x"))
READ = ("h1", "h2", "time", "figcaption", "meta", "link", "base")

TAGS = ["div", "div", "div", "aside", "footer", "nav", "section", "main", "p", "ul", "li", "a", "span", "b", "table", "tr", "td", "form"]
TAGS += ["button", "option", "h1", "h2", "h3", "time", "figure", "figcaption", "svg", "body", "html", "br", "img", "meta", "noscript", "dl"]
ATTRIBUTES = [
    "",
    "",
    "",
    " class=x",
    ' class="x"',
    " class='x'",
    ' class="x y"',
    " class=menu",
    ' id="a"',
    ' title="a>b"',
    " title='<div>a</div>'",
]
ATTRIBUTES += [' alt=a"b', " =class=x", ' CLASS="x"', " class", ' a=b class = "x"', '\nclass="x"', ' class="x" class="y"', " /", "/"]
ODD = ["<!-- <div> -->", "<!-->", "<!--a--!>", "<!-- -- ->-->", "<script>if (a<b) '<div>'</script>", "<script type=ld+json>{}</script>"]
ODD += [
    "<style>p>a{}</style>",
    "<title><div></title>",
    "<textarea></div></textarea>",
    "<!doctype html>",
    "<?php <div> ?>",
    "</ div>",
    "<div<b>",
]
ODD += [
    "<DIV class=x>",
    "</DIV>",
    "<![CDATA[<div>]]>",
    "<script><!-- <script> </script> --></script>",
    "<script",
    "<!--",
    "a < b",
    "</p>",
    "</>",
]

tag = st.builds(lambda name, attribute: f"<{name}{attribute}>", st.sampled_from(TAGS), st.sampled_from(ATTRIBUTES))
end = st.sampled_from(TAGS).map(lambda name: f"</{name}>")
words = st.sampled_from(["one", "two ", " ", "&amp;", "ä", "x\x01y"])
piece = st.one_of(tag, tag, end, words, st.sampled_from(ODD))


def boxed(name: str, attribute: str, inner: list[str]) -> str:
    return f"<{name}{attribute}>{''.join(inner)}</{name}>"


nested = st.recursive(
    piece | words,
    lambda inner: st.builds(boxed, st.sampled_from(TAGS), st.sampled_from(ATTRIBUTES), st.lists(inner, max_size=6)),
    max_leaves=40,
)
pages = st.lists(nested, max_size=12).map("".join)


def nodes(tree: HtmlElement) -> Iterator[HtmlElement]:
    return (element for element in tree.iter() if isinstance(element.tag, str))


def sign(box: HtmlElement) -> str:
    return make_signature(box.tag, box.get("class") or "")


def same(one: HtmlElement, whole: HtmlElement, signs: Set[str]) -> bool:
    """Whether both are the same but for what stood in closed boxes, none of which anything is read from."""
    if (one.tag, one.attrib.items(), one.tail) != (whole.tag, whole.attrib.items(), whole.tail):
        return False
    if whole.tag in NESTED_TAGS and sign(whole) in signs and not len(one) and not one.text:
        return not any(inner.tag in READ or "ld+json" in inner.get("type", "") for inner in nodes(whole) if inner is not whole)
    return one.text == whole.text and len(one) == len(whole) and all(map(same, one, whole, repeat(signs)))


@settings(max_examples=100)
@given(pages)
def test_everything_else_is_parsed_as_it_was(html: str) -> None:
    markup = prepare_html(html.encode())
    boxes = HtmlPruner(SIGNS)
    emptied = boxes.prune(markup.html)
    without = None if emptied is None else parse_source(HtmlSource(emptied)).tree
    if without is not None and not boxes.find_doubtful(without):
        whole = parse_source(markup).tree
        assert whole is not None and same(without, whole, SIGNS), emptied


def test_so_are_real_pages(shared: Path) -> None:
    """Every twentieth real page, its menus and a seventh of its other boxes closed: three in four nest without a fault."""
    chance, tried, emptied = random.Random(1), 0, 0
    for file in sorted((shared / "quality" / "data").rglob("*.html.gz"))[::20]:
        markup = prepare_html(to_utf8(gzip.decompress(file.read_bytes())))
        whole = parse_source(markup).tree
        assert whole is not None
        signs = {
            sign(box) for box in whole.iter(*NESTED_TAGS) if box.tag in ("nav", "aside", "footer", "header") or chance.random() < 1 / 7
        }
        boxes = HtmlPruner(signs)
        html = boxes.prune(markup.html)
        without = None if html is None else parse_source(HtmlSource(html)).tree
        tried += 1
        if without is not None and not boxes.find_doubtful(without):
            emptied += 1
            assert same(without, whole, signs), file
    assert emptied > tried / 2 > 10


MENU = "<nav class=menu><a href=/a>a</a></nav>"


@pytest.mark.parametrize(
    ("html", "left"),
    [
        (f"<body>{MENU}<p>text</body>", "<body><nav class=menu></nav><p>text</body>"),
        ("<div class='x' id=1><div><p>a<p>b</div></div>c", "<div class='x' id=1></div>c"),
        ("<div class=x><aside>a</aside></div><aside>b</aside>", "<div class=x></div><aside></aside>"),
        ("<div class=x>a<h2>b</h2></div><aside>c</aside>", "<div class=x>a<h2>b</h2></div><aside></aside>"),
        ("<figure><div class=x>a</div><figcaption>b</figcaption></figure><aside>c</aside>",
         "<figure><div class=x>a</div><figcaption>b</figcaption></figure><aside></aside>"),
        ("<div class=x><script>a<div</script></div>b", "<div class=x></div>b"),
        ("<div class=y>a</div>", None),  # no box is closed
        (f"{MENU}<div>", None),  # not well nested
        (f"{MENU}<div></section></div>", None),
        (f"{MENU}<div/>", None),
        (f"{MENU}<DIV>a</DIV>", None),
    ],
)  # fmt: skip
def test_what_is_emptied(html: str, left: str | None) -> None:
    found = HtmlPruner(SIGNS).prune(html.encode())
    assert (None if found is None else found.decode()) == left


def test_a_site_that_gains_nothing_is_left_alone_and_so_is_a_box_that_stands_where_text_may_be() -> None:
    boxes = HtmlPruner(SIGNS)
    assert boxes.is_worthwhile
    for number in range(32):
        assert boxes.is_worthwhile
        boxes.record(gained=number % 3 == 0)
    assert not boxes.is_worthwhile
    assert not HtmlPruner(frozenset({"p", "li.x"})).is_worthwhile
    often = HtmlPruner(SIGNS)
    for _ in range(30):
        often.record(gained=True)
    often.record_misplaced({"aside"})
    assert "aside" in often.signs
    for _ in range(3):
        often.record_misplaced({"aside"})
    assert "aside" not in often.signs and often.prune(b"<aside>a</aside>") is None
