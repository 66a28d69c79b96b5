"""tags: links as a browser sees them, their places, and pages built to hang a parser."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.html_links import MAX_LINKS, extract_links


def anchors(html):
    return [(a.href, a.text, sorted(a.landmarks)) for a in extract_links(html).anchors]


def test_places_by_element_and_by_class():
    html = """<header class=top><a href=/h>h</a></header><nav><ul><li><a href=/n>n</a></ul></nav>
        <div class="site-nav main"><a href=/c>c</a></div>
        <body class="has-menu"><main><article><h2><a href=/a>a</a></h2></article></main><aside><a href=/s>s</a></aside>
        <div id=footer-links><a href=/f>f</a></div><a href=/g><h3>g</h3></a>"""
    assert anchors(html) == [
        ("/h", "h", ["header"]),
        ("/n", "n", ["nav"]),
        ("/c", "c", ["nav"]),
        ("/a", "a", ["article", "heading"]),
        ("/s", "s", ["aside"]),
        ("/f", "f", ["footer"]),
        ("/g", "g", ["heading"]),
    ]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<A HREF='/x?a=1&amp;b=2' title=t>T&eacute;st <b>bold</b>\n</A>", ("/x?a=1&b=2", "Tést bold")),
        ('<a class="a>b" href = "/x">t</a>', ("/x", "t")),
        ("<a data-x='{\"a\":1}' href=/x>t</a>", ("/x", "t")),
        ("<a href=/x><img src=i alt=no></a>", ("/x", "")),
        ("<a href=/x aria-label='Label'><svg><title>icon</title></svg></a>", ("/x", "Label")),
        ("<a href=/x>one<a href=/y>two", ("/x", "one")),
        ("<!-- <a href=/no> --><script>'<a href=/no>'</script><a href=/x>t", ("/x", "t")),
        ("<a href=/x href=/y>t</a>", ("/x", "t")),
        ("< a href=/no><a/href=/x/>t</a>", ("/x/", "t")),
    ],
)
def test_links_as_browsers_read_them(html, expected):
    assert (extract_links(html).anchors[0].href, extract_links(html).anchors[0].text) == expected


def test_no_links():
    assert anchors("<a>x</a><a href=''>x</a><a href='#top'>x</a><a name=x>y</a><a href=x") == []


def test_head():
    found = extract_links('<html lang="de"><base href="/a/"><base href="/b/"><link rel=alternate type="application/rss+xml" href="/rss">')
    assert (found.language, found.base, found.links) == ("de", "/a/", [{"rel": "alternate", "type": "application/rss+xml", "href": "/rss"}])


M = 200_000
HOSTILE = {
    "attributes": lambda: "<a " + "x " * M + ">",
    "quotes inside": lambda: "<div " + "".join(f'a{n}=">" ' for n in range(M // 5)) + "><a href=/x>t</a>",
    "never closed": lambda: "<a " * M,
    "open quotes": lambda: '<a x="' * M + "<a x='" * M,
    "comments": lambda: "<!--" * M,
    "deep": lambda: "<div>" * M,
    "unmatched ends": lambda: "<div>" * 300 + "</h1>" * M,
    "skipped, no end": lambda: "<svg><select>" * (M // 10),
    "blanks": lambda: "<a " + " " * M * 5 + ">",
    "class": lambda: '<div class="' + "a-" * M + '"><a href=/x>t</a>',
    "entities": lambda: "<a href='" + "&a" * M + "'>t</a>",
    "long text": lambda: "<a href=/x>" + "x<b>" * M,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pages_take_linear_time(make):
    """Tenths of a second for a megabyte; libxml2 takes over a minute for the first shape with five times as many attributes."""
    html = make()
    start = time.process_time()
    extract_links(html)
    assert time.process_time() - start < 3


def test_at_most_5000_links():
    assert len(extract_links("<a href=/x>t</a>" * 20_000).anchors) == MAX_LINKS


@given(st.text() | st.text("<a href=/x'\">!--scriptnavh1& "))
def test_never_raises(html):
    assert all(anchor.href for anchor in extract_links(html).anchors)
