"""Characters: references and control characters become the characters that the writer meant."""

from __future__ import annotations

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.characters import clean_characters, decode_references
from newsmill.discovery.sitemaps import SitemapReader

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
PIECES = [piece for written, _ in MEANING for piece in (written, written[:-1], written[:4], "x")] + [
    "&#55357;",
    "&#56832;",
    "&amp;",
    "\x0b",
]


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


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
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
    st.lists(st.lists(st.sampled_from(PIECES)).map("".join), min_size=1, max_size=4),
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
