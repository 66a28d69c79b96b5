"""Article or not: each kind of page that is none ends with a name and a sentence; articles stay."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from html_pages import NOW, PROSE, article, html, page, paragraphs

from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.extraction.page_type.classify import classify_page
from newsmill.extraction.pipeline import read
from newsmill.model import ExtractionResult, Outcome, Page

NAV = "<nav>" + "".join(f'<a href="/{name}/">{name.title()}</a> ' for name in ("politics", "world", "sport", "culture")) + "</nav>"
CARDS = "".join(
    f'<article class="teaser"><h2><a href="/a/{n}.html">The council has voted for number {n}</a></h2><p>{PROSE[n % 4][:60]}.</p></article>'
    for n in range(12)
)
NEWS = '<script type="application/ld+json">{"@type":"NewsArticle","headline":"Council votes","isAccessibleForFree":%s}</script>'


def ending(body: str, url: str = "https://paper.example/politics/x-10431.html", head: str = "", title: str = "Paper") -> ExtractionResult:
    return read(page(html(NAV + body, head).replace("Council votes</title>", f"{title}</title>"), url))


@pytest.mark.parametrize(
    ("body", "url", "outcome"),
    [
        (f"<main><h1>Politics</h1>{CARDS}</main>", "https://paper.example/politics/", Outcome.NOT_ARTICLE),
        (f"<main>{CARDS}</main>", "https://paper.example/", Outcome.NOT_ARTICLE),
        (f"<main><h1>Bridge</h1>{CARDS[:600]}</main>", "https://paper.example/tag/bridge/", Outcome.NOT_ARTICLE),
        (
            f"<main><h1>Jane Doe</h1><p>Writes about bridges.</p>{CARDS}</main>",
            "https://paper.example/author/jane-doe",
            Outcome.NOT_ARTICLE,
        ),
        ("<main><h1>Results</h1><p>Nothing was found for your words.</p></main>", "https://paper.example/?s=bridge", Outcome.NOT_ARTICLE),
        ("<main><h1>About</h1></main>", "https://paper.example/about/", Outcome.NOT_ARTICLE),
        (f"<main><h1>Our letter</h1><p>{PROSE[0]}</p></main>", "https://paper.example/newsletter/the-bridge-daily", Outcome.NOT_ARTICLE),
        (
            "<main><h1>404</h1><p>Sorry, this page could not be found. It may have moved.</p></main>",
            "https://paper.example/a.html",
            Outcome.SOFT_404,
        ),
        (
            "<main><h1>Seite nicht gefunden</h1><p>Vielleicht ist sie umgezogen.</p></main>",
            "https://paper.example/a.html",
            Outcome.SOFT_404,
        ),
        ("<main><p>Cette page n’existe pas ou n’existe plus.</p></main>", "https://paper.example/a.html", Outcome.SOFT_404),
        (
            "<div><h1>Cookies</h1><p>We and our 742 partners store and access information on a device, such as cookies, "
            "and process personal data.</p></div>",
            "https://paper.example/a.html",
            Outcome.CONSENT_WALL,
        ),
        (
            "<div><p>Wir und unsere 742 Partner brauchen Ihre Einwilligung. Mit Cookies verarbeiten wir personenbezogene Daten. "
            "Alles akzeptieren.</p></div>",
            "https://paper.example/a.html",
            Outcome.CONSENT_WALL,
        ),
        (
            "<div id=root></div><noscript>You need to enable JavaScript to run this app.</noscript>",
            "https://paper.example/a.html",
            Outcome.NEEDS_SCRIPT,
        ),
        ("<div><p>Please enable JavaScript and reload the page to see it.</p></div>", "https://paper.example/a.html", Outcome.NEEDS_SCRIPT),
        (
            f"<article><h1>Council votes</h1><p>{PROSE[0]}</p><p>This article is for subscribers. Subscribe now to read on.</p></article>",
            "https://paper.example/a.html",
            Outcome.PAYWALL,
        ),
        (
            f"<article><h1>Der Rat stimmt ab</h1><p>{PROSE[0]}</p>"
            "<p>Dieser Artikel ist nur für Abonnenten. Jetzt abonnieren und weiterlesen.</p></article>",
            "https://paper.example/a.html",
            Outcome.PAYWALL,
        ),
    ],
)
def test_pages_that_are_no_articles(body: str, url: str, outcome: Outcome) -> None:
    reading = ending(body, url)
    assert reading.document is None
    assert reading.ending.outcome is outcome, reading.ending
    assert reading.ending.detail


def test_a_teaser_that_says_it_is_not_free_is_a_paywall_and_a_long_one_an_article() -> None:
    assert ending(f"<article><h1>Council votes</h1><p>{PROSE[0]}</p></article>", head=NEWS % "false").ending.outcome is Outcome.PAYWALL
    assert ending(f"<article><h1>Council votes</h1>{paragraphs()}</article>", head=NEWS % "false").ending.outcome is Outcome.STORED
    assert ending(f"<article><h1>Council votes</h1><p>{PROSE[0]}</p></article>", head=NEWS % "true").ending.outcome is Outcome.STORED


OFFER = "<h3>Subscribe now to continue reading</h3><p>All articles in the app for two euros a week.</p><a href=/plans>Plans</a>"
GHOST = '<meta name="generator" content="Ghost 6.10"><style>.gh-post-upgrade-cta { color: red }</style>'
GHOST_NOTICE = '<aside class="gh-post-upgrade-cta"><h2>Nur für Mitglieder</h2><a data-portal="signup">Weiter</a></aside>'
FAR = f"<aside><h4>Our newsletter</h4><p>{'The news of the week, every Friday. ' * 8}</p></aside>"
TEASER = f"<article><h1>Council votes</h1><div class=body><p>{PROSE[0]}</p><p>{PROSE[1]}</p></div>%s</article>%s"


@pytest.mark.parametrize(
    ("inside", "beside", "head", "outcome"),
    [
        (
            f"<section class=offer>{OFFER}{'<p>Cancel at any time, on every device.</p>' * 3}</section>",
            "",
            "",
            Outcome.PAYWALL,
        ),
        ("", f"<aside class=offer>{OFFER}</aside>", "", Outcome.PAYWALL),
        ("", "<aside><p>Dieser Artikel ist nur für Abonnenten.</p></aside>", "", Outcome.PAYWALL),
        ("", f"<aside class=offer>{OFFER}</aside>", NEWS % "true", Outcome.STORED),  # a brief that says that it is free
        ("", f"{FAR}<aside class=offer>{OFFER}</aside>", NEWS % "false", Outcome.PAYWALL),
        ("", f"{FAR}<aside class=offer>{OFFER}</aside>", "", Outcome.STORED),
        ("", f"{FAR}<aside><h4>Support us</h4><p>Already a subscriber? Log in.</p></aside>", NEWS % "false", Outcome.STORED),
        ("", "<aside><h4>Support us</h4><p>Already a subscriber? Log in.</p></aside>", "", Outcome.STORED),
        (f"{paragraphs()}<p>Members log in to read the minutes.</p>{paragraphs()}", "", "", Outcome.STORED),
        (paragraphs(), f"<aside class=offer>{OFFER}</aside>", "", Outcome.STORED),
        # Ghost shows its notice where the free part of a post ends; the styles of the notice are on every page
        (paragraphs(), GHOST_NOTICE, GHOST, Outcome.PAYWALL),
        (paragraphs(), GHOST_NOTICE, "", Outcome.STORED),
        (paragraphs(), "", GHOST, Outcome.STORED),
        ("", "<p>This post is for subscribers on the Gold tier only</p>", "", Outcome.PAYWALL),
    ],
)
def test_the_notice_of_a_paywall_and_its_offer_are_no_words_of_the_article(inside: str, beside: str, head: str, outcome: Outcome) -> None:
    assert ending(TEASER % (inside, beside), head=head).ending.outcome is outcome


@pytest.mark.parametrize(
    ("url", "following"),
    [
        ("/story/bridge-10431", "/story/bridge-10431?page=2"),
        ("/story/bridge-10431", "/story/bridge-10431/2"),
        ("/story/bridge-10431/", "/story/bridge-10431/2/"),
        ("/bridge-10431.html", "/bridge-10431_p2.html"),
        ("/bridge-10431.html", "/bridge-10431-2.html"),
        ("/1043177,seite1.html", "/1043177,seite2.html"),
        ("/bridge-10431/page/1", "/bridge-10431/page/2"),
        ("/bridge-10431?id=7", "/bridge-10431?id=7&seite=2"),
    ],
)
def test_the_first_page_of_a_divided_article_names_the_next_one(url: str, following: str) -> None:
    def warn(href: str) -> str:
        found = ending(f"<main><h1>The night</h1>{paragraphs()}</main>", f"https://paper.example{url}", f'<link rel="next" href="{href}">')
        assert found.document is not None
        return " ".join(found.document.warnings)

    assert warn(following) == f"the article continues at https://paper.example{following}, which is not part of this text"
    assert not warn("/another-story-of-the-day-10432") and not warn(following.replace("2", "3")) and not warn("http://[")


ROWS = "".join(f"<tr><td>FC {name}town</td><td>12</td><td>{40 - n}</td></tr>" for n, name in enumerate(("Bridge", "Quay", "Ferry") * 5))
VERSES = "".join(
    f"<p>{'<br>'.join(('The river runs below the bridge', 'and no one sees it run,', 'the ferry leaves the quay'))}</p>" for _ in range(5)
)


@pytest.mark.parametrize(
    ("body", "head", "outcome"),
    [
        (f"<h1>The first league</h1><table>{ROWS}</table>", "", Outcome.NOT_ARTICLE),
        ("<h1>The bridge</h1>" + "<figure><img src=a.jpg><figcaption>The old bridge</figcaption></figure>" * 12, "", Outcome.NOT_ARTICLE),
        (f"<h1>The first league</h1><table>{ROWS}</table>", NEWS % "true", Outcome.STORED),
        (f"<h1>The first league</h1><table>{ROWS}</table><p>{PROSE[0]}</p>", "", Outcome.STORED),
        (f"<article><h1>The river</h1>{VERSES}</article>", "", Outcome.STORED),
        ("<article><h1>Bridge open</h1><p>The bridge is open again.</p></article>", "", Outcome.STORED),
    ],
)
def test_a_page_of_labels_without_a_sentence_is_no_article(body: str, head: str, outcome: Outcome) -> None:
    assert ending(f"<main>{body}</main>", head=head).ending.outcome is outcome


@pytest.mark.parametrize(
    "notice",
    [
        "Register now for free to read on.",
        "This content is only available to registered users.",
        "Jetzt kostenlos registrieren und weiterlesen",
        "Bitte registrieren Sie sich, um den Artikel zu lesen.",
        "Inscrivez-vous gratuitement pour lire l’article",
        "Regístrate gratis para seguir leyendo",
    ],
)
def test_a_beginning_before_a_registration_is_not_the_article(notice: str) -> None:
    assert ending(TEASER % (f"<div class=wall><p>{notice}</p></div>", "")).ending.outcome is Outcome.PAYWALL


PODCAST = '<script type="application/ld+json">{"@type":"PodcastEpisode","name":"The old harbour"}</script>'
READ_ALOUD = (
    '<script type="application/ld+json">[{"@type":"AudioObject","name":"Listen"},{"@type":"NewsArticle","headline":"Council"}]</script>'
)


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        ('<meta property="og:type" content="video.other">', Outcome.NOT_ARTICLE),
        ('<meta property="og:type" content="music.song">', Outcome.NOT_ARTICLE),
        (PODCAST, Outcome.NOT_ARTICLE),
        (READ_ALOUD, Outcome.STORED),
        (f'<meta property="og:type" content="article">{PODCAST}', Outcome.STORED),
        ("", Outcome.STORED),
    ],
)
def test_a_video_or_a_podcast_without_text(head: str, outcome: Outcome) -> None:
    body = "<main><h1>See the bridge fall</h1><p>Watch how it happened on Tuesday.</p></main>"
    assert ending(body, head=head).ending.outcome is outcome


@pytest.mark.parametrize("head", ['<meta property="og:type" content="video.other">', PODCAST])
def test_a_video_or_a_podcast_with_a_text_is_an_article(head: str) -> None:
    assert ending(f"<article><h1>Council votes</h1>{paragraphs()}</article>", head=head).ending.outcome is Outcome.STORED


@pytest.mark.parametrize(
    "body",
    [
        f"<article><h1>Council votes</h1>{paragraphs()}</article><aside>{CARDS}</aside>",  # many teasers beside an article
        f"<article><h1>Why cookies need consent</h1>{paragraphs()}<p>Cookies and consent: privacy policies are about both.</p></article>",
        f"<article><h1>The 404 bus is not found any more</h1>{paragraphs() * 3}</article>",
        f"<article><h1>Council votes</h1><p>{PROSE[0]} {PROSE[1]}</p></article>",  # a brief
        "<article><h1>市议会投票</h1><p>" + "市议会星期二晚上在旧市政厅开会，没有人料到辩论会持续到午夜。" * 6 + "</p></article>",
    ],
)
def test_articles_stay(body: str) -> None:
    assert ending(body).ending.outcome is Outcome.STORED


@pytest.mark.parametrize(
    ("body", "content_type", "outcome"),
    [
        (b"", "text/html", Outcome.NO_TEXT),
        (b" \n\t ", "text/html", Outcome.NO_TEXT),
        (b"%PDF-1.7 ...", "text/html", Outcome.NOT_HTML),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "text/html", Outcome.NOT_HTML),
        (b"\xff\xd8\xff\xe0" + bytes(100), "text/html", Outcome.NOT_HTML),
        (b"PK\x03\x04" + bytes(100), "text/html", Outcome.NOT_HTML),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "text/html", Outcome.NOT_HTML),
        (bytes(range(256)) * 20, "text/html", Outcome.NOT_HTML),
        (b'{"title": "x"}', "application/json", Outcome.NOT_HTML),
        (b'<?xml version="1.0"?><rss version="2.0"><channel></channel></rss>', "text/html", Outcome.NOT_HTML),
        (b"just words", "image/png", Outcome.NOT_HTML),
        (b"<html><body></body></html>", "text/html", Outcome.NO_TEXT),
        (b"<html><body>" + b"<p>x</p>" * 700_000, "text/html", Outcome.TOO_LARGE),
        (b"<html><body>" + b"<p>x</p>" * 60_000, "text/html", Outcome.TOO_LARGE),
        (b"<div>" * 100_000 + b"text", "text/html", Outcome.TOO_DEEP),
        (b"\x1f\x8b\x08nonsense", "text/html", Outcome.BAD_ENCODING),
    ],
)
def test_bodies_that_are_no_pages(body: bytes, content_type: str, outcome: Outcome) -> None:
    reading = read(page(body, headers=(("Content-Type", content_type),)))
    assert reading.ending.outcome is outcome, reading.ending
    assert reading.ending.detail
    assert reading.document is None


@pytest.mark.parametrize(
    ("status", "outcome"), [(404, Outcome.GONE), (410, Outcome.GONE), (403, Outcome.HTTP_ERROR), (500, Outcome.HTTP_ERROR)]
)
def test_error_statuses_of_archived_pages(status: int, outcome: Outcome) -> None:
    assert read(page(html(paragraphs()), status=status)).ending.outcome is outcome


def test_the_made_article_is_one() -> None:
    assert article().ending.outcome is Outcome.STORED


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aeb", "fundus-eval", "fundus-parser"])
def test_real_articles_are_read_as_articles(name: str, shared: Path) -> None:
    """At least 99 of 100 of every twelfth measured article come out as documents."""
    folder = shared / "quality" / "data" / name
    lost, rows = [], [json.loads(line) for line in (folder / "gold.jsonl").read_text("utf-8").splitlines()[::12]]
    for row in rows:
        body = gzip.decompress((folder / "pages" / f"{row['id']}.html.gz").read_bytes())
        reading = read(Page(row["url"], row["url"], NOW, 200, (("Content-Type", "text/html"),), body))
        if reading.document is None:
            lost.append((row["id"], reading.ending))
    assert len(lost) <= len(rows) / 100, lost


@pytest.mark.parametrize(
    ("title", "headline", "is_error"),
    [
        ("The Paper", "We’ll be right back", True),
        ("502 Bad Gateway", "502 Bad Gateway", True),
        ("Wartungsarbeiten | Die Zeitung", None, True),
        ("Oops! Something went wrong - The Paper", None, True),
        ("Site en maintenance", None, True),
        ("Технические работы", None, True),
        ("メンテナンス中", None, True),
        ("The Paper", "Something went wrong with the new bridge", False),
        ("Wartungsarbeiten an der Brücke beginnen", "Wartungsarbeiten an der Brücke beginnen", False),
        ("How to oil a bicycle – Maintenance", "How to oil a bicycle", False),  # behind the headline is a section
        ("The Paper", "Page 500", False),
    ],
)
def test_the_page_of_a_site_that_is_out_of_order(title: str, headline: str | None, is_error: bool) -> None:
    h1 = "" if headline is None else f"<h1>{headline}</h1>"
    found = ending(f"<main>{h1}<p>{PROSE[0]}</p></main>", "https://paper.example/a.html", title=title).ending
    assert (found.outcome is Outcome.SOFT_404) == is_error, found


APP = '<script src="/app.js"></script>'


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (f'<div id="root"></div>{APP}', Outcome.NEEDS_SCRIPT),
        ('<app-root></app-root><script type="module" src="/main.js"></script>', Outcome.NEEDS_SCRIPT),
        (f'<div id="root"><div id="spinner" class="x"> </div></div><noscript><img src="/pixel"></noscript>{APP}', Outcome.NEEDS_SCRIPT),
        (f'<div id="root"></div><img src="/a.png">{APP}', Outcome.NO_TEXT),  # a picture is all that the page has
        ('<div id="root"></div><script>track()</script>', Outcome.NO_TEXT),
        (f"<div></div>{APP}", Outcome.NO_TEXT),
        (f'<script id="state">{{}}</script>{APP}', Outcome.NO_TEXT),
    ],
)
def test_the_page_of_an_application_is_told_from_an_empty_one(body: str, outcome: Outcome) -> None:
    for head in ("", '<meta property="og:type" content="article">'):
        markup = f"<html lang=en><head><title>Council votes</title>{head}</head><body>{body}</body></html>"
        assert read(page(markup)).ending.outcome is outcome


def test_a_page_whose_body_layer_left_nothing_is_still_told() -> None:
    """The block layer may remove every teaser of an index, or every word of a wall."""
    for body, outcome in (
        (f"<main>{CARDS}</main>", Outcome.NOT_ARTICLE),
        ("<main><h1>404</h1><p>Sorry, this page could not be found.</p></main>", Outcome.SOFT_404),
        ("<div><p>We and our 742 partners store and access information on a device, such as cookies.</p></div>", Outcome.CONSENT_WALL),
        ("<div></div>", Outcome.NO_TEXT),
    ):
        tree = parse_html(html(body).replace("Council votes</title>", "Paper</title>")).tree
        assert tree is not None
        ending = classify_page(read_structured_data(tree), (), "", "https://paper.example/a.html")
        assert ending is not None
        assert ending.outcome is outcome


@pytest.mark.parametrize("href", ["javascript:", "javascript:void(0)", "#", "#note-3", ""])
def test_a_text_inside_links_that_lead_nowhere_is_no_list(href: str) -> None:
    linked = "".join(f'<p><a href="%s">{text}</a></p>' for text in PROSE)
    assert ending(linked.replace("%s", href)).ending.outcome is Outcome.STORED
    assert ending(linked.replace("%s", "/elsewhere")).ending.outcome is Outcome.NOT_ARTICLE


def test_a_list_of_headlines_with_their_dates_is_no_article() -> None:
    """The list has more than MAX_SHORT_WORDS words, and no item is a headline alone."""
    headlines = [f"Council of town number {number} votes for the repair of its bridge" for number in range(30)]
    items = "".join(
        f'<li><a href="/news/{number}.html">{text}</a> <span>24 November 2026</span></li>' for number, text in enumerate(headlines)
    )
    assert ending(f"<h1>News</h1><ul>{items}</ul>").ending.outcome is Outcome.NOT_ARTICLE
    notes = "".join(
        f'<li><a href="/news/{number}.html">{text}</a>, which the mayor called a great day for the town</li>'
        for number, text in enumerate(headlines)
    )
    assert ending(f"<h1>News</h1><ul>{notes}</ul>").ending.outcome is Outcome.STORED
