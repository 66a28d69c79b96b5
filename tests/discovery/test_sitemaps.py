"""Sitemaps: links chunk by chunk, with hints; hostile and broken files in bounded time and memory."""

import gzip
import time
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.discovery import sitemap_entries, sitemaps
from newsmill.discovery.sitemaps import SitemapReader
from newsmill.exceptions import IncompleteListingError, ListingError
from newsmill.model import Hint, Kind, Link
from newsmill.text import urls

URL = "https://news.example/sitemap.xml"
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def read(body, url=URL, chunk=65_536):
    reader = SitemapReader(url)
    links = [link for at in range(0, len(body), chunk) for link in reader.feed(body[at : at + chunk])]
    return [*links, *reader.close()], reader.warnings


def urlset(*locs):
    return f"<?xml version='1.0'?><urlset {NS}>{''.join(f'<url><loc>{loc}</loc></url>' for loc in locs)}</urlset>".encode()


def read_urls(body, **options):
    return [link.url for link in read(body, **options)[0]]


def test_news_sitemap():
    body = f"""<urlset {NS} xmlns:news="http://www.google.com/schemas/sitemap-news/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
        <url><loc>https://news.example/tag/a-b?utm_source=x&amp;id=1</loc><lastmod>2026-11-25T13:00:00+01:00</lastmod>
        <image:image><image:loc>https://news.example/a.jpg</image:loc><image:title>A picture</image:title></image:image>
        <news:news><news:publication><news:name>N</news:name><news:language>de</news:language></news:publication>
        <news:publication_date>2026-11-25</news:publication_date><news:title>Tag &#38; Nacht</news:title>
        <news:keywords>a, b, a</news:keywords></news:news></url></urlset>""".encode()
    hint = Hint("Tag & Nacht", (), datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 25, 12, tzinfo=UTC), "de", ("a", "b"), "day")
    assert read(body) == ([Link("https://news.example/tag/a-b?id=1", Kind.PAGE, None, "sitemap", URL, hint)], [])


def test_index():
    body = f"<sitemapindex {NS}><sitemap><loc>https://news.example/s1.xml.gz</loc><lastmod>2026-11-25</lastmod></sitemap></sitemapindex>".encode()
    ((link,), _) = read(body)
    assert (link.url, link.kind, link.hint.modified_at) == (
        "https://news.example/s1.xml.gz",
        Kind.SITEMAP,
        datetime(2026, 11, 25, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, lambda b: gzip.compress(gzip.compress(b)), lambda b: b"\xef\xbb\xbf\n" + b],
    ids=["plain", "gz", "gz of gz", "bom"],
)
@pytest.mark.parametrize("chunk", [1, 7, 65_536])
def test_compressed_and_in_chunks(pack, chunk):
    wanted = [f"https://news.example/politics/story-number-{n}" for n in range(50)]
    assert read_urls(pack(urlset(*wanted)), chunk=chunk) == wanted


def test_text_sitemap_and_members_of_gzip():
    body = gzip.compress(b"https://news.example/a\r\n") + gzip.compress("\nhttps://news.example/ä\nnot a URL".encode()) + b"\0" * 100
    assert read_urls(body) == ["https://news.example/a", "https://news.example/%C3%A4"]


@pytest.mark.parametrize("cut", [300, 500, 2_000])
def test_links_before_the_cut_count(cut):
    whole = urlset(*(f"https://news.example/story-{n}" for n in range(100)))
    found = read_urls(whole[:cut])
    assert found == [f"https://news.example/story-{n}" for n in range(len(found))]
    assert len(found) >= cut // 60 - 3
    packed = gzip.compress(whole)
    links, warnings = read(packed[: len(packed) - 40])
    assert len(links) > 20 and "the gzip stream is cut off" in warnings
    for start in (whole[:80], whole[:120]):
        with pytest.raises(IncompleteListingError, match=CUT):
            read(start)


def test_reading_continues_after_broken_markup():
    body = (
        b"<urlset><url><loc>https://news.example/a?x=1&y=2</loc><url><loc>https://news.example/b</loc></url><url><loc>/c</loc></url><url/>"
    )
    assert read_urls(body) == ["https://news.example/a?x=1&y=2", "https://news.example/b", "https://news.example/c"]


def test_lists_and_files_are_left_out_and_counted():
    links, warnings = read(urlset("https://news.example/tag/x", "https://news.example/a.pdf", "mailto:x", "https://news.example/a-story"))
    assert [link.url for link in links] == ["https://news.example/a-story"]
    assert warnings == ["entries without a usable URL: 1", "URLs of lists, forms and files, left out: 2"]


@pytest.mark.parametrize(
    ("xml", "days"),
    [
        ("<url><lastmod>2026-11-25</lastmod><loc>/a</loc></url><url><lastmod>2026-11-24</lastmod><loc>/b</loc></url>", [25, 24]),
        ("<url><lastmod>2026-11-25</lastmod><loc>/a</loc><loc>/b</loc></url>", [25, 25]),
        ("<url><loc>/a</loc><lastmod>2026-11-25</lastmod><loc>/b</loc><lastmod>2026-11-24</lastmod></url>", [25, 24]),
    ],
)
def test_a_date_before_its_url_is_that_of_its_entry(xml, days):
    links, _ = read(f"<urlset>{xml}</urlset>".encode())
    assert [(link.url, link.hint.modified_at.day) for link in links] == list(zip([f"{URL[:21]}a", f"{URL[:21]}b"], days, strict=True))


@pytest.mark.parametrize("body", [b"", b" ", b"<html><p>404</p></html>", b"not found", b"\x89PNG\r\n", b"{}", gzip.compress(b"", mtime=0)])
def test_other_bodies_are_refused(body):
    with pytest.raises(ListingError):
        read(body)


def entry(name):
    return f"<url><loc>https://news.example/{name}</loc></url>"


U = "https://news.example/"
A, B = entry("a"), entry("b")
BROKEN = "places where the XML is broken: 1"
CUT = "the file is cut off: its root element does not end"
AFTER = "entries after the end of the root element: 1"
OUTSIDE = "there is text outside the root element"


@pytest.mark.parametrize(
    ("xml", "found", "warnings"),
    [
        (f"<urlset><url><loc>{U}a</loc><loc>{U}b</loc></url></urlset>", "ab", ["entries with more than one URL: 1"]),
        (f"<urlset><url>{U}a</url><url> {U}b\n</url></urlset>", "ab", ["URLs outside the <loc> of an entry: 2"]),
        (f"<sitemapindex>{U}a {U}b</sitemapindex>", "ab", ["URLs outside the <loc> of an entry: 2"]),
        (f"<sitemapindex><sitemap>\n{U}a\n</sitemap></sitemapindex>", "a", ["URLs outside the <loc> of an entry: 1"]),
        (f"<urlset><loc>{U}a</loc><loc>{U}b</loc></urlset>", "ab", ["URLs outside the <loc> of an entry: 2"]),
        (f"<urlset><url><loc>{U}<b>a</b></loc></url></urlset>", "a", []),
        (f"<urlset><url><loc>{U}a<lastmod>2026-11-25</lastmod></url></urlset>", "a", []),
        (f"<urlset><url><loc>{U}a" + B + "</urlset>", "ab", []),
        (f"<URLSET><s:URL><LOC><![CDATA[{U}a]]></LOC></s:URL></URLSET>", "a", []),
        (f"<urlset>{A}<x>1 < 2</x>{B}</urlset>", "ab", [BROKEN]),
        (f"<urlset>{A}<x a=b c>1</x>{B}</urlset>", "ab", []),
        (f"<urlset>{A}<x a='>{B}</urlset>", "ab", [BROKEN]),
        (f"<urlset>{A}<x {B}</urlset>", "ab", [BROKEN]),
        (f"<urlset><url><x <loc>{U}a</loc></url>{B}</urlset>", "ab", [BROKEN]),
        (f"<urlset>{A}<url <loc>{U}b</loc></url></urlset>", "ab", [BROKEN]),
        (f"<feed><entry><link href='x</a>yz<link href='{U}a'/></entry></feed>", "a", [BROKEN]),
        (f"<urlset>{A}<x a='{'q' * 200_000}'>1</x>{B}</urlset>", "ab", [BROKEN]),
        (f"<urlset>{'<a>' * 300}{A}{'</a>' * 300}{B}</urlset>", "ab", []),
        (f"<urlset>{A}<!-- <url> -- > -->{B}<?php < ?><!DOCTYPE x></urlset>", "ab", []),
        (f"<urlset>{A}</x></y></urlset>", "a", []),
        (f"<urlset>{A}</urlset>{B}", "ab", [AFTER]),
        (f"<urlset>{A}</urlset><?xml version='1.0'?><urlset>{B}</urlset>", "ab", [AFTER]),
        (f"<b>Warning</b>: in line 7 <?xml version='1.0'?><urlset>{A}</urlset>", "a", [OUTSIDE]),
        (f"<urlset>{A}</urlset> generated in 0.2 s", "a", [OUTSIDE]),
        (f"<urlset>{A}{B}", "ab", [CUT]),
        (f"<urlset>{A}<url><loc>{U}b", "a", [CUT]),
        (f"<urlset>{A}<!-- {B}</urlset>", "ab", [BROKEN]),
        (f"<urlset>{A}<![CDATA[ {B}</urlset>", "ab", [BROKEN]),
        (f"<urlset><url><loc><![CDATA[{U}a</loc></url>{B}</urlset>", "ab", [BROKEN]),
        (f"<urlset><url><loc><![CDATA[{U}a</loc></url><url><loc><![CDATA[{U}b]]></loc></url></urlset>", "ab", [BROKEN]),
        (f"<urlset><url><loc><![CDATA[<![CDATA[{U}a]]></loc></url>{B}</urlset>", "ab", []),
        ("<urlset><url><loc>/a</loc></url></urlset>", "a", ["URLs without a host: 1"]),
        (f"<?xml version='1.0' encoding='klingon'?><urlset>{A}</urlset>", "a", ["declared as klingon, read as utf-8"]),
        (f"<?xml version='1.0' encoding='utf-16'?><urlset>{A}</urlset>", "a", ["declared as utf-16, read as utf-8"]),
        (f"<rss><image><url>{U}logo-of-the-paper</url></image><item><link>{U}a</link></item></rss>", "a", []),
        (f"{U}a\n<{U}x>\n{U}b", "ab", ["lines that are not a URL: 1"]),
        (f"{U}a\r{U}b\nnews", "ab", ["lines that are not a URL: 1"]),
    ],
)  # fmt: skip
def test_irregularities_are_warnings_and_cost_no_other_entry(xml, found, warnings):
    links, warnings_read = read(xml.encode())
    assert ([link.url.removeprefix("https://news.example/") for link in links], warnings_read) == (list(found), warnings)


def test_every_loc_of_an_entry():
    wanted = [f"{U}story-{n}" for n in range(3_000)]
    locs = "".join(f"<loc>{url}</loc>" for url in wanted)
    assert read_urls(f"<urlset><url>{locs}</url></urlset>".encode()) == wanted


def test_an_index_without_tags_between_its_entries():
    """Each date belongs to the URLs before it."""
    dated = "<loc>https://news.example/{}.xml</loc><lastmod>2026-11-0{}</lastmod>"
    body = f"<sitemapindex><sitemap>{dated.format('a', 1)}{dated.format('b', 2)}</sitemap></sitemapindex>"
    assert [(link.url[-5], link.hint.modified_at.day) for link in read(body.encode())[0]] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Tag &amp; Nacht", "Tag & Nacht"),
        ("Tag &amp;amp; Nacht", "Tag &amp; Nacht"),
        ("<![CDATA[Tag & Nacht <b>]]>", "Tag & Nacht <b>"),
        ("Caf&eacute; &nosuch; &#x1F600; &#X41;", "Café &nosuch; 😀 A"),
        ("&#55357;&#56832; &#xD83D;&#xDE00; &#55357;", "😀 😀 \ufffd"),
        ("a&#0;b&#1;c\x01d", "a\ufffdbcd"),
    ],
)
def test_titles_are_decoded(written, title):
    body = f"<urlset><url><loc>{U}a</loc><news:news><news:title>{written}</news:title></news:news></url></urlset>"
    ((link,), warnings) = read(body.encode())
    assert (link.hint.title, warnings) == (title, [])


@pytest.mark.parametrize(
    ("encoding", "declared", "name"),
    [
        ("utf-8", "", "straße"),
        ("utf-8-sig", "", "straße"),
        ("cp1252", "iso-8859-1", "straße’s"),
        ("gbk", "gb2312", "新闻镕"),
        ("cp932", "Shift_JIS", "①新聞"),
        ("utf-16", "utf-16", "straße"),
        ("utf-16-le", "", "straße"),
    ],
)
def test_urls_in_any_encoding(encoding, declared, name):
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    body = f"{head}<urlset>{entry(name)}{'<x/>' * 18_000}{entry(name + '/b')}</urlset>".encode(encoding)
    wanted = [urls.normalize(f"https://news.example/{name}"), urls.normalize(f"https://news.example/{name}/b")]
    links, warnings = read(body)
    assert ([link.url for link in links], warnings) == (wanted, [])


def test_one_broken_byte_leaves_the_rest_utf_8():
    body = f"<urlset>{entry('straße')}{entry('grüße')}{entry('köln')}</urlset>".encode() + b"<!-- \xff -->"
    assert read_urls(body) == [urls.normalize(f"https://news.example/{name}") for name in ("straße", "grüße", "köln")]
    assert read(body)[1] == ["characters that are not valid utf-8: 1"]


@pytest.mark.parametrize("size", [7_000, 8_000, 70_000, 200_000])
def test_a_url_that_is_too_long_is_dropped_and_not_shortened(size):
    long = "https://news.example/".ljust(size, "a")
    wanted = [long, f"{U}b"] if size <= 8_000 else [f"{U}b"]
    warnings = [] if size <= 8_000 else ["entries without a usable URL: 1"]
    lines = f"{long}\n{U}b\n".encode()
    for body in (lines, urlset(long, f"{U}b")):
        links, warnings_read = read(body)
        assert ([link.url for link in links], warnings_read) == (wanted, warnings)


def test_bytes_after_the_gzip_stream_are_ignored():
    body = gzip.compress(f"<urlset>{A}</urlset>".encode())
    assert read(body + b"\0" * 9)[1] == []
    assert read(body + b"<!-- cached -->")[1] == ["bytes after the gzip stream, ignored: 15"]


@pytest.mark.parametrize("at", [0.2, 0.5, 0.99])
def test_nothing_before_the_damage_is_lost(at):
    """As many links as a decoder gives that takes one byte at a time."""
    noise = b"".join(b"<url><loc>https://news.example/%x</loc></url>" % (n * 2_654_435_761) for n in range(1_500))
    packed = bytearray(gzip.compress(b"<urlset>" + noise))
    start = int(len(packed) * at)
    packed[start : start + 8] = b"\xff" * 8
    links, warnings = read(bytes(packed))
    assert len(links) > 1_500 * at * 0.9
    assert warnings[0].startswith("the gzip stream is damaged") and CUT in warnings


def test_an_empty_sitemap_is_a_sitemap():
    assert read(urlset()) == ([], [])


def test_at_most_50000_urls(monkeypatch):
    """With a limit of 500, because 50,000 take seconds."""
    assert sitemap_entries.MAX_URLS == 50_000
    for module in (sitemaps, sitemap_entries):
        monkeypatch.setattr(module, "MAX_URLS", 500)
    links, warnings = read(urlset(*(f"https://news.example/a-{n}" for n in range(500))))
    assert (len(links), warnings) == (500, [])
    reader = SitemapReader(URL)
    links = reader.feed(urlset(*(f"https://news.example/a-{n}" for n in range(5_000))))
    assert len(links) == 500 and reader.is_full
    assert reader.feed(b"<url><loc>https://news.example/more</loc></url>") == []
    reader.close()
    assert reader.warnings == ["more than 50,000 URLs; the rest is left out"]


LAUGHS = b'<!DOCTYPE x [<!ENTITY a0 "lol">' + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)) + b"]>"
HOSTILE = {  # each made by its test, not by every process that collects tests; tests/growth measures how the time grows
    "bomb": lambda: gzip.compress(b"<urlset>" + b" " * 60_000_000),
    "nested bomb": lambda: gzip.compress(gzip.compress(b"<urlset>" + b" " * 60_000_000)),
    "laughs": lambda: LAUGHS + urlset("https://news.example/&a9;"),
    "external": lambda: b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + urlset("https://news.example/&a;"),
    "long field": lambda: urlset("https://news.example/" + "a" * 9_000_000),
    "deep": lambda: b"<urlset>" + b"<a>" * 25_000,
    "open": lambda: b"<urlset>" + b"<url><loc>" * 8_000,
    "one line": lambda: b"https://news.example/" + b"a" * 9_000_000,
    "open tags": lambda: b"<urlset>" + b"<a " * 30_000,
    "open quotes": lambda: b"<urlset>" + b"<a b='" * 25_000,
    "no markup": lambda: b"<urlset>" + b"<" * 1_000_000,
    "comments": lambda: b"<urlset>" + b"<!---->" * 12_000 + b"<!--" * 30_000,
    "ends": lambda: b"<urlset>" + b"<url>" + b"<a>" * 64 + b"</b>" * 16_000,
    "references": lambda: b"<urlset><url><loc>https://news.example/" + b"&#" * 500_000,
    "long section": lambda: b"<urlset><![CDATA[" + b"x" * 20_000_000,
    "open sections": lambda: b"<urlset>" + b"<url><![CDATA[</url>" * 5_000,
    "sections in sections": lambda: b"<urlset>" + b"<url><![CDATA[<![CDATA[</url>" * 5_000,
    "locs": lambda: b"<urlset><url>" + b"<loc>https://news.example/a</loc>" * 8_000,
    "bare": lambda: b"<urlset>" + b"https://news.example/a-b-c-d " * 6_000,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_take_bounded_time_and_memory(make):
    body = make()
    tracemalloc.start()
    start = time.process_time()
    try:
        links = read(body)[0]
    except ListingError:
        links = []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - start < 10  # tracemalloc itself makes it about five times slower
    assert peak < 50_000_000
    assert "root:" not in repr(links)


TOKENS = """<urlset> <url> <loc> https://news.example/a /b </loc> <lastmod> 2026-11-25 </lastmod> </url> </urlset> <sitemap> <rss>
<sitemapindex> <item> <link> </item> <![CDATA[ ]]> <!-- --> <? ?> <!DOCTYPE &amp; &#55357; & < > " ' é \xff \0 <x> <x/> </x> <news:title>
""".split()  # noqa: SIM905 - a list of forty strings would be harder to read
markup = st.lists(st.sampled_from(TOKENS), max_size=40).map(lambda tokens: "".join(tokens).encode("latin-1", "replace"))


def outcome(body, chunk):
    try:
        return read(body, chunk=chunk)
    except ListingError as error:
        return str(error)


@given(markup, st.sampled_from([bytes, gzip.compress, lambda b: gzip.compress(gzip.compress(b))]), st.data())
@settings(max_examples=150)
def test_the_result_does_not_depend_on_the_chunk_size(body, pack, data):
    """Damaged anywhere, with or without gzip: links and warnings are equal for chunks of one byte, of a few, and for one chunk."""
    packed = bytearray(pack(body))
    for at in data.draw(st.lists(st.integers(0, len(packed)), max_size=2)):
        packed[at : at + 1] = data.draw(st.binary(max_size=2))
    whole = outcome(bytes(packed), 1 << 30)
    assert all(outcome(bytes(packed), chunk) == whole for chunk in (1, data.draw(st.integers(2, 99)), 512))


PLAIN, STORED, PACKED = bytes, lambda b: gzip.compress(b, 0), gzip.compress


@pytest.mark.parametrize(
    ("pack", "damage"),
    [(PLAIN, None), (PLAIN, 70_000), (PLAIN, 150_000), (STORED, None), (STORED, 70_000), (PACKED, None), (PACKED, 30_000)],
    ids=["plain", "plain 70,000", "plain 150,000", "stored", "stored 70,000", "packed", "packed 30,000"],
)
def test_long_files_too(pack, damage):
    entries = "".join(f"{entry(n * 2_654_435_761)}\n<!-- é -->" for n in range(3_000))
    body = bytearray(pack(f"<urlset>{entries}".encode()))
    if damage is not None:
        body[damage : damage + 3] = b"<&\xff"
    whole = outcome(bytes(body), 1 << 30)
    assert all(outcome(bytes(body), chunk) == whole for chunk in (1_000, 65_537))


@given(
    st.binary(max_size=300) | st.text('<>/urlsetocximap&;"= h:n.e', max_size=300).map(lambda t: b"<urlset><url><loc>" + t.encode()),
    st.integers(1, 300),
)
@settings(max_examples=150)
def test_any_bytes_give_links_or_a_listing_error(body, chunk):
    try:
        links = read(body, chunk=chunk)[0]
    except ListingError:
        return
    assert all(urls.normalize(link.url) == link.url for link in links)
