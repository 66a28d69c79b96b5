"""Which link leads to the next page of the same article, and which to something else."""

from __future__ import annotations

import pytest

from newsmill.discovery.article_pages import find_next_page_of, find_page_number, is_page_of, list_first_pages

P = "https://paper.example"
STORY = "/2026/11/25/the-night-of-the-bridges"
PAGER = f'<div>1 <a href="{STORY}/2">2</a> <a href="{STORY}/3">3</a></div>'

ZERO_BASED = f'<a href="{STORY}">1</a> <a href="{STORY}?page=1">2</a> <a href="{STORY}?page=2">3</a> <a href="{STORY}?page=2">last »</a>'


def find(url: str, html: str, first: str | None = None) -> tuple[list[str], bool] | None:
    found = find_next_page_of(f"<html><body>{html}</body></html>".encode(), f"{P}{url}", f"{P}{first or url}")
    return None if found is None else ([one.removeprefix(P) for one in found.urls], found.is_sure)


@pytest.mark.parametrize(
    ("url", "html", "following"),
    [
        (STORY, f'<link rel="next" href="{STORY}?page=2">', f"{STORY}?page=2"),
        (STORY, f'<a rel="next" href="{P}{STORY}/2">A long label that says what comes on the other page</a>', f"{STORY}/2"),
        (f"{STORY}/", f'<a href="{STORY}/2/">2</a>', f"{STORY}/2/"),  # WordPress
        (STORY, PAGER, f"{STORY}/2"),
        (f"{STORY}/2", PAGER, f"{STORY}/3"),
        (STORY, '<a href="?page=2">Weiter</a>', f"{STORY}?page=2"),
        (f"{STORY}.html", f'<a href="{STORY}-p2.html">Page 2 of 5</a>', f"{STORY}-p2.html"),
        (f"{STORY}.html", f'<a href="{STORY}_2.html">下一页</a>', f"{STORY}_2.html"),
        (f"{STORY}.html", f'<a href="{STORY}.html/2">›</a>', f"{STORY}.html/2"),
        (f"{STORY}?id=7", f'<a href="{STORY}?id=7&amp;seite=2">Seite 2</a>', f"{STORY}?id=7&seite=2"),
        (f"{STORY}?page=1", f'<a href="{STORY}?page=2">2</a>', f"{STORY}?page=2"),
        (STORY, ZERO_BASED, f"{STORY}?page=1"),  # Drupal
        (f"{STORY}?page=1", ZERO_BASED, f"{STORY}?page=2"),
        (STORY, f'<a href="{STORY}?page=1">1</a> <a href="{STORY}?page=2">2</a> <a href="{STORY}?page=2">Next</a>', f"{STORY}?page=2"),
        ("/1043177,seite1.html", '<link rel="next" href="/1043177,seite2.html">', "/1043177,seite2.html"),
        ("/gr%C3%B6%C3%9Fe-der-br%C3%BCcke", '<a href="/größe-der-brücke/2">2</a>', "/gr%C3%B6%C3%9Fe-der-br%C3%BCcke/2"),
    ],
)
def test_the_next_page_of_an_article(url: str, html: str, following: str) -> None:
    first = STORY if url == f"{STORY}/2" or html == ZERO_BASED else None
    found = find(url, html, first)
    assert found is not None and found[1] and found[0] == [following]


@pytest.mark.parametrize(
    ("url", "html"),
    [
        (STORY, f'<a rel="next" href="{STORY}-at-last">The next article</a>'),
        (STORY, '<link rel="next" href="/2026/11/26/another-story">'),
        (STORY, f'<a href="{STORY}/2">Next article</a>'),
        (STORY, f'<a href="{STORY}/2">Two years after the flood, nobody is back</a>'),
        (STORY, f'<a href="{STORY}/3">3</a> <a href="{STORY}?page=4">4</a>'),  # the second one is missing
        (STORY, f'<a href="{STORY}/2">3</a>'),
        (STORY, f'<a href="{STORY}?page=1">1</a>'),
        (f"{STORY}?page=1", f'<a href="{STORY}?page=1">Next</a>'),
        (STORY, f'<a href="{STORY}/comment-page-2/#comments">2</a> <a href="{STORY}?cpage=2">2</a>'),
        (STORY, f'<a href="{STORY}?page=2#comments">2</a> <a href="{STORY}?page=2">Comments 2</a>'),
        (STORY, f'<a href="https://other.example{STORY}/2">2</a> <a rel="next" href="http://[">2</a> <a href="javascript:go(2)">2</a>'),
        (STORY, f'<a href="{STORY}/2/photo">2</a> <a href="{STORY}?page=2&amp;sort=new">2</a> <a href="{STORY}/22">22</a>'),
        ("/a.php?p=123", '<a href="/a.php?p=124">Next</a>'),  # a number of an article
        ("/2026/11", '<a href="/2026/11/2">2</a>'),  # a calendar
        ("/", '<link rel="next" href="/page/2/"><a href="/2">2</a>'),  # a homepage
        ("/tag/bridges", '<link rel="next" href="/tag/bridges?page=2">'),
        ("/story/2", '<a href="/story/3">3</a>'),  # not known to be a second page
    ],
)
def test_what_is_not_the_next_page(url: str, html: str) -> None:
    assert find(url, html) is None


def test_doubtful_pages_are_named_and_not_fetched() -> None:
    """By such URLs sites also tell two articles with one headline, the parts of a series and the pages of a list apart."""
    for following in (f"{STORY}-2", f"{STORY}-part-2", f"{STORY}/page/2/"):
        assert find(STORY, f'<link rel="next" href="{following}">') == ([following], False)
        assert find(STORY, f'<a href="{following}">2</a>') is None
        assert not is_page_of(P + following, P + STORY)


def test_all_pages_on_one_come_first() -> None:
    for whole in (f"{STORY}/komplettansicht", f"{STORY}?page=all", f"{STORY}?singlepage=1"):
        assert find(STORY, f'{PAGER}<a href="{whole}">View all</a>') == ([whole, f"{STORY}/2"], True)
        assert find(STORY, f'<a href="{whole}">View all</a>') is None
        assert is_page_of(P + whole, P + STORY) and find_page_number(P + whole, P + STORY) is None
        assert P + STORY in list_first_pages(P + whole)


def test_a_series_ends() -> None:
    assert find(f"{STORY}/20", f'<a href="{STORY}/21">21</a>', STORY) is None
    assert find(f"{STORY}?page=2", ZERO_BASED, STORY) is None
    for part in (f"{STORY}/2", f"{STORY}-p2.html", f"{STORY}?page=2"):
        assert {P + STORY, f"{P}{STORY}.html"} & {*list_first_pages(P + part)}
    assert list_first_pages(P + STORY) == []
