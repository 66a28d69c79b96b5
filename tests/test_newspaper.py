"""The newspaper itself: its files match its data, and its server behaves like a real one."""

from __future__ import annotations

import gzip
import html
import http.client
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from newspaper_site.__main__ import SITE, build_site
from newspaper_site.article import CREDITS, NEWSPAPER, read_articles, read_paragraphs, read_seed

from newsmill import demo

ARTICLES = read_articles()


@pytest.fixture(scope="module")
def paper() -> Iterator[demo.Newspaper]:
    with demo.serve() as running:
        yield running


def request(paper: demo.Newspaper, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """One request on a connection of its own; header names with underscores for hyphens."""
    connection = http.client.HTTPConnection(urlsplit(paper.url).netloc, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_the_site_is_built_from_the_data() -> None:
    there = {str(path.relative_to(SITE)): path.read_text("utf-8") for path in SITE.rglob("*") if path.is_file()}
    assert there == build_site(), "run: cd tests && python -m newspaper_site"


def test_the_seed_article_is_untouched(shared: Path) -> None:
    assert (NEWSPAPER / "seed.txt").read_bytes() == (shared / "seed" / "article.txt").read_bytes()


def test_the_seed_articles_expected_text_differs_in_blanks_only() -> None:
    lines = [[" ".join(line.split()) for line in paragraph.split("\n")] for paragraph in read_seed()]
    assert read_paragraphs("nato-russland-rat") == tuple("\n".join(paragraph) for paragraph in lines)


def test_there_is_enough_of_everything() -> None:
    assert len(ARTICLES) >= 12
    assert len({a.language for a in ARTICLES}) >= 5
    assert {a.credit for a in ARTICLES} - {""} == set(CREDITS)
    assert len(CREDITS) >= 6
    assert {listing for a in ARTICLES for listing in a.found_by} == {"rss", "atom", "json", "news", "archive", "home", "section", "page2"}


@pytest.mark.parametrize("article", ARTICLES, ids=lambda a: a.slug)
def test_every_article_is_served_in_its_encoding(paper: demo.Newspaper, article) -> None:  # type: ignore[no-untyped-def]
    response, body = request(paper, article.url)
    assert response.status == 200
    page = body.decode(article.encoding)
    assert all(paragraph.split()[0] in page for paragraph in article.paragraphs)
    assert demo.BASE_URL_PLACEHOLDER not in page
    assert f'<link rel="canonical" href="{paper.url}{article.url}">' in page
    declared = {"header": "charset" in response.headers["Content-Type"], "page": "<meta charset" in page}
    assert declared == {"header": article.declared != "page", "page": article.declared != "header"}


@pytest.mark.parametrize("row", tomllib.loads((NEWSPAPER / "expected.toml").read_text("utf-8"))["other"], ids=lambda row: row["url"])
def test_every_other_url_has_the_response_of_its_outcome(paper: demo.Newspaper, row: dict[str, str]) -> None:
    response, body = request(paper, row["url"])
    if row["outcome"] == "gone":
        assert response.status in (404, 410)
    elif response.status in (301, 302):
        target = urlsplit(response.headers["Location"]).path
        assert target == next(a.url for a in ARTICLES if a.slug == row["target"])
    else:
        assert response.status == 200
        assert b"Aunebote" in body or b'rel="canonical"' in body


def test_a_listing_links_to_its_articles(paper: demo.Newspaper) -> None:
    places = {
        "rss": "/rss.xml",
        "atom": "/en/atom.xml",
        "json": "/feed.json",
        "news": "/sitemap-news.xml",
        "archive": "/sitemap-archiv.xml.gz",
        "home": "/",
    }
    for name, path in places.items():
        _, body = request(paper, path)
        text = (gzip.decompress(body) if name == "archive" else body).decode()
        missing = [a.slug for a in ARTICLES if name in a.found_by and a.url not in text]
        assert not missing, name


def test_an_article_of_one_listing_is_linked_from_nowhere_else() -> None:
    only = {
        "night-train-stop": {"sitemap-archiv.xml"},
        "tilleuls-place": {"sitemap-archiv.xml"},
        "vendimia-adelantada": {"es/comarca/index.html"},
    }
    for slug, expected in only.items():
        article = next(a for a in ARTICLES if a.slug == slug)
        own = f"{article.url.removesuffix('.html')[1:]}.html"
        assert {name for name, text in build_site().items() if article.url in text and name != own} == expected


def test_the_second_section_page_differs(paper: demo.Newspaper) -> None:
    _, first = request(paper, "/de/stadt/")
    _, second = request(paper, "/de/stadt/?page=2")
    assert b'rel="next"' in first
    assert b"stadtbuecherei" in second
    assert b"stadtbuecherei" not in first


def test_a_known_copy_is_answered_with_304(paper: demo.Newspaper) -> None:
    response, body = request(paper, "/rss.xml")
    assert body
    by_tag, empty = request(paper, "/rss.xml", If_None_Match=response.headers["ETag"])
    by_date, _ = request(paper, "/rss.xml", If_Modified_Since=response.headers["Last-Modified"])
    other, _ = request(paper, "/rss.xml", If_None_Match='"other"', If_Modified_Since=response.headers["Last-Modified"])
    assert (by_tag.status, by_date.status, other.status, empty) == (304, 304, 200, b"")


def test_gzip_needs_accept_encoding(paper: demo.Newspaper) -> None:
    plain, body = request(paper, "/")
    packed, bytes_ = request(paper, "/", Accept_Encoding="gzip, br")
    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(bytes_) == body


def test_head_tracking_and_odd_paths(paper: demo.Newspaper) -> None:
    head, nothing = request(paper, "/", method="HEAD")
    assert (head.status, nothing) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    assert request(paper, f"{ARTICLES[0].url}?utm_source=x")[0].status == 200
    assert [request(paper, path)[0].status for path in ("/../seed.txt", "/%2e%2e/seed.txt", "/%00", "/nowhere/")] == [404] * 4
    assert request(paper, "/newsletter", method="POST")[0].status == 405


def test_absolute_urls_follow_the_host_header(paper: demo.Newspaper) -> None:
    _, body = request(paper, "/robots.txt", Host="newspaper:8000")
    assert b"Sitemap: http://newspaper:8000/sitemap.xml" in body


def test_the_log_records_each_request(paper: demo.Newspaper) -> None:
    before = len(paper.log)
    request(paper, "/impressum?x=1", User_Agent="reader")
    (entry,) = paper.log[before:]
    assert (entry.method, entry.path, entry.status, entry.headers["User-Agent"]) == ("GET", "/impressum?x=1", 200, "reader")


def test_one_connection_serves_many_requests(paper: demo.Newspaper) -> None:
    connection = http.client.HTTPConnection(urlsplit(paper.url).netloc, timeout=10)
    for path in ("/", "/en/flood-wall", "/gone", "/rss.xml"):
        connection.request("GET", path)
        assert connection.getresponse().read() is not None
    connection.close()


def test_every_link_leads_somewhere(paper: demo.Newspaper) -> None:
    dead = {row["url"] for row in tomllib.loads((NEWSPAPER / "expected.toml").read_text("utf-8"))["other"] if row["outcome"] == "gone"}
    links = {link for text in build_site().values() for link in re.findall(r'<a [^>]*href="(/[^"]*)"', text)}
    broken = {link for link in links if request(paper, html.unescape(link))[0].status >= 400}
    assert broken == dead
