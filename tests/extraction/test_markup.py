"""What plain text cannot say of a block: links, items, cells and levels, at the right characters of the normalised text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest
from html_pages import article
from hypothesis import given
from hypothesis import strategies as st

from newsmill.extraction.body import markup as module
from newsmill.extraction.body.block_groups import choose_type, find_group, join_members
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.markup import MarkupReader, cut_block, resolve_links, resolve_url
from newsmill.extraction.body.trailing_lines import remove_trailing_lines
from newsmill.extraction.html import parse_html
from newsmill.model import Block, BlockType, ListItem, Markup, TextLink


def blocks(html: str) -> list[Block]:
    """Every block of a page as the body makes them."""
    tree = parse_html(f"<html><body>{html}</body></html>").tree
    assert tree is not None
    found, reader = [], MarkupReader()
    for _, group in groupby(segment(tree).blocks, key=find_group):
        members = list(group)
        kind, text = choose_type(members[0]), join_members(members)
        found.append(Block(kind, text, markup=reader.read(members, kind, text)))
    return found


def links(block: Block) -> list[tuple[str, str]]:
    return [(block.text[link.start : link.end], link.url) for link in (block.markup or Markup()).links]


def items(block: Block) -> list[tuple[str, int, int | None]]:
    return [(block.text[item.start : item.end], item.depth, item.number) for item in (block.markup or Markup()).items]


def cells(block: Block) -> list[tuple[str, int, int, bool]]:
    return [(block.text[cell.start : cell.end], cell.row, cell.column, cell.header) for cell in (block.markup or Markup()).cells]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<p>See <a href="/a">  this \n one</a>, and <a href=b>th<b>at</b></a>.', [("this one", "/a"), ("that", "b")]),
        ("<p>Caf\u00ade <a href=/a>cafe\u0301</a> \u200bx <a href=/b>y</a>", [("café", "/a"), ("y", "/b")]),
        ("<p>one<br><a href=/a>two<br>three</a> four", [("two\nthree", "/a")]),
        ('<p><a href=/a><img src=x></a>Text <a>no link</a> <a href="">here</a>', [("here", "")]),
        ("<p>a<a href=/a>b</a><a href=/c>d</a>", [("b", "/a"), ("d", "/c")]),
        ("<a href=/a><p>Whole.</p></a>", [("Whole.", "/a")]),
    ],
)
def test_links_stand_at_their_text(html: str, expected: list[tuple[str, str]]) -> None:
    assert links(blocks(html)[0]) == expected


def test_a_link_around_two_paragraphs_is_in_both() -> None:
    assert [links(block) for block in blocks("<a href=/a><h2>One</h2><p>Two</p></a><p>Three")] == [[("One", "/a")], [("Two", "/a")], []]


PIECES = st.lists(
    st.tuples(st.text("ab é\u0301\u00ad\n\t—ÂÃ€ß漢\u200d👍", max_size=6), st.text("xy e\u0301\u00a0\u200bﬁ", max_size=5)),
    min_size=1,
    max_size=6,
)


@given(PIECES)
def test_where_links_are_known_they_are_right(pieces: list[tuple[str, str]]) -> None:
    found = blocks("<p>" + "".join(f"{text}<a href=/{number}>{anchor}</a>" for number, (text, anchor) in enumerate(pieces)))
    for anchor, url in links(found[0]) if found else []:
        wanted = blocks(f"<p>{pieces[int(url[1:])][1]}")[0].text
        assert anchor == wanted


def test_lists_keep_depth_and_number() -> None:
    html = "<ol start=3><li>three<li>four<p>more</p><ul><li>inner</ul><li value=9>nine</ol><dl><dt>term<dd>text</dl>"
    assert [items(block) for block in blocks(html)] == [
        [("three", 0, 3), ("four\nmore", 0, 4)],
        [("inner", 1, None)],
        [("nine", 0, 9)],
        [("term", 0, None), ("text", 0, None)],
    ]


def test_tables_keep_rows_columns_and_headers() -> None:
    html = (
        "<table><thead><tr><td>A<td colspan=2>B | C</thead><tr><th rowspan=2>r<td><td>x<tr><td><a href=/u>u</a><p>v</p><td>w</table>"
        "<table><tr><td>1<td>2</table>"
    )
    first, second = blocks(html)
    assert first.text == "A | B | C\nr | x\nu | v | w"
    assert cells(first) == [
        ("A", 0, 0, True), ("B | C", 0, 1, True), ("r", 1, 0, True), ("x", 1, 2, False),
        ("u", 2, 1, False), ("v", 2, 1, False), ("w", 2, 2, False),
    ]  # fmt: skip
    assert links(first) == [("u", "/u")]
    assert cells(second) == [("1", 0, 0, False), ("2", 0, 1, False)]


def test_headings_keep_their_level_and_plain_paragraphs_say_nothing() -> None:
    assert [block.markup for block in blocks("<h3>A</h3><p>B</p>")] == [Markup(level=3), None]


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("../b?q=1#c", "https://paper.example/b?q=1#c"),
        (" //other.example/ü ", "https://other.example/%C3%BC"),
        ("mailto:a@b.example", "mailto:a@b.example"),
        ("https://user:secret@other.example/", "https://other.example/"),
        ("java\nscript:alert(1)", None),
        ("data:text/html,<script>", None),
        ("ftp://other.example", None),
        ("http://[", None),
        (f"https://other.example/{'a' * 8000}", None),
    ],
)
def test_only_links_that_a_reader_can_follow_are_kept(href: str, expected: str | None) -> None:
    assert resolve_url(href, "https://paper.example/a/b") == expected


@given(st.text(max_size=30), st.sampled_from(["https://paper.example/a", "", "no url", "mailto:x"]))
def test_any_href_is_a_safe_url_or_none(href: str, base: str) -> None:
    assert (resolve_url(href, base) or "https:").startswith(("https:", "http:", "mailto:"))


def test_without_a_base_absolute_links_are_kept() -> None:
    assert resolve_url("https://other.example/a#b", "") == "https://other.example/a#b"
    assert resolve_url("/a", "") is None


def test_a_block_without_a_link_that_can_be_followed_has_no_markup() -> None:
    block = resolve_links(Block(BlockType.PARAGRAPH, "a", markup=Markup(links=(TextLink(0, 1, "javascript:x"),))), "https://paper.example/")
    assert block.markup is None


def test_a_part_of_a_block_keeps_its_part_of_the_markup() -> None:
    markup = Markup(None, (TextLink(0, 7, "a"), TextLink(8, 9, "b")), (ListItem(0, 3), ListItem(4, 7), ListItem(8, 9)))
    block = Block(BlockType.LIST, "one\ntwo\n3", markup=markup)
    part = cut_block(block, "two\n3", 4)
    assert (links(part), items(part)) == ([("two", "a"), ("3", "b")], [("two", 0, None), ("3", 0, None)])
    assert cut_block(block, "else").markup is None
    assert cut_block(Block(BlockType.HEADING, "a b", markup=Markup(2, (TextLink(0, 1, "a"),))), "c").markup == Markup(2)


def test_what_rules_take_off_leaves_the_rest_marked() -> None:
    block = Block(
        BlockType.PARAGRAPH, "Advertisement\nSee this.\nAdvertisement", markup=Markup(links=(TextLink(18, 22, "https://a.example/"),))
    )
    kept = [piece for piece in remove_trailing_lines([block, Block(BlockType.PARAGRAPH, "End.")], ["Advertisement"]) if piece.kept]
    assert [(piece.text, links(piece)) for piece in kept] == [("See this.", [("this", "https://a.example/")]), ("End.", [])]


def test_a_page_is_read_with_its_links_absolute() -> None:
    document = article(
        '<p>The council met <a href="../minutes">again on Monday</a> and <a href="javascript:x">took</a> no decision at all.</p>'
    ).document
    assert document is not None
    assert [link for block in document.blocks for link in links(block)] == [("again on Monday", "https://paper.example/minutes")]


class Counted(tuple[TextLink, ...]):
    """Links that count how often one is looked at."""

    looked = 0

    def __getitem__(self, at: Any) -> Any:
        Counted.looked += 1 if isinstance(at, int) else len(range(*at.indices(len(self))))
        return super().__getitem__(at)

    def __iter__(self) -> Iterator[TextLink]:
        Counted.looked += len(self)
        return super().__iter__()


def test_the_work_of_cutting_a_block_grows_with_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "looked", 0)
    links = Counted(TextLink(18 * at + 14, 18 * at + 17, "https://a.example/") for at in range(300))
    block = Block(BlockType.PARAGRAPH, ("Advertisement\nsee\n" * 300).strip(), markup=Markup(links=links))
    pieces = remove_trailing_lines([block], ["Advertisement"])
    assert sum(len(piece.markup.links) for piece in pieces if piece.markup) == 300
    assert Counted.looked <= 25 * 300  # two searches of 300 links a piece


@pytest.mark.parametrize(
    "html",
    [
        "<ol>{}</ol>".format("<li>a<ul><li>b</ul>" * 400),
        "<table>{}</table>".format("<tr><td rowspan=9999 colspan=999>a" * 400),
        "<table>{}</table>".format("<tr>" + "<td rowspan=9999>a" * 400),
        "<p>{}".format("<a href=/a>b</a>c<br>" * 400),
        "<p>{}".format("<a href=/a></a>" * 400 + "x"),
    ],
)
def test_the_work_grows_with_the_page(html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    integer, normal = module._parse_integer, module.normalise

    def counted_integer(text: str | None, otherwise: int) -> int:
        nonlocal calls
        calls += 1
        return integer(text, otherwise)

    def counted_normal(text: str) -> str:
        nonlocal calls
        calls += 1
        return normal(text)

    monkeypatch.setattr(module, "_parse_integer", counted_integer)
    monkeypatch.setattr(module, "normalise", counted_normal)
    assert blocks(html)
    assert calls <= 10 * 400


def test_a_wide_table_is_cut_to_columns_that_can_be_shown() -> None:
    assert max(column for _, _, column, _ in cells(blocks("<table><tr>" + "<td>a" * 300 + "</table>")[0])) == module.MAX_COLUMNS - 1
