"""Segmentation into blocks: boundaries, types, what is left out; and trafilatura's lines found again among them."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import lxml.html
import pytest
import trafilatura
from trafilatura.utils import decode_file

from newsmill.extraction.body.align import HALF, align
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.blocks import make_signature, split_words
from newsmill.model import BlockType


def blocks(html: str):
    return segment(lxml.html.document_fromstring(html)).blocks


def text_of(found):
    return "\n\n".join(block.text for block in found)


def test_a_block_ends_where_a_box_ends_and_at_two_line_breaks():
    found = blocks("<body><div>One <b>two</b> three<p>Four</p>five<br>six<br> <br>seven</div>")
    assert [block.text for block in found] == ["One two three", "Four", "five\nsix", "seven"]


@pytest.mark.parametrize("between", ["&nbsp;", "&#8203;", "&#xFEFF;", "&rlm;", "&shy;"])
def test_a_line_of_invisible_characters_is_empty(between: str):
    found = blocks(f"<body><div>one<br>{between}<br>two</div>")
    assert [block.text for block in found] == ["one", "two"]


def test_an_invisible_character_between_elements_is_no_space():
    assert text_of(blocks("<body><p>sea<b>&#8203;</b>side<wbr>&shy;<i>town</i></p>")) == "seasidetown"


def test_preformatted_text_keeps_its_lines():
    html = (
        "<body><pre>\r\nThe river  runs\r\n   below the <b>bridge</b>,\n\n\n\nthe ferry\n<a href='/x'>waits</a><i>.</i>\n\n<b>End</b></pre>"
        "<p>in\none\n\nline<br>and the\nnext</p>"
    )
    assert [block.text for block in blocks(html)] == [
        "The river runs\nbelow the bridge,\n\nthe ferry\nwaits.\n\nEnd",
        "in one line\nand the next",
    ]


def test_types_come_from_the_nearest_box_that_says_so():
    html = (
        "<body><h2>A</h2><ul><li><p>B</p></ul><blockquote><p>C</p></blockquote><table><tr><td>D</table>"
        "<figure><figcaption>E</figcaption></figure><pre>F</pre><div>G</div>"
    )
    assert [block.type for block in blocks(html)] == [
        BlockType.HEADING,
        BlockType.LIST,
        BlockType.QUOTE,
        BlockType.TABLE,
        BlockType.CAPTION,
        BlockType.CODE,
        BlockType.PARAGRAPH,
    ]


def test_scripts_and_inline_text_hidden_for_the_eye_are_left_out():
    html = '<body><p>Seen<span class="sr-only"> features</span><script>x = "no"</script> text<span style="display: none">no</span></p>'
    assert text_of(blocks(html)) == "Seen text"


def test_a_page_that_is_all_noscript_is_read():
    assert text_of(blocks("<body><noscript><p>Words</p></noscript>")) == "Words"


def test_soft_hyphens_do_not_cut_words():
    assert blocks("<body><p>Bundes\u00adkanzler</p>")[0].words == ["bundeskanzler"]


def test_joiners_of_persian_and_hindi_stay_in_the_text_and_do_not_cut_words():
    block = blocks("<body><p>سه\u200cشنبه</p>")[0]
    assert block.text == "سه\u200cشنبه"
    assert block.words == split_words("سهشنبه") == ["سهشنبه"]  # trafilatura's text has no joiners


def test_counts_of_links_and_bold():
    block = blocks('<body><p>Go <a href="/">there</a> <strong>now</strong></p>')[0]
    assert (block.link, block.bold, block.links) == (5, 3, 1)


def test_nesting_as_deep_as_the_parser_goes_is_followed():
    tree = lxml.html.document_fromstring("<div>" * 2_000 + "deep", parser=lxml.html.HTMLParser(huge_tree=True))
    (block,) = segment(tree).blocks
    assert block.text == "deep"
    assert block.box.path.startswith("…/div/div")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [("", "p"), ("story lead", "p.lead.story"), ("post-17", "p.post-0"), ("css-1x2ab3", "p"), ("sc-aB1cD2 text", "p.text")],
)
def test_signatures_are_shared_by_pages_of_one_layout(classes: str, expected: str):
    assert make_signature("p", classes) == expected


def test_align_finds_copies_in_order_and_cells_of_rows():
    found = blocks("<body><p>More here<p>A line of four words<table><tr><td>a<td>b</table><p>More here<p>The last line of all<p>More here")
    shares = align(["A line of four words", "a | b", "More here", "The last line of all"], found).shares
    assert shares == (0, 1, 1, 1, 1, 1, 0)


def test_align_finds_a_block_whose_lines_an_extractor_broke_up():
    found = blocks("<body><p>first line of some text<br>second line of some text<p>something quite other than that")
    alignment = align(["first line of some text", "second line of some text"], found)
    assert (alignment.shares[0], alignment.shares[1], alignment.covered) == (1.0, 0.0, 1.0)


def test_align_says_when_the_text_stands_in_no_block():
    assert align(["a text that came out of a script"], blocks("<body><p>nothing of the kind")).covered == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["aeb", "fundus-eval", "fundus-parser"])
def test_round_trip_costs_nothing(shared: Path, monkeypatch: pytest.MonkeyPatch, dataset: str):
    """trafilatura's text, rebuilt from the blocks it was aligned to, scores within 0.001 of itself (or better: hidden text is out)."""
    monkeypatch.syspath_prepend(str(shared / "quality"))
    score = sys.modules.get("score") or __import__("score")
    folder = shared / "quality" / "data" / dataset
    own, rebuilt = [], []
    for line in (folder / "gold.jsonl").read_text("utf-8").splitlines()[::6]:
        row = json.loads(line)
        html = decode_file(gzip.decompress((folder / "pages" / f"{row['id']}.html.gz").read_bytes()))
        found = trafilatura.bare_extraction(html, include_comments=False)
        text = found.text if found else ""
        tree = lxml.html.document_fromstring(html.encode("utf-8", "replace"), parser=lxml.html.HTMLParser(encoding="utf-8"))
        page = segment(tree).blocks
        shares = align(text.split("\n"), page).shares
        again = text_of(block for block in page if shares[block.index] >= HALF)
        for pages, candidate in ((own, text), (rebuilt, again)):
            pages.append(max((score.shingle_page(v, candidate)[0] for v in score.variants(row)), key=lambda c: score.prf(*c)[2]))
    assert score.shingle_total(rebuilt)["f1"] > score.shingle_total(own)["f1"] - 0.001
