"""The other fields, each from where it stands, with its provenance."""

from __future__ import annotations

import pytest
from html_pages import NOW, TEXT, URL, article, html, page, paragraphs

from newsmill.extraction.normalise import count_words
from newsmill.extraction.pipeline import read
from newsmill.model import Document, Hint, Image, Profile
from newsmill.text.language_tags import parse_language_tag


def document(head: str = "", body: str = "", url: str = URL, hint: Hint | None = None, language: str | None = None) -> Document:
    reading = article(head, body, url, hint=hint, language=language)
    assert reading.document is not None, reading.ending
    return reading.document


def json_ld(fields: str) -> str:
    return f'<script type="application/ld+json">{{"@type":"NewsArticle","headline":"Council votes",{fields}}}</script>'


def meta(name: str, content: str) -> str:
    return f'<meta property="{name}" content="{content}">'


@pytest.mark.parametrize(
    ("head", "field", "value", "source"),
    [
        (meta("og:site_name", "Paper"), "site_name", "Paper", "meta"),
        (json_ld('"publisher":{"@type":"Organization","name":"Paper"}'), "site_name", "Paper", "json-ld"),
        (meta("og:description", "What the council did."), "description", "What the council did.", "meta"),
        (json_ld('"description":"What the council did."'), "description", "What the council did.", "json-ld"),
        (json_ld('"articleSection":["Politics","Town"]'), "section", "Politics", "json-ld"),
        (meta("article:section", "Politics"), "section", "Politics", "meta"),
        (json_ld('"articleSection":"posts"') + meta("article:section", "Politics"), "section", "Politics", "meta"),
        (meta("article:section", "Posts"), "section", None, None),  # the folder of all articles
        (json_ld('"keywords":["bridge","council"]'), "tags", ("bridge", "council"), "json-ld"),
        (json_ld('"keywords":"bridge, council, bridge"'), "tags", ("bridge", "council"), "json-ld"),
        (meta("article:tag", "bridge") + meta("article:tag", "council"), "tags", ("bridge", "council"), "meta"),
        (
            meta("article:tag", "Spain,World news") + meta("article:tag", "Paris, Texas"),
            "tags",
            ("Spain", "World news", "Paris, Texas"),
            "meta",
        ),
        ('<meta name="keywords" content="bridge; council">', "tags", ("bridge", "council"), "meta"),
        (json_ld('"image":{"@type":"ImageObject","url":"/a.jpg"}'), "image", "https://paper.example/a.jpg", "json-ld"),
        (meta("og:image", "//cdn.example/a.jpg"), "image", "https://cdn.example/a.jpg", "meta"),
        (meta("og:image", "https://user:secret@cdn.example/a@b.jpg?c=@d"), "image", "https://cdn.example/a@b.jpg?c=@d", "meta"),
        (meta("og:image", "javascript:alert(1)"), "image", None, None),
        (meta("og:type", "article"), "article_type", "article", "meta"),
        (json_ld('"x":1'), "article_type", "NewsArticle", "json-ld"),
        (
            '<link rel="canonical" href="/politics/council-10431.html?utm_source=x">',
            "canonical_url",
            "https://paper.example/politics/council-10431.html",
            "meta",
        ),
        ('<link rel="canonical" href="https://other.example/x.html">', "canonical_url", None, None),
        ('<link rel="canonical" href="https://paper.example/">', "canonical_url", None, None),
        (
            '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">',
            "license",
            "https://creativecommons.org/licenses/by/4.0/",
            "meta",
        ),
        (
            json_ld('"license":"https://creativecommons.org/licenses/by/4.0/"'),
            "license",
            "https://creativecommons.org/licenses/by/4.0/",
            "json-ld",
        ),
        ("", "section", None, None),
    ],
)
def test_field(head: str, field: str, value: object, source: str | None) -> None:
    found = document(head)
    assert getattr(found, field) == value
    assert found.provenance.get(field) == source


@pytest.mark.parametrize(
    ("head", "free", "reason"),
    [
        ("", None, None),
        (json_ld('"isAccessibleForFree":true'), True, "JSON-LD isAccessibleForFree is true"),
        (json_ld('"isAccessibleForFree":"False"'), False, "JSON-LD isAccessibleForFree is false"),
        (
            json_ld('"isAccessibleForFree":true,"hasPart":{"isAccessibleForFree":"false","cssSelector":".more"}'),
            False,
            "JSON-LD says a part is not free (.more)",
        ),
        (meta("article:content_tier", "locked"), False, "meta article:content_tier is locked"),
    ],
)
def test_free_or_not(head: str, free: bool | None, reason: str | None) -> None:
    found = document(head)
    assert (found.is_free, found.is_free_reason) == (free, reason)


def test_rights_as_found() -> None:
    headers = (("Content-Type", "text/html"), ("X-Robots-Tag", "noai"), ("TDM-Reservation", "1"))
    found = read(
        page(html(paragraphs(), '<meta name="robots" content="max-snippet:50"><meta name="tdm-reservation" content="1">'), headers=headers)
    ).document
    assert found is not None
    assert found.rights == {
        "meta robots": "max-snippet:50",
        "meta tdm-reservation": "1",
        "header x-robots-tag": "noai",
        "header tdm-reservation": "1",
    }


@pytest.mark.parametrize(
    ("markup", "image"),
    [
        (
            '<figure><img src="/b.jpg"><figcaption>The bridge. (Photo: Jane Doe/AFP)</figcaption></figure>',
            Image("https://paper.example/b.jpg", "The bridge.", "Jane Doe/AFP"),
        ),
        (
            '<figure><img src="/b.jpg"><figcaption>The bridge. Foto: dpa</figcaption></figure>',
            Image("https://paper.example/b.jpg", "The bridge.", "dpa"),
        ),
        (
            '<figure><img src="/b.jpg"><figcaption>The bridge. © Reuters</figcaption></figure>',
            Image("https://paper.example/b.jpg", "The bridge.", "Reuters"),
        ),
        (
            '<figure><img src="/b.jpg"><figcaption>The bridge. <span class="credit">Jane Doe</span></figcaption></figure>',
            Image("https://paper.example/b.jpg", "The bridge.", "Jane Doe"),
        ),
        (
            '<figure><img src="data:image/gif;base64,x" data-src="/b.jpg"><figcaption>The bridge</figcaption></figure>',
            Image("https://paper.example/b.jpg", "The bridge", None),
        ),
        (
            '<figure><img srcset="/b.jpg 1x, /c.jpg 2x"><figcaption>The bridge</figcaption></figure>',
            Image("https://paper.example/b.jpg", "The bridge", None),
        ),
    ],
)
def test_captions_and_credits_belong_to_the_image_not_to_the_text(markup: str, image: Image) -> None:
    found = document(body=markup)
    assert found.images == (image,)
    assert found.text == TEXT


def test_pictures_of_other_articles_are_not_this_ones() -> None:
    assert document(body='<aside><figure><img src="/b.jpg"><figcaption>Another</figcaption></figure></aside>').images == ()


def test_a_text_that_ends_at_a_paywall_is_not_free() -> None:
    found = document(body="<p>Already a subscriber? Subscribe now to read on.</p>")
    assert found.text == TEXT
    assert found.is_free is False
    assert "subscriber" in (found.is_free_reason or "")


def test_links_to_tags_come_before_keywords_for_search_engines() -> None:
    own = '<a rel="tag" href="/t/1">bridge</a> <a rel="nofollow tag" href="/t/2">town council</a> <a rel="category tag">Local</a>'
    other = '<div><h2><a href="/b">Another article of the day</a></h2><a rel="tag" href="/t/3">fair</a></div>'
    cloud = '<aside><a rel="tag" href="/t/4">news</a></aside>'
    keywords = meta("keywords", "news, paper")
    body = f"{own}{other}{cloud}"
    assert (found := document(keywords, body)).tags == ("bridge", "town council") and found.provenance["tags"] == "dom"
    assert document(keywords + meta("news_keywords", "vote"), body).tags == ("vote",)


def test_keywords_of_all_pages_of_a_site_are_not_tags() -> None:
    profile = Profile("paper.example", 25, 1, site_tags=("news", "paper"))
    for keywords, tags in (("", ("fair",)), ("news, paper", ("fair",)), ("news, paper, bridge", ("news", "paper", "bridge"))):
        text = html(f"<article><h1>Council votes</h1>{paragraphs()}</article>", meta("keywords", keywords))
        found = read(page(text, hint=Hint(tags=("fair",))), profile=profile).document
        assert found is not None and found.tags == tags


def test_section_from_the_breadcrumb_trail() -> None:
    steps = ",".join(
        f'{{"@type":"ListItem","position":{n},"name":"{name}"}}' for n, name in enumerate(("Home", "Politics", "Council votes"), 1)
    )
    trail = f'<script type="application/ld+json">{{"@type":"BreadcrumbList","itemListElement":[{steps}]}}</script>'
    assert document(trail).section == "Politics"


def live_blog(lead: str) -> Document:
    """A page of five updates, three of them in the data with a URL that names their element."""
    texts = [f"At {n} o'clock the member number {n} spoke about the bridge for {n} minutes." for n in range(1, 6)]
    entries = "".join(f'<div class="entry" id="u{n}"><h2>Speech {n}</h2><p>{text}</p></div>' for n, text in enumerate(texts))
    items = ",".join(
        f'{{"headline":"Speech {n}","url":"{URL}#u{n}","articleBody":"{texts[n]}","datePublished":"2026-11-24T2{n}:00:00Z"}}'
        for n in range(3)
    )
    blog = f'"@type":"LiveBlogPosting","headline":"Council votes","liveBlogUpdate":[{items}]'
    head = f'<script type="application/ld+json">{{{blog}}}</script>'
    found = read(page(html(f"<article><h1>Council votes</h1>{lead}<div>{entries}</div></article>", head))).document
    assert found is not None
    return found


def test_a_live_blogs_feed_goes_to_its_updates_and_the_lead_stays() -> None:
    found = live_blog(paragraphs())
    assert found.text == TEXT
    assert [update.title for update in found.live_updates] == [f"Speech {n}" for n in range(5)]


def test_a_live_blog_without_a_lead_keeps_its_feed() -> None:
    found = live_blog("<p>Live.</p>")
    assert "member number 4" in found.text


def test_updates_that_all_say_the_same_are_no_feed() -> None:
    """Some systems write the article itself into each of its updates; the text must not go with them."""
    text = TEXT.replace("\n\n", " ").replace('"', "'")
    items = ",".join([f'{{"@type":"BlogPosting","headline":"Council votes","articleBody":"{text}"}}'] * 5)
    blog = f'"@type":"LiveBlogPosting","headline":"Council votes","liveBlogUpdate":[{items}]'
    found = read(
        page(html(f"<article><h1>Council votes</h1>{paragraphs()}</article>", f'<script type="application/ld+json">{{{blog}}}</script>'))
    )
    assert found.document is not None and (found.document.text, found.document.live_updates) == (TEXT, ())


def test_an_element_made_for_a_feed_holds_the_updates_even_if_no_address_names_them() -> None:
    entry = "<div><h3>Speech {0}</h3><p>At <b>{0} o'clock</b>the member number {0} spoke about the bridge for {0} minutes.</p></div>"
    feed = f"<amp-live-list><button>More</button><div items>{''.join(entry.format(n) for n in range(1, 6))}</div></amp-live-list>"
    items = ",".join([f'{{"headline":"Council votes","url":"{URL}","articleBody":"The council votes."}}'] * 5)
    says_so = f'<script type="application/ld+json">{{"@type":"LiveBlogPosting","liveBlogUpdate":[{items}]}}</script>'
    content = f"<article><h1>Council votes</h1>{paragraphs()}{feed}</article>"
    found = read(page(html(content, says_so))).document
    assert found is not None and found.text == TEXT
    assert [update.title for update in found.live_updates] == [f"Speech {n}" for n in range(1, 6)]
    plain = read(page(html(content))).document  # a table of results may be kept up to date as well
    assert plain is not None and plain.live_updates == () and "member number 4" in plain.text


def test_live_updates() -> None:
    update = '{"@type":"BlogPosting","headline":"Vote taken","articleBody":"Eleven to nine.","datePublished":"2026-11-24T22:50:00+01:00"}'
    blog = f'"@type":"LiveBlogPosting","headline":"Council votes","liveBlogUpdate":[{update},3,{{}}]'
    head = f'<script type="application/ld+json">{{{blog}}}</script>'
    updates = document(head).live_updates
    assert [(u.title, u.text, u.at and u.at.isoformat()) for u in updates] == [
        ("Vote taken", "Eleven to nine.", "2026-11-24T21:50:00+00:00")
    ]


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("de", "de"),
        ("de_DE", "de-DE"),
        ("pt-br", "pt-BR"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("en-US,en;q=0.9", "en-US"),
        ("iw", "he"),
        ("und", None),
        ("", None),
        ("english", None),
        ("x", None),
        (None, None),
        (["fr"], "fr"),
        ({"name": "German", "alternateName": "de"}, "de"),
        ("es-419", "es-419"),
    ],
)
def test_bcp47(value: object, tag: str | None) -> None:
    assert parse_language_tag(value) == tag


def test_language_is_declared_or_asked_of_the_text() -> None:
    assert (document().language, document().provenance["language"]) == ("en", "dom")
    contradiction = document('<meta http-equiv="content-language" content="de">')
    assert (contradiction.language, contradiction.provenance["language"]) == ("en", "dom")
    german = (
        "<p>Der Stadtrat tagte am Dienstagabend im alten Rathaus, und niemand erwartete, dass die Debatte bis Mitternacht dauern würde.</p>"
        * 3
    )
    silent = read(page(f"<html><head><title>x</title></head><body>{german}</body></html>")).document
    assert silent is not None
    assert (silent.language, silent.provenance["language"]) == ("de", "text")


def test_hints_fill_only_what_the_page_leaves_open() -> None:
    hint = Hint(title="From the feed", authors=("Jane Doe",), published_at=NOW, tags=("bridge",))
    found = read(page(f"<html><body>{paragraphs()}</body></html>", hint=hint)).document
    assert found is not None
    assert (found.title, found.authors[0].name, found.published_at, found.tags) == ("From the feed", "Jane Doe", NOW, ("bridge",))
    assert {found.provenance[name] for name in ("title", "authors", "published_at", "tags")} == {"feed"}
    assert document(hint=hint).title == "Council votes"


@pytest.mark.parametrize(("text", "words"), [("one two, three", 3), ("", 0), ("北京大学", 2), ("It's 3.5 km", 5), ("สวัสดี", 3)])
def test_words(text: str, words: int) -> None:
    assert count_words(text) == words
