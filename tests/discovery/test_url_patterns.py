"""URL patterns: article, list, crawler trap or file, and versions of an article, by the URL alone. Invented after real ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.url_patterns import (
    LIST_SCORE,
    MIN_ARTICLE_SCORE,
    NEVER_ARTICLE_SCORE,
    is_crawler_trap,
    is_never_article,
    score_article_url,
)
from newsmill.discovery.url_variants import drop_each_parameter, drop_parameters, find_differences, find_plain_url
from newsmill.exceptions import UrlError
from newsmill.text import urls

SITE = "https://news.example"


def looks_like_article(url: str) -> bool:
    return score_article_url(url) >= MIN_ARTICLE_SCORE


@pytest.mark.parametrize(
    "path",
    [
        "/politics/2026/11/25/council-votes-on-budget",
        "/2026/nov/25/short",
        "/sport/a-slug-of-words-123456.html",
        "/story/3000000218734/nach-den-wahlen",
        "/article/10034558",
        "/news/society/11331872",
        "/artikel/ein-titel-aus-worten",
        "/?p=1842",
        "/2026/11/25/contact-lost-with-the-ferry.html",
        "/2026/11/25/page2-of-the-plan-is-missing/",
        "/view.php?article_id=20261125001",
        "/themen/strom/was-der-neue-preisdeckel-kostet",
        "/topics/2026/11/25/a-day",
        "/tema/the-harbour-bridge-is-open-again/81717808",
        "/legal/company-pleads-guilty-to-perjury-2026-03-04/",
        "/archives/2026/10/16/2003825372",
        "/news/7cc38a5c-7974-11ee-b7ba-95ef9cb6f5e8",
        "/ukraine-krieg-in-der-nacht.html",
        "/الأخبار/عنوان-الخبر-من-أربع-كلمات",
    ],
)
def test_articles(path):
    assert looks_like_article(urls.normalize(SITE + path))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/index.html",
        "/politics/",
        "/sport/football",
        "/tag/a-long-tag-of-words",
        "/author/anna-maria-von-berg",
        "/topics/natural-resources-and-environment",
        "/themen/",
        "/thema/max-muster-world-champion-news-and-pictures-555.html",  # the name of a topic may be long and have a number
        "/topics/regions/south-america.html",
        "/tema/bridge-30602057/page/2",
        "/search?q=budget",
        "/2026/11/25/",
        "/politics/2026/11",
        "/page/2",
        "/page2/",  # Jekyll
        "/index2.html",  # Pelican
        "/a-category-of-several-words/index-12.html",  # Nikola
        "/pages/about.html",
        "/404.html",
        "/ueber-uns.php",
        "/politics?page=3",
        "/login?next=/politics/a-slug-of-words-1",
        "/images/2026/11/25/a-picture-of-the-council.jpg",
        "/reports/a-report-of-the-council-2026.pdf",
        "/privacy-policy",
        "/about/",
        "/jobs/senior-editor-for-the-night-desk-12345",
        "/product/a-mug-with-the-old-harbour-bridge/",  # WooCommerce, also in other languages
        "/produkt/eine-tasse-mit-der-alten-hafenbruecke/",
        "/product-category/books-about-the-old-harbour/",
        "/p/a-post-of-several-words/comments",  # Substack
        "/2026/11/25/story/kommentare/",
        "/podcasts/",
        "/a-story-of-words-12345/comment-page-2",
        "/a-story-of-words-12345/?cpage=2",
        "/?p=12345&cpage=1",
        "/?paged=2",
        "/feed/",
    ],
)
def test_no_articles(path):
    assert not looks_like_article(urls.normalize(SITE + path))


def test_hosts_that_serve_no_articles():
    assert is_never_article("https://shop.news.example/a-long-slug-of-words-12345")
    assert not is_never_article("https://sport.news.example/a-long-slug-of-words-12345")
    for host in ("profile.example", "www.shop.example", "wetter.co.uk", "media.example:8080", "wetter"):  # the site itself has such a name
        assert looks_like_article(f"https://{host}/a-long-slug-of-words-12345"), host
    for host in ("my.profile.example", "wetter.news.co.uk", "media.news.example:8080"):
        assert not looks_like_article(f"https://{host}/a-long-slug-of-words-12345"), host
    assert not is_never_article(f"{SITE}/meinung/kommentare/") and not is_never_article(f"{SITE}/meinung/kommentare/kurz")


@pytest.mark.parametrize(
    "path",
    [
        "/a/b/a/b/",
        "/x/a/b/c/a/b/c",
        "/a/a/a",
        "/" + "a/b" * 1_000,
        "/" + "/".join("abcdefghijklm"),
        "/events/calendar/3012/07/",
        "/kalender?month=1897-03",
    ],
)
def test_traps(path):
    assert is_crawler_trap(urls.normalize(SITE + path))


@pytest.mark.parametrize(
    "path",
    [
        "/news/news/story",
        "/events/calendar/2026/07/",
        "/article/3834/1",
        "/2026/11/25/a-story",
        "/monde/7cc38a5c-7974-11ee-b7ba-95ef9cb6f5e8",
    ],
)
def test_no_traps(path):
    assert not is_crawler_trap(urls.normalize(SITE + path))


@given(st.text())
def test_any_url_has_a_score(text):
    try:
        url = urls.normalize(text, SITE)
    except UrlError:
        return
    assert is_crawler_trap(url) in (True, False)
    assert (score_article_url(url) in (NEVER_ARTICLE_SCORE, LIST_SCORE)) is is_never_article(url)


def test_urls_of_real_articles(shared):
    """At least 98 % of 205 articles of 140 news sites look like articles, and 93 % of 109 more; none is a crawler trap."""
    for sets, floor in ((("fundus-eval", "fundus-parser"), 0.98), (("aeb",), 0.93)):
        lines = [line for name in sets for line in (shared / "quality" / "data" / name / "gold.jsonl").read_text("utf-8").splitlines()]
        found = [urls.normalize(json.loads(line)["url"]) for line in lines]
        assert sum(map(looks_like_article, found)) / len(found) >= floor
        assert [url for url in found if is_crawler_trap(url)] == []


# ---- variants -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://paper.example/a/story/amp/", "https://paper.example/a/story/"),
        ("https://paper.example/amp/a/story", "https://paper.example/a/story"),
        ("https://paper.example/a/story.amp.html", "https://paper.example/a/story.html"),
        ("https://paper.example/a/story.html?outputType=amp&id=7", "https://paper.example/a/story.html?id=7"),
        ("https://paper.example/a/story?amp", "https://paper.example/a/story"),
        ("https://m.paper.example/a/story", "https://paper.example/a/story"),
        ("https://amp.paper.co.uk/a/story", "https://paper.co.uk/a/story"),
        ("https://paper.example/a/story/print", "https://paper.example/a/story"),
        ("https://paper.example/a/story-druck.html", "https://paper.example/a/story.html"),
        ("https://paper.example/story?print=1", "https://paper.example/story"),
        # not a version of anything
        ("https://paper.example/a/story", None),
        ("https://paper.example/a/blueprint.html", None),
        ("https://paper.example/a/camp", None),
        ("https://paper.example/amp", None),
        ("https://m.co.uk/a/story", None),
        ("https://mobile.example/a/story", None),
        ("https://paper.example/story?printer=laser", None),
        ("https://www.paper.example/a/story", None),
    ],
)
def test_the_plain_url(url: str, plain: str | None) -> None:
    assert find_plain_url(url) == plain


def test_parameters() -> None:
    url = "https://paper.example/story?id=7&Ref=1&ref=2"
    assert drop_each_parameter(url) == {"id": "https://paper.example/story?Ref=1&ref=2", "ref": "https://paper.example/story?id=7"}
    assert drop_parameters(url, {"id", "ref"}) == "https://paper.example/story"
    many = "".join(f"&{name}=1" for name in "abcdefg")
    assert drop_each_parameter("https://paper.example/story") == drop_each_parameter(url + many) == {}
    paper = "https://paper.example"
    for one, other, names in (
        (f"{paper}/story?id=7", "http://www.paper.example/story?id=7&from=app", ["from"]),
        (f"{paper}/story?from=web", f"{paper}/story?from=app", ["from"]),
        (f"{paper}/story?id=7&t=1&r=5f", f"{paper}/story?id=7&r=6a&t=2", ["r", "t"]),
        (f"{paper}/story?4f0a", f"{paper}/story?5e1b", [""]),
        (f"{paper}/story?id=7", f"{paper}/story?from=app", []),  # which of the two selects the article is unknown
        (f"{paper}/story?id=7&v=1", f"{paper}/story?nid=8", []),
        (f"{paper}/story?from=web", f"{paper}/other?from=app", []),
        (f"{paper}/story", f"{paper}/story", []),
        (f"{paper}/s/0f3a91c4/story?t=1", f"{paper}/s/1e4b82d3/story?t=2", ["t", "/s/*8"]),
        (f"{paper}/s(4f0a1c)/story", f"{paper}/s(5e1b2d)/story", ["/*9"]),
        (f"{paper}/s/0f3a91c4/story", f"{paper}/s/1e4b82d3/other", []),
        (f"{paper}/s/0f3a91c4/story", f"{paper}/t/1e4b82d3/story", []),
        (f"{paper}/s/0f3a91c4/story", f"{paper}/s/1e4b82d3f/story", []),  # ids of sessions have one length
        (f"{paper}/story/0f3a91c4", f"{paper}/story/1e4b82d3", []),  # the name of an article
        (f"{paper}/2026/11/30/story", f"{paper}/2026/11/29/story", []),
    ):
        assert find_differences(one, other) == find_differences(other, one) == names, (one, other)
