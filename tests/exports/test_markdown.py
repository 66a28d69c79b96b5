"""Documents as Markdown: what a CommonMark parser makes of it is the text again, whatever the text is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rows import FULL

from newsmill.exports.markdown import render_front_matter, render_markdown
from newsmill.model import Author, Block, BlockType, Document, ListItem, Markup, TableCell, TextLink

PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
SPECIAL = r"""\`*_{}[]<>()#+-.!|~&;:=/"'$^@%a1 """
URL = "https://a.example/b"


def document(*blocks: Block) -> Document:
    return replace(FULL, blocks=blocks)


def paragraph(text: str, *links: TextLink) -> Block:
    return Block(BlockType.PARAGRAPH, text, markup=Markup(links=links))


def tokens(source: str) -> Iterator[Token]:
    """Every token of the Markdown, blocks and inline."""
    for token in PARSER.parse(source):
        yield token
        yield from token.children or ()


def shown(source: str) -> list[str]:
    """The words a reader sees: blocks, cells and lines apart."""
    pieces = []
    for token in tokens(source):
        if token.type in ("text", "code_block", "fence", "code_inline"):
            pieces.append(token.content)
        elif token.type in ("softbreak", "hardbreak") or (token.block and token.type != "inline"):
            pieces.append(" ")
    return "".join(pieces).split()


def words(blocks: Sequence[Block]) -> list[str]:
    return " ".join(block.text for block in blocks).split()


def urls(source: str) -> list[str]:
    return [str(token.attrGet("href")) for token in tokens(source) if token.type == "link_open"]


PIECES = (
    "- ",
    "1. ",
    "# ",
    "> ",
    "---",
    "===",
    "| a |",
    ":-:",
    "```",
    "~~~",
    "<b>",
    "&amp;",
    "![x](y)",
    "[a]: /b",
    "\n",
    "    ",
    "https://a.b",
)
TEXTS = st.one_of(
    st.text(SPECIAL + "\n", max_size=40),
    st.text(max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
).map(lambda text: text.replace("\0", ""))
KINDS = st.sampled_from([kind for kind in BlockType if kind not in ("caption", "embed", "table")])
HOSTILE_URLS = st.one_of(
    st.sampled_from(
        [URL, "javascript:alert(1)", "data:text/html,x", "JAVASCRIPT:x", "//a.example", "mailto:a@b.example", " https://a.example"]
    ),
    st.text(SPECIAL, max_size=20).map(lambda tail: f"https://a.example/{tail}"),
    st.text(max_size=20).map(lambda tail: f"https://a.example/{tail}"),
)


@given(st.lists(st.tuples(KINDS, TEXTS), max_size=4))
@example([(BlockType.PARAGRAPH, "a | b\n:-:")])
@example([(BlockType.HEADING, "Route #"), (BlockType.LIST, "1. a\n- b"), (BlockType.LIST, "c")])
@example([(BlockType.HEADING, "##"), (BlockType.HEADING, "\\ \\#"), (BlockType.HEADING, "#######"), (BlockType.HEADING, "C# ##")])
@example([(BlockType.QUOTE, "a\n\n    b"), (BlockType.CODE, "```\n<script>")])
def test_any_text_comes_back_as_text(given_blocks: list[tuple[BlockType, str]]) -> None:
    blocks = [Block(kind, text) for kind, text in given_blocks]
    found = render_markdown(document(*blocks))
    assert shown(found) == words(blocks)
    assert not urls(found)
    assert not any(token.type.startswith("html") or token.type == "image" for token in tokens(found))


@given(st.lists(st.tuples(TEXTS, HOSTILE_URLS), min_size=1, max_size=4), st.booleans())
@example([("wow!", URL), ("!", URL)], False)
def test_links_lead_where_the_page_says_and_nowhere_else(pieces: list[tuple[str, str]], in_table: bool) -> None:
    text, links = "", []
    for anchor, url in pieces:
        links.append(TextLink(len(text), len(text) + len(anchor), url))
        text += f"{anchor}!"
    cells = (TableCell(0, len(text) // 2, 0, 0), TableCell(len(text) // 2, len(text), 0, 1)) if in_table else ()
    block = Block(BlockType.TABLE if in_table else BlockType.PARAGRAPH, text, markup=Markup(links=tuple(links), cells=cells))
    found = render_markdown(document(block))
    assert "".join(shown(found)) == "".join(words([block]))
    allowed = {unquote(link.url) for link in links if link.url.lower().startswith(("https://", "http://", "mailto:"))}
    assert {unquote(url) for url in urls(found)} <= allowed
    assert not any(token.type.startswith("html") or token.type == "image" for token in tokens(found))


def test_a_link_keeps_its_url() -> None:
    wanted = "https://a.example/wiki/A_(b)?q=x|y&copy;=1&z=*_*#top"
    found = render_markdown(document(paragraph("See wow! this, now.", TextLink(4, 13, wanted), TextLink(15, 18, "ftp://a.example"))))
    assert found == r"See [wow! this](https://a.example/wiki/A_\(b\)?q=x%7Cy\&copy;=1&z=*_*#top), now."
    assert [unquote(url) for url in urls(found)] == [wanted]


def test_items_of_a_script_are_one_list() -> None:
    item = Markup(items=(ListItem(0, 1),))
    assert render_markdown(document(Block(BlockType.LIST, "a", markup=item), Block(BlockType.LIST, "b", markup=item))) == "- a\n- b"


def test_headings_keep_their_level_and_lists_their_order_and_nesting() -> None:
    blocks = (
        Block(BlockType.HEADING, "Part", markup=Markup(level=4)),
        Block(BlockType.LIST, "one\ntwo", path="ol", markup=Markup(items=(ListItem(0, 3, 0, 9), ListItem(4, 7, 0, 10)))),
        Block(BlockType.LIST, "in two\nmore\nlast", markup=Markup(items=(ListItem(0, 11, 1), ListItem(12, 16, 1)))),
        Block(BlockType.LIST, "three", path="ol", markup=Markup(items=(ListItem(0, 5, 0, 11),))),
        Block(BlockType.LIST, "another list", path="ol", markup=Markup(items=(ListItem(0, 12, 0, 1),))),
    )
    assert render_markdown(document(*blocks)) == (
        "#### Part\n\n9. one\n10. two\n    - in two\\\n      more\n    - last\n11. three\n\n1) another list"
    )


def test_paragraphs_of_one_quote_stay_together() -> None:
    blocks = [Block(BlockType.QUOTE, "One.\nTwo."), Block(BlockType.QUOTE, "Three."), Block(BlockType.PARAGRAPH, "Four.")]
    assert render_markdown(document(*blocks)) == "> One.\\\n> Two.\n>\n> Three.\n\nFour."


def test_a_table_keeps_cells_empty_ones_and_its_header() -> None:
    cells = (
        TableCell(0, 4, 0, 0, True),
        TableCell(7, 10, 0, 2, True),
        TableCell(11, 12, 1, 0),
        TableCell(15, 20, 1, 1),
        TableCell(23, 24, 1, 1),
    )
    block = Block(BlockType.TABLE, "Name | Age\nA | x | y | z", markup=Markup(cells=cells))
    assert render_markdown(document(block)) == "| Name |  | Age |\n| --- | --- | --- |\n| A | x \\| y z |  |"


def test_a_table_known_by_its_text_only_and_one_of_a_single_column() -> None:
    assert render_markdown(document(Block(BlockType.TABLE, "a | b\nc | d"))) == "|  |  |\n| --- | --- |\n| a | b |\n| c | d |"
    assert render_markdown(document(Block(BlockType.TABLE, "a\nb"))) == "a\n\nb"


def test_captions_are_no_part_of_it() -> None:
    assert (
        render_markdown(
            document(Block(BlockType.CAPTION, "A picture"), Block(BlockType.PARAGRAPH, "Text"), Block(BlockType.EMBED, "A post"))
        )
        == "Text"
    )


def test_the_front_matter_is_yaml_and_leaves_out_what_is_unknown() -> None:
    found = replace(FULL, title="a: 'b' \"c\" #d\x85\u2028 🐎", authors=(Author("Ann"),), section=None, tags=("x", "- y"))
    text = render_front_matter(found)
    assert text.startswith("---\n") and text.endswith("\n---\n")
    values = yaml.safe_load(text.strip("-\n"))
    assert (values["title"], values["authors"], values["tags"]) == (found.title, ["Ann"], ["x", "- y"])
    assert values["published_at"] == "2026-11-24T23:59:59.123456Z"
    assert "section" not in values
    assert "url" not in yaml.safe_load(render_front_matter(replace(found, url="")).strip("-\n")), "a page without a URL"


@pytest.mark.parametrize("size", [400, 800])
def test_one_shape_many_times_takes_linear_work(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def counted(url: str) -> object:
        nonlocal looked
        looked += 1
        return url

    monkeypatch.setattr("newsmill.exports.markdown._FOLLOWED", type("", (), {"match": staticmethod(counted)}))
    links = tuple(TextLink(3 * at, 3 * at + 1, URL) for at in range(size))
    items = tuple(ListItem(3 * at, 3 * at + 2, at % 20) for at in range(size))
    text = "ab\n" * size
    render_markdown(document(Block(BlockType.LIST, text, markup=Markup(links=links, items=items)), paragraph(text, *links)))
    assert looked <= 3 * size
