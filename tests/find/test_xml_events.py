"""xml_events: well-formed XML as an XML parser reads it, and an error costs only the tag it stands in."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.find.characters import decode
from newsmill.find.xml_events import Kind, events, read_attributes


def short(xml: str) -> list[str]:
    """Events in one line each: "<a", "/a", "text", "[cdata"."""
    marks = {Kind.START: "<", Kind.END: "/", Kind.TEXT: "", Kind.CDATA: "["}
    return [marks[event.kind] + event.text for event in events(xml)]


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
        ("<a <b>x", ["<a", "<b", "x"]),
        ("<![CDATA[x<a>y", ["x", "<a", "y"]),
        ("<!-- x<a>y", [" x", "<a", "y"]),
        ("<!-- x -- ><a>", ["<a"]),
        ("<! <a>", ["<a"]),
        ("</a", ["/a"]),
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
    for event in events(ET.tostring(element, encoding="unicode")):
        if event.kind is Kind.START:
            found.append(("start", event.text, read_attributes(event.attributes)))
        else:
            found.append(("end", event.text) if event.kind is Kind.END else decode(event.text))
    assert found == [item for item in flat(element) if item != ""]


@given(
    st.lists(
        st.sampled_from(["<a", ">", "<", "/", "</a>", '"', "'", "=", " ", "<!--", "-->", "<![CDATA[", "]]>", "<?", "<!", "x", "&"])
    ).map("".join)
)
def test_a_start_tag_is_never_lost_to_an_error_in_another(broken: str) -> None:
    """Unless it stands in what is a comment or CDATA for every reader."""
    found = [event for event in events(broken + "]]>--><item>") if event.kind is Kind.START]
    assert found[-1].text == "item"
