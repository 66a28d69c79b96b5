"""The fields of a page that tells the same facts in another way, and the parts of a page that tell those of other articles."""

from __future__ import annotations

import json
from html import escape

import pytest
from html_pages import NOW, URL, html, page, paragraphs

from newsmill.extraction.metadata.json_ld import parse_json_ld
from newsmill.extraction.pipeline import read
from newsmill.model import Document

ARTICLE = {
    "@type": "NewsArticle",
    "headline": "Council votes to keep the old bridge open",
    "datePublished": "2026-11-03T09:20:00+01:00",
    "dateModified": "2026-11-04T10:00:00+01:00",
    "author": [{"@type": "Person", "name": "Jane Doe"}, {"@type": "Person", "name": "John Roe"}],
    "articleSection": "Politics",
    "keywords": ["bridge"],
    "image": "https://paper.example/bridge.jpg",
}
OTHER = {
    "@type": "NewsArticle",
    "headline": "Mayor resigns after months of criticism",
    "url": "https://paper.example/politics/mayor-1.html",
    "datePublished": "2011-02-03T04:05:06+00:00",
    "author": {"@type": "Person", "name": "Wilma Other"},
    "articleSection": "Elsewhere",
    "image": "https://paper.example/mayor.jpg",
}
HEADLINE = "<h1>Council votes to keep the old bridge open</h1>"
TEASERS = """<div><div><h3><a href="/politics/mayor-1.html">Mayor resigns after months of criticism over budget</a></h3>
    <span class="byline">By Wilma Other</span> <time datetime="2011-02-01">1 February 2011</time></div>
    <div><h3><a href="/politics/ferry-2.html">Ferry crossings will cost more from next summer</a></h3>
    <a rel="author" href="/author/karl">Karl Other</a> <time datetime="2011-02-02">2 February 2011</time></div></div>"""
ITEMS = """<div itemscope itemtype="https://schema.org/NewsArticle"><h3 itemprop="headline"><a href="/m">Mayor resigns today</a></h3>
    <span itemprop="author">Wilma Other</span><meta itemprop="datePublished" content="2011-02-01">
    <meta itemprop="dateModified" content="2026-11-01"><meta itemprop="description" content="Not this.">
    <meta itemprop="keywords" content="mayor">
    </div>"""
COMMENTS = """<div><h2>One comment</h2><div itemscope itemtype="http://schema.org/Comment"><span itemprop="author">Rita Reader</span>
    <time itemprop="datePublished" datetime="2026-11-05">5 November 2026</time><p>I never liked that bridge.</p></div></div>"""
COMMENT_LIST = """<ol class="comment-list"><li><cite>Rita Reader</cite> <time datetime="2026-11-05">5 November 2026</time>
    <p>I never liked that bridge.</p></li></ol>"""


def document(head: str, body: str, url: str = URL) -> Document:
    reading = read(page(html(body, head), url))
    assert reading.document is not None, reading.ending
    return reading.document


def script(text: object) -> str:
    return f'<script type="application/ld+json">{text if isinstance(text, str) else json.dumps(text)}</script>'


def facts(document: Document) -> dict[str, object]:
    names = tuple(author.name for author in document.authors)
    times = (document.published_at, document.modified_at)
    return {
        "names": names,
        "times": times,
        "section": document.section,
        "tags": document.tags,
        "image": document.image,
        "type": document.article_type,
    }


PLAIN = json.dumps(ARTICLE)
WANTED = facts(document(script(ARTICLE), HEADLINE + paragraphs()))


@pytest.mark.parametrize(
    "text",
    [
        f"<![CDATA[{PLAIN}]]>",
        f"//<![CDATA[\n{PLAIN}\n//]]>",
        f"<!--//--><![CDATA[//><!--\n{PLAIN}\n//--><!]]>",
        f"<!-- {PLAIN} -->",
        f"/* an SEO plug-in */ {PLAIN}; // end",
        f"\ufeff{PLAIN}",
        escape(PLAIN),
        PLAIN.replace('"keywords"', '\n // "genre": "",\n"keywords"'),
        PLAIN.replace("}]", "},]"),
        f'{{"@type":"WebSite","name":"Paper"}},{PLAIN}',
        PLAIN.replace('"NewsArticle"', '["Thing", "schema:NewsArticle"]'),
        PLAIN.replace('"2026-11-03T09:20:00+01:00"', '{"@type":"DateTime","@value":"2026-11-03T09:20:00+01:00"}'),
    ],
)
def test_json_ld_in_other_spellings(text: str) -> None:
    assert facts(document(script(text), HEADLINE + paragraphs())) == WANTED


@pytest.mark.parametrize("text", ["", "x", '"text"', "{", "{]", "[" * 100_000])
def test_json_ld_that_cannot_be_read(text: str) -> None:
    assert parse_json_ld(text) is None


def test_a_number_that_no_float_holds_is_text() -> None:
    digits = "1" + "0" * 5000
    assert parse_json_ld(f'{{"a": {digits}}}') == {"a": digits}


def test_a_reference_that_is_not_a_text_is_no_reference() -> None:
    found = document(script(ARTICLE | {"publisher": {"@id": ["x"]}}), HEADLINE + paragraphs())
    assert facts(found) == WANTED


@pytest.mark.parametrize(
    ("before", "own"),
    [
        ({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": OTHER}, {"@type": "ListItem", "item": OTHER}]}, ARTICLE),
        ({"@type": "Blog", "blogPost": [OTHER, OTHER]}, ARTICLE),
        (OTHER, ARTICLE | {"url": "/politics/council-votes-on-the-bridge-10431.html"}),
        (OTHER, ARTICLE | {"mainEntityOfPage": "https://www.paper.example/the-bridge"}),  # the canonical URL
    ],
)
def test_articles_of_a_list_or_with_another_url_are_not_the_article(before: object, own: object) -> None:
    head = f'<link rel="canonical" href="/the-bridge">{script(before)}{script(own)}'
    assert facts(document(head, HEADLINE + paragraphs())) == WANTED
    alone = facts(document(script(before), HEADLINE + paragraphs()))
    assert own is not ARTICLE or (alone["names"], alone["times"], alone["type"]) == ((), (None, None), None)


def test_the_only_article_of_a_list_may_be_the_article() -> None:
    found = document(script({"@type": "Blog", "blogPost": [ARTICLE]}), HEADLINE + paragraphs())
    assert facts(found) == WANTED


@pytest.mark.parametrize("headline", [HEADLINE, HEADLINE.replace("h1", "h2")])
@pytest.mark.parametrize("parts", [(TEASERS, ""), (ITEMS, ""), ("", TEASERS), ("", ITEMS), ("", COMMENTS), ("", COMMENT_LIST)])
def test_other_articles_and_comments_give_no_fields(headline: str, parts: tuple[str, str]) -> None:
    found = document("", f"{parts[0]}<div>{headline}{paragraphs() * 3}</div>{parts[1]}")
    assert (found.authors, found.published_at, found.modified_at, found.description, found.tags) == ((), None, None, None, ())


@pytest.mark.parametrize("parts", [(TEASERS, ""), (ITEMS, ""), ("", COMMENTS)])
@pytest.mark.parametrize(
    "own",
    [
        '<p class="byline">By <a rel="author" href="/author/jane">Jane Doe</a></p><p>3 November 2026</p>',
        '<h4 class="author"><a href="/author/jane">Jane Doe</a></h4><time datetime="2026-11-03">3 November 2026</time>',
    ],
)
def test_the_article_keeps_its_byline_between_other_articles(own: str, parts: tuple[str, str]) -> None:
    found = document("", f"{parts[0]}<div>{HEADLINE}{own}{paragraphs()}</div>{parts[1]}")
    assert ([author.name for author in found.authors], found.published_day) == (["Jane Doe"], "2026-11-03")


def test_microdata_of_the_article_also_where_it_is_shown() -> None:
    body = f"""<div itemscope itemtype="http://schema.org/NewsArticle"><a itemprop="articleSection">Politics</a>{HEADLINE}
        <span itemprop="author" itemscope itemtype="http://schema.org/Person"><span itemprop="name">Jane Doe</span></span>
        <time itemprop="datePublished" datetime="2026-11-03T09:20:00+01:00">3 November</time>
        <time itemprop="dateModified" datetime="2026-11-04T10:00:00+01:00">4 November</time>
        <div itemprop="articleBody">{paragraphs()}</div>{ITEMS}{COMMENTS}<a itemprop="keywords">bridge</a></div>"""
    found = facts(document("", body))
    assert found["names"] == ("Jane Doe",)
    assert [found[key] for key in ("times", "section", "tags")] == [WANTED[key] for key in ("times", "section", "tags")]


def test_a_headline_that_links_to_itself_is_that_of_the_page() -> None:
    headline = f'<h2 itemprop="headline"><a href="{URL}">The council votes to keep it</a></h2>'
    own = '<span itemprop="author">Jane Doe</span><meta itemprop="datePublished" content="2026-11-03">'
    post = f'<div itemscope itemtype="http://schema.org/BlogPosting">{headline}{own}{paragraphs()}</div>'
    text = f'<html><title>The council votes to keep it | Paper</title><body><h1><a href="/">Paper</a></h1>{post}</body></html>'
    found = read(page(text)).document
    assert found is not None
    assert ([author.name for author in found.authors], found.published_day) == (["Jane Doe"], "2026-11-03")


@pytest.mark.parametrize("name", ["article", "og:article", "OG:Article"])
def test_names_of_open_graph(name: str) -> None:
    times = "".join(
        f'<meta property="{name}:{key}_time" content="{ARTICLE[value]}">'
        for key, value in (("published", "datePublished"), ("modified", "dateModified"))
    )
    found = document(
        f'{times}<meta property="{name}:section" content="Politics"><meta name="{name}:tag" content="bridge">', HEADLINE + paragraphs()
    )
    assert [facts(found)[key] for key in ("times", "section", "tags")] == [WANTED[key] for key in ("times", "section", "tags")]


def test_the_date_of_the_web_page_counts_if_no_article_has_one() -> None:
    assert document(script({"@type": "WebPage", "datePublished": "2026-11-03"}), HEADLINE + paragraphs()).published_day == "2026-11-03"
    assert document(script({"@type": "VideoObject", "datePublished": "2026-11-03"}), HEADLINE + paragraphs()).published_at is None


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ('<div role="heading" aria-level="1">Council keeps the bridge</div>', "Council keeps the bridge"),
        ("<p ROLE=heading aria-level=1>Council <b>keeps</b> the bridge</p>", "Council keeps the bridge"),
        (
            '<div role="dialog"><h1>We value your privacy</h1></div><h1>The bridge stays, says the town</h1>',
            "The bridge stays, says the town",
        ),
        (
            "<div><h1>The bridge stays, says the town</h1></div>" * 2,
            "The bridge stays, says the town",
        ),  # also in a bar that stays on the screen
    ],
)
def test_headline(body: str, title: str) -> None:
    assert document("", body + paragraphs()).title == title


def test_a_heading_that_is_most_of_the_title_is_the_headline() -> None:
    head = "<title>Paper Review: Council votes to keep the old bridge</title>"
    found = read(page(f"<html><head>{head}</head><body><h2>Council votes to keep the old bridge</h2>{paragraphs()}</body></html>"))
    assert found.document is not None and found.document.title == "Council votes to keep the old bridge"


@pytest.mark.parametrize(
    "before",
    [
        '<div role="dialog"><h1>We value your privacy</h1></div>',
        "<div><h1>The Daily Paper</h1></div>",
        "<div><h1>News from the region</h1></div>",
    ],
)
def test_the_byline_below_the_headline_is_found_behind_another_h1(before: str) -> None:
    menu = "".join(f"<p>Line {number} of a long menu</p>" for number in range(50))
    title = "<title>Council votes to keep the old bridge open | The Daily Paper</title>"
    found = read(page(f"{title}{before}{menu}{HEADLINE}<p>By Jane Doe</p>{paragraphs()}")).document
    assert found is not None and [author.name for author in found.authors] == ["Jane Doe"]


def test_the_type_of_another_article_does_not_choose_the_title() -> None:
    head = f'<meta property="og:title" content="The bridge stays">{script(ARTICLE | {"@type": "Article", "headline": "The bridge stays"})}'
    listed = script({"@type": "ItemList", "itemListElement": [OTHER, OTHER]})
    titles = [document(data, HEADLINE + paragraphs()).title for data in (head, listed + head)]
    assert titles == ["Council votes to keep the old bridge open"] * 2


def test_characters_without_a_width_are_not_part_of_names_and_times() -> None:
    time = '<meta property="article:published_time" content="2026-11-03\u200eT09:20:00+01:00">'
    found = document(f'<meta name="author" content="Jane Doe and\u2060 John Roe">{time}', HEADLINE + paragraphs())
    assert [author.name for author in found.authors] == ["Jane Doe", "John Roe"]
    assert found.published_at is not None and found.published_at < NOW


@pytest.mark.parametrize("headline", ["<h1>Bridge stays</h1>", "<h2>Bridge stays</h2>", ""])
def test_a_page_named_after_its_comments_keeps_its_date(headline: str) -> None:
    """WordPress gives <body> the class "comments-open"; the headline is found only in the first case."""
    body = f'<body class="single comments-open"><div>{headline}<p class="post-date">3 November 2026</p>{paragraphs() * 3}</div></body>'
    found = read(page(f"<html><head><title>The Paper</title></head>{body}</html>")).document
    assert found is not None and found.published_day == "2026-11-03"
