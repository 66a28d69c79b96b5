"""Text that stands in a script only: found for a page without text, about its title, and never code or another article."""

from __future__ import annotations

import json
import time

import lxml.html
import pytest

from newsmill.extraction.body.extract import extract_body
from newsmill.extraction.body.scripts import find_script_blocks
from newsmill.model import BlockType, Markup

TITLE = "Old bridge stays open"
TEXT = [
    "The council of the town voted on Tuesday to keep the old bridge open to people on foot and on bicycles.",
    "Engineers had warned in spring that its middle pier stands on wood that has begun to rot under water.",
    "Repairs will cost eleven million, most of it paid by the region, and should take about two summers.",
    "The mayor said that it stays because a new bridge would cost four times as much to build and to keep.",
]
HTML = "".join(f"<p>{line}</p>" for line in TEXT)
INNER = json.dumps({"article": {"id": 7, "contentHtml": HTML}})
STATES = {
    "a string of HTML": f"window.state = {INNER};",
    "plain lines": "window.state = " + json.dumps({"body": "\n".join(TEXT)}),
    "a string in a string": f"self.__next_f.push([1,{json.dumps('7:' + INNER)}])",
    "escaped markup": "window.state = " + INNER.replace("<", "\\u003c"),
}


def page(script: str, shown: str = "") -> lxml.html.HtmlElement:
    head = f'<head><title>{TITLE}</title><meta property="og:title" content="{TITLE}"></head>'
    return lxml.html.document_fromstring(f"<html>{head}<body>{shown}<script>{script}</script></body></html>")


SLATE = [
    {"type": "p", "children": [{"type": "text", "data": line[:20]}, {"type": "b", "children": [{"data": line[20:]}]}]} for line in TEXT
]
PORTABLE = [{"_type": "block", "style": "normal", "children": [{"_type": "span", "text": line}]} for line in TEXT]
CONTENTFUL = {"nodeType": "document", "content": [{"nodeType": "paragraph", "content": [{"value": line}]} for line in TEXT]}
TREES = {
    "slate": f"window.__STATE__ = {json.dumps({'id': 7, 'body': {'json': SLATE}})};",
    "portable text": json.dumps({"props": {"article": {"body": PORTABLE}, "other": [{"title": TEXT[0]}]}}),
    "contentful": json.dumps({"fields": {"text": CONTENTFUL}}),
}


def test_links_and_levels_are_kept():
    html = f"<h3>{TITLE}</h3>" + HTML.replace("old bridge", '<a href="/bridge">old bridge</a>')
    heading, first, *_ = find_script_blocks(page("window.state = " + json.dumps({"html": html})), TITLE)
    assert heading.markup == Markup(level=3)
    assert first.markup is not None
    assert [(first.text[link.start : link.end], link.url) for link in first.markup.links] == [("old bridge", "/bridge")]


@pytest.mark.parametrize("script", TREES.values(), ids=TREES.keys())
def test_the_text_is_found_as_a_tree_of_nodes(script: str):
    assert [block.text for block in find_script_blocks(page(script), TITLE)] == TEXT
    assert find_script_blocks(page(script), "Lighthouse keeper retires") == ()


def test_a_tree_may_nest_as_deep_as_it_likes():
    assert find_script_blocks(page("x = " + '{"children":[' * 50_000), TITLE) == ()
    assert find_script_blocks(page("x = " + '{"children":[' * 900 + '{"text":"end"}' + "]}" * 900), TITLE) == ()


def test_captions_and_gaps_for_advertisements_are_no_text_of_a_script():
    inner = f'<div class="photo-box"><div class="caption"><p>{TEXT[0]} AFP</p></div></div>$$ARTICLEAD$${HTML}'
    found = find_script_blocks(page("x = " + json.dumps({"html": inner})), TITLE)
    assert [block.text for block in found if block.type is BlockType.PARAGRAPH] == TEXT
    assert [block.type for block in found if block.text.endswith("AFP")] == [BlockType.CAPTION]


@pytest.mark.parametrize("script", STATES.values(), ids=STATES.keys())
def test_the_text_is_found(script: str):
    assert [block.text for block in find_script_blocks(page(script), TITLE)] == TEXT


def test_a_page_that_shows_nothing_gets_it_with_a_warning():
    found = extract_body(page(STATES["a string of HTML"], "<nav><a href='/'>Home</a></nav>"), None)
    assert [block.text for block in found.blocks if block.kept] == TEXT
    assert found.warnings[-1] == "the text stands in a script only"


def test_a_page_with_text_keeps_its_own():
    shown = "".join(f"<p>{line} So it was said.</p>" for line in TEXT)
    found = extract_body(page(STATES["a string of HTML"], f"<main>{shown}</main>"), None)
    assert all(block.layer != "script" for block in found.blocks)


@pytest.mark.parametrize(
    "script",
    [
        "var help = " + json.dumps("if (a) { b = c; } else { d(); } " * 40),
        "window.other = "
        + json.dumps({"body": "\n".join(line.replace("bridge", "tower").replace("open", "shut") for line in TEXT[1:3]) * 3}),
        "window.short = " + json.dumps({"body": TEXT[0]}),
        'broken = "' + "x" * 500,
        '"' + "\\" * 100_001,
    ],
    ids=["code", "another article", "a teaser", "an open string", "only backslashes"],
)
def test_what_is_no_text_of_this_page_is_left(script: str):
    assert find_script_blocks(page(script), "Old bridge keeps open for all") == ()


def test_the_search_index_of_a_site_has_other_articles():
    """Themes of static sites put the texts of all articles into each page. A notice is shorter than what a page without text shows."""
    notice = "The old bridge stays open on Sunday, which our report of the day before yesterday had left out."
    articles = [" ".join(line.replace("council", f"council of district {number}") for line in TEXT) for number in range(3)]
    index = "var documents = " + json.dumps([{"id": n, "title": "Old", "body": text} for n, text in enumerate([notice, *articles])])
    found = extract_body(page(index, f"<main><article><h1>{TITLE}</h1><p>{notice}</p></article></main>"), None)
    assert [block.text for block in found.blocks if block.kept and block.type is BlockType.PARAGRAPH] == [notice]
    # the same texts, of which one is the rest of what the page shows
    state = "window.state = " + json.dumps({"teaser": notice, "body": f"{notice} {articles[0]}", "others": articles[1:]})
    assert find_script_blocks(page(state), TITLE, notice)


def test_a_string_is_parsed_under_the_caps_of_a_page():
    """libxml2's time grows faster than the number of attributes: minutes for these, were they not cut."""
    attributes = " ".join(f"a{n}=1" for n in range(100_000))
    string = f"<p {attributes}>" + "The council votes on the old bridge again. " * 20 + "</p>"
    tree = lxml.html.document_fromstring(f"<body><script>x={json.dumps(string)}</script></body>")
    started = time.process_time()
    assert find_script_blocks(tree, "council votes bridge")
    assert time.process_time() - started < 15
