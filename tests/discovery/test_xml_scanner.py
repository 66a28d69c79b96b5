"""XML scanner: well-formed XML gives the events of an XML parser, and an error costs only the tag it stands in."""

from __future__ import annotations

import html
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.sitemaps import SitemapReader
from newsmill.discovery.xml_characters import clean_characters, decode_references
from newsmill.discovery.xml_scanner import (
    MAX_BROKEN_PLACES,
    MAX_SECTION_CHARACTERS,
    MAX_TAG_CHARACTERS,
    Event,
    EventKind,
    XmlScanner,
    read_attributes,
)

MEANING = [
    ("&#55357;&#56832;", "😀"),
    ("&#xD83D;&#xDE00;", "😀"),
    ("&#XD83D;&#056832;", "😀"),
    ("&#128512;", "😀"),
    ("&#65;&#55357;&#56832;&#66;", "A😀B"),
    ("&#55357;", "\ufffd"),
    ("&#56832;&#55357;", "\ufffd\ufffd"),
    ("&#0;", "\ufffd"),
    ("&#x110000;", "\ufffd"),
    ("&#99999999999999999999999999;", "\ufffd"),
    ("&#8;&#x1f;&#127;&#xFFFF;", ""),
    ("&#9;&#10;", "\t\n"),
    ("&#X41;&#x41;", "AA"),
    ("&#146;&#x80;", "’€"),
    ("&eacute;&nbsp;&ngE;", "é\xa0≧̸"),
    ("&nosuch; & &; &# &#x; &copy", "&nosuch; & &; &# &#x; &copy"),
    ("It&#8217s &#55357&#56832", "It’s 😀"),
    ("?a=1&b=2", "?a=1&b=2"),
]
REFERENCE_PIECES = [piece for written, _ in MEANING for piece in (written, written[:-1], written[:4], "x")] + [
    "&#55357;",
    "&#56832;",
    "&amp;",
    "\x0b",
]


def events(xml: str) -> list[Event]:
    return list(XmlScanner().feed(xml, last=True))


def short(xml: str) -> list[str]:
    """Events in one line each: "<a", "/a", "text", "[cdata"."""
    marks = {EventKind.START: "<", EventKind.CUT_START: "<|", EventKind.END: "/", EventKind.TEXT: "", EventKind.CDATA: "["}
    return [marks[kind] + text for kind, text, _ in events(xml)]


def in_blocks(xml: str, size: int) -> tuple[list[Event], int]:
    """The events of a file in blocks of `size` characters, neighbouring texts joined, and the count of broken places."""
    scanner = XmlScanner()
    found: list[Event] = []
    for at in range(0, len(xml) + 1, size):
        for kind, text, attributes in scanner.feed(xml[at : at + size], last=at + size > len(xml)):
            if found and kind is found[-1][0] is EventKind.TEXT:
                found[-1] = (kind, found[-1][1] + text, "")
            else:
                found.append((kind, text, attributes))
    return found, scanner.broken


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        ("<a>x<b/>y</a>", ["<a", "x", "<b", "/b", "y", "/a"]),
        ("<a><![CDATA[<b> & ]] ]]></a>", ["<a", "[<b> & ]] ", "/a"]),
        ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><!-- <a> --><a/>", ["]>", "<a", "/a"]),
        ("<a b='>' c=\"/>\"/>x", ["<a", "/a", "x"]),
        ("<dc:a.b-c>", ["<dc:a.b-c"]),
        ("a < b > c & d", ["a < b > c & d"]),
        # errors
        ("<a b='x><c>y</c>", ["<a", "<c", "y", "/c"]),
        ('<a b=x">y</a>', ["<a", "y", "/a"]),
        ("<item\xffabout='b'>x", ["<item", "x"]),
        ("<a <b>x", ["<|a", "<b", "x"]),
        ("<![CDATA[x<a>y", ["x", "<a", "y"]),
        ("<!-- x<a>y", [" x", "<a", "y"]),
        ("<!-- x -- ><a>", ["<a"]),
        ("<! <a>", ["<a"]),
        ("</a", ["/a"]),
        # sections that have lost their end, or have two beginnings
        ("<a><![CDATA[x</a><b>y<![CDATA[z]]></b>", ["<a", "x", "/a", "<b", "y", "[z", "/b"]),
        ("<a><![CDATA[<![CDATA[x</a><b><![CDATA[z]]></b>", ["<a", "x", "/a", "<b", "[z", "/b"]),
        ("<a><![CDATA[x<item><b><![CDATA[z]]></b>", ["<a", "x", "<item", "<b", "[z", "/b"]),
        ("<a><![CDATA[<![CDATA[x]]></a>", ["<a", "[x", "/a"]),
        ("<a><![CDATA[<p>x<script>//<![CDATA[ y //]]></script></a>", ["<a", "[<p>x<script>//", "[ y //", "/script", "/a"]),
        ("<a><![CDATA[of <item> and </a>]]></a>", ["<a", "[of <item> and </a>", "/a"]),
        ("<a><![CDATA[x</a><item>y]]>", ["<a", "x", "/a", "<item", "y]]>"]),
        ("<a>x<!-- y</a><b/>", ["<a", "x", " y", "/a", "<b", "/b"]),
        ("<a><!-- <item> <!-- --></a>", ["<a", "/a"]),
        ("", []),
    ],
)
def test_events(xml: str, found: list[str]) -> None:
    assert short(xml) == found


def test_attributes() -> None:
    written = """ Href="a&amp;b&#55357;&#56832;" x:Y = 'd"' e=f href="second" g h="i"""
    assert read_attributes(written) == {"href": "a&b😀", "x:y": 'd"', "e": "f"}


NAMES = st.sampled_from(["a", "b", "c-d", "e.f"])
TEXTS = st.text("xy <>&'\"é😀]", max_size=8)
TREES = st.recursive(
    st.tuples(NAMES, st.dictionaries(NAMES, TEXTS, max_size=2), st.just([])),
    lambda inner: st.tuples(NAMES, st.dictionaries(NAMES, TEXTS, max_size=2), st.lists(inner | TEXTS.filter(bool), max_size=4)),
)


def element_of(tree: tuple[str, dict[str, str], list[object]]) -> ET.Element:
    name, attributes, children = tree
    element = ET.Element(name, attributes)
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, tuple):
            last = element_of(child)
            element.append(last)
        elif last is None:
            element.text = (element.text or "") + str(child)
        else:
            last.tail = (last.tail or "") + str(child)
    return element


def flat(element: ET.Element) -> list[object]:
    found: list[object] = [("start", element.tag, element.attrib), element.text or ""]
    for child in element:
        found += [*flat(child), child.tail or ""]
    return [*found, ("end", element.tag)]


@given(TREES)
def test_well_formed_xml_is_read_as_a_parser_of_xml_reads_it(tree: tuple[str, dict[str, str], list[object]]) -> None:
    element = element_of(tree)
    found: list[object] = []
    for kind, text, attributes in events(ET.tostring(element, encoding="unicode")):
        if kind is EventKind.START:
            found.append(("start", text, read_attributes(attributes)))
        else:
            found.append(("end", text) if kind is EventKind.END else decode_references(text))
    assert found == [item for item in flat(element) if item != ""]


@given(
    st.lists(
        st.sampled_from(["<a", ">", "<", "/", "</a>", '"', "'", "=", " ", "<!--", "-->", "<![CDATA[", "]]>", "<?", "<!", "x", "&"])
    ).map("".join)
)
def test_a_start_tag_is_never_lost_to_an_error_in_another(broken: str) -> None:
    """Unless it stands in a comment or CDATA section."""
    found = [text for kind, text, _ in events(broken + "]]>--><item>") if kind in (EventKind.START, EventKind.CUT_START)]
    assert found[-1] == "item"


PIECES = [
    "<a",
    ">",
    "<",
    "/",
    "</a>",
    "</b >",
    '"',
    "'",
    "=",
    " ",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?",
    "?>",
    "<!",
    "x",
    "&amp;",
    "<item>",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.integers(1, 9))
def test_events_do_not_depend_on_the_blocks(xml: str, size: int) -> None:
    assert in_blocks(xml, size) == in_blocks(xml, len(xml) + 1)


@pytest.mark.parametrize("size", [1_000, 65_536])
@pytest.mark.parametrize("more", [-1, 0, 1, 50_000])
@pytest.mark.parametrize(
    ("start", "end", "limit"),
    [("<a b='", "'>", MAX_TAG_CHARACTERS), ("<a b='>", "'>", MAX_TAG_CHARACTERS), ("<![CDATA[", "]]>", MAX_SECTION_CHARACTERS)],
)
def test_too_long_markup_is_broken_for_any_block_size(start: str, end: str, limit: int, more: int, size: int) -> None:
    length = limit - len(end) + more - (len(start) if start.startswith("<a") else 0)
    xml = f"<r>{start}{'y' * length}{end}<c/></r>"
    found, broken = in_blocks(xml, size)
    assert (found, broken) == in_blocks(xml, len(xml) + 1)
    assert broken == (more > 0)
    assert [text for kind, text, _ in found if kind is EventKind.START][-1] == "c"


@pytest.mark.parametrize("size", [1_000, 65_536, 10**6])
@pytest.mark.parametrize("end", ["-->", "--" + " " * 70_000 + ">"])
def test_a_long_comment_is_a_comment(end: str, size: int) -> None:
    found, broken = in_blocks(f"<r><!--{'<b/>-' * 100_000}{end}<c/></r>", size)
    assert ([text for _, text, _ in found], broken) == (["r", "c", "c", "r"], 0)


@pytest.mark.parametrize("size", [1_000, 65_536, 10**6])
def test_a_long_comment_without_an_end_is_read_as_markup(size: int) -> None:
    found, broken = in_blocks(f"<r><!--{'<b/>' * 70_000}<!-- <c/></r>--", size)
    assert broken == 2
    assert [text for _, text, _ in found] == ["r", *["b"] * 140_000, " ", "c", "c", "r", "--"]


def test_a_comment_without_an_end_that_holds_only_errors_ends_the_scan() -> None:
    scanner = XmlScanner()
    for block in ["<r><!--", *["<!--" * 10_000] * 20]:
        assert [text for _, text, _ in scanner.feed(block)] in (["r"], [])
    assert len(list(scanner.feed("<c/>", last=True))) == 0
    assert MAX_BROKEN_PLACES < scanner.broken < 200_000


@pytest.mark.parametrize(("written", "meaning"), [*MEANING, ("&amp;&lt;&quot;&apos;", "&<\"'")])
def test_references(written: str, meaning: str) -> None:
    assert decode_references(written) == meaning


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00\x08\x0b\x1b\x7fb", "ab"),
        ("\ud83d\ude00 \ud83d \ude00", "😀  "),
        ("it\x92s\x85\x81", "it’s…"),
        ("\ufffe\uffff\ufdd0", ""),
        ("tab\tline\n\u2028 é😀", "tab\tline\n\u2028 é😀"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean_characters(text) == cleaned


@given(st.text() | st.lists(st.sampled_from(REFERENCE_PIECES)).map("".join))
def test_cleaned_and_decoded_text_can_be_stored(text: str) -> None:
    for result in (clean_characters(text), clean_characters(decode_references(text))):
        assert result.encode("utf-8").decode("utf-8") == result
        assert not any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in result)
        assert clean_characters(result) == result


@given(st.integers(0, 0x120000) | st.sampled_from([0x1FFFE, 0x10FFFF, 0xFFFE, 0xFDD0, 0x80, 0x81, 0x9F, 0x0B]))
def test_a_numeric_reference_is_decoded_as_in_html(code: int) -> None:
    plain = html.unescape(f"&#{code};")
    assert decode_references(f"&#{code};") == (clean_characters(plain) if code != 0x0D else "\r")


TITLE = "<url><loc>https://news.example/{}</loc><news:news><news:title>{}</news:title></news:news></url>"


@given(
    st.lists(st.lists(st.sampled_from(REFERENCE_PIECES)).map("".join), min_size=1, max_size=4),
    st.integers(1, 40),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_no_reference_costs_a_sitemap_an_entry_whatever_the_chunk_size(titles: list[str], size: int, encoding: str) -> None:
    entries = "".join(TITLE.format(number, title) for number, title in enumerate(titles))
    body = f'<urlset xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">{entries}</urlset>'.encode(encoding)
    reader = SitemapReader("https://news.example/sitemap.xml")
    links = [link for at in range(0, len(body), size) for link in reader.feed(body[at : at + size])] + reader.close()
    assert [link.url for link in links] == [f"https://news.example/{number}" for number in range(len(titles))]
    wanted = [" ".join(clean_characters(decode_references(title.replace("\x0b", ""))).split()) or None for title in titles]
    assert [link.hint.title for link in links] == wanted
