"""sitemaps: what other readers find, chunk by chunk, with hints; hostile and broken files in bounded time and memory."""

import gzip
import time
import tracemalloc
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.exceptions import ListingError, UrlError
from newsmill.find import urls
from newsmill.find.robots import Robots
from newsmill.find.shapes import is_other
from newsmill.find.sitemaps import SitemapReader
from newsmill.model import Hint, Kind, Link

URL = "https://news.example/sitemap.xml"
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def read(body, url=URL, chunk=65_536):
    reader = SitemapReader(url)
    links = [link for at in range(0, len(body), chunk) for link in reader.feed(body[at : at + chunk])]
    return [*links, *reader.close()], reader.warnings


def urlset(*locs):
    return f"<?xml version='1.0'?><urlset {NS}>{''.join(f'<url><loc>{loc}</loc></url>' for loc in locs)}</urlset>".encode()


def addresses(body, **options):
    return [link.url for link in read(body, **options)[0]]


def test_news_sitemap():
    body = f"""<urlset {NS} xmlns:news="http://www.google.com/schemas/sitemap-news/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
        <url><loc>https://news.example/tag/a-b?utm_source=x&amp;id=1</loc><lastmod>2026-11-25T13:00:00+01:00</lastmod>
        <image:image><image:loc>https://news.example/a.jpg</image:loc><image:title>A picture</image:title></image:image>
        <news:news><news:publication><news:name>N</news:name><news:language>de</news:language></news:publication>
        <news:publication_date>2026-11-25</news:publication_date><news:title>Tag &#38; Nacht</news:title>
        <news:keywords>a, b, a</news:keywords></news:news></url></urlset>""".encode()
    hint = Hint("Tag & Nacht", (), datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 25, 12, tzinfo=UTC), "de", ("a", "b"))
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
def test_packed_and_in_chunks(pack, chunk):
    wanted = [f"https://news.example/politics/story-number-{n}" for n in range(50)]
    assert addresses(pack(urlset(*wanted)), chunk=chunk) == wanted


def test_text_sitemap_and_members_of_gzip():
    body = gzip.compress(b"https://news.example/a\r\n") + gzip.compress("\nhttps://news.example/ä\nno address".encode()) + b"\0" * 100
    assert addresses(body) == ["https://news.example/a", "https://news.example/%C3%A4"]


@pytest.mark.parametrize("cut", [300, 500, 2_000])
def test_what_came_before_the_cut_counts(cut):
    whole = urlset(*(f"https://news.example/story-{n}" for n in range(100)))
    found = addresses(whole[:cut])
    assert found == [f"https://news.example/story-{n}" for n in range(len(found))]
    assert len(found) >= cut // 60 - 3
    packed = gzip.compress(whole)
    links, warnings = read(packed[: len(packed) - 40])
    assert len(links) > 20 and "the gzip stream is cut off" in warnings


def test_damaged_gzip_keeps_what_came():
    noise = b"".join(b"<url><loc>https://news.example/%x</loc></url>" % (n * 2_654_435_761) for n in range(20_000))
    packed = bytearray(gzip.compress(b"<urlset>" + noise))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = b"\xff" * 50
    links, warnings = read(bytes(packed))
    assert len(links) > 1_000
    assert warnings[0].startswith("the gzip stream is damaged")


def test_broken_markup_is_read_on():
    body = (
        b"<urlset><url><loc>https://news.example/a?x=1&y=2</loc><url><loc>https://news.example/b</loc></url><url><loc>/c</loc></url><url/>"
    )
    assert addresses(body) == ["https://news.example/a?x=1&y=2", "https://news.example/b", "https://news.example/c"]


def test_lists_and_files_are_left_out_and_counted():
    links, warnings = read(urlset("https://news.example/tag/x", "https://news.example/a.pdf", "mailto:x", "https://news.example/a-story"))
    assert [link.url for link in links] == ["https://news.example/a-story"]
    assert warnings == ["1 entries without a usable address", "2 addresses of lists, forms and files left out"]


@pytest.mark.parametrize("body", [b"", b" ", b"<html><p>404</p></html>", b"not found", b"\x89PNG\r\n", b"{}", gzip.compress(b"", mtime=0)])
def test_no_sitemap_is_refused(body):
    with pytest.raises(ListingError):
        read(body)


def test_an_empty_sitemap_is_one():
    assert read(urlset()) == ([], [])


def test_at_most_50000_addresses():
    reader = SitemapReader(URL)
    links = reader.feed(urlset(*(f"https://news.example/a-{n}" for n in range(60_000))))
    assert len(links) <= 50_000 and reader.full
    assert reader.feed(b"<url><loc>https://news.example/more</loc></url>") == []
    reader.close()
    assert reader.warnings == ["more than 50,000 addresses; the rest is left out"]


LAUGHS = b'<!DOCTYPE x [<!ENTITY a0 "lol">' + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)) + b"]>"
HOSTILE = {
    "bomb": gzip.compress(b"<urlset>" + b" " * 200_000_000),
    "nested bomb": gzip.compress(gzip.compress(b"<urlset>" + b" " * 200_000_000)),
    "laughs": LAUGHS + urlset("https://news.example/&a9;"),
    "external": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + urlset("https://news.example/&a;"),
    "long field": urlset("https://news.example/" + "a" * 9_000_000),
    "deep": b"<urlset>" + b"<a>" * 1_000_000,
    "open": b"<urlset>" + b"<url><loc>" * 500_000,
    "one line": b"https://news.example/" + b"a" * 9_000_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_take_bounded_time_and_memory(body):
    tracemalloc.start()
    start = time.process_time()
    try:
        links = read(body)[0]
    except ListingError:
        links = []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - start < 20  # tracemalloc itself makes it some five times slower
    assert peak < 50_000_000
    assert "root:" not in repr(links)


@given(
    st.binary(max_size=300) | st.text('<>/urlsetocximap&;"= h:n.e', max_size=300).map(lambda t: b"<urlset><url><loc>" + t.encode()),
    st.integers(1, 300),
)
@settings(max_examples=300)
def test_any_bytes_give_links_or_a_listing_error(body, chunk):
    try:
        links = read(body, chunk=chunk)[0]
    except ListingError:
        return
    assert all(urls.normal(link.url) == link.url for link in links)


def test_same_locs_as_other_readers(cases, body):
    """scrapy's and crawler-commons' own cases; those they call no urlset (a feed, a text file) are sitemaps by the protocol."""
    checked = 0
    for case in cases("sitemaps"):
        if case["kind"] == "usp" or case["id"] in (
            "crawler-commons/sitemap-images.xml",
            "crawler-commons-inline/testUnclosedSitemapIndexFile",
        ):
            continue  # pictures are no pages; the second holds two documents
        content = body(case) if "files" in case else (case.get("xml") or case.get("input") or "").encode()
        wanted = case["locs"] if "locs" in case else [row["loc"] for row in case["result"] if isinstance(row, dict)]
        usable = []
        for loc in wanted:
            try:
                usable.append(urls.normal(loc.strip()))
            except UrlError:
                continue
        if usable:
            checked += 1
            pages = [url for url in usable if not is_other(url)]
            assert addresses(content) == (usable if b"<sitemapindex" in content else pages), case["id"]
    assert checked >= 15


def walk(mocks, site):
    """All pages of a mocked site, by robots.txt and the usual place, each listing once."""
    answers = {mock["url"]: mock for mock in mocks}
    robots = answers.get(f"{site}/robots.txt", {"status": 404, "body": ""})
    due = [urls.normal(s) for s in Robots.for_status(robots["status"], (robots["body"] or "").encode()).sitemaps]
    due += [f"{site}/sitemap.xml", f"{site}/sitemap_index.xml", f"{site}/sitemap-index.xml"]
    seen, pages = set(), {}
    while due:
        url = due.pop(0)
        if url in seen or answers.get(url, {"status": 404})["status"] != 200:
            continue
        seen.add(url)
        content = answers[url]["body"]
        try:
            links = read(b64decode(content["b64"]) if isinstance(content, dict) else content.encode(), url)[0]
        except ListingError:
            continue
        due += [link.url for link in links if link.kind == Kind.SITEMAP]
        pages |= {link.url: link.hint for link in links if link.kind == Kind.PAGE}
    return pages


def test_same_pages_as_ultimate_sitemap_parser(cases):
    checked = 0
    for case in cases("sitemaps", "usp"):
        for call in case["calls"]:
            if "homepage" not in call or not call.get("pages"):
                continue
            pages = walk(case["mocks"], call["homepage"].rstrip("/"))
            checked += 1
            assert set(pages) == {urls.normal(page["url"]) for page in call["pages"]}, case["id"]
            for page in call["pages"]:
                hint = pages[urls.normal(page["url"])]
                if news := page.get("news"):
                    assert hint.title == " ".join(news["title"].split())
                    assert datetime.fromisoformat(news["publish_date"]) in (hint.published_at, hint.modified_at)  # Atom's "updated" is that
                elif page["lastmod"] and hint.modified_at:
                    assert hint.modified_at == datetime.fromisoformat(page["lastmod"]).astimezone(UTC)
    assert checked >= 6
