"""Pages and files that are not articles: front page, sections, topic, author, legal notices, feeds, sitemaps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from email.utils import format_datetime

from newspaper_site.article import BASE, Article
from newspaper_site.layouts import FEEDS, NAV, frame, teaser
from newspaper_site.templates import date_in_words, fill, text

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
SITEMAPS = "http://www.sitemaps.org/schemas/sitemap/0.9"
NEWS = "http://www.google.com/schemas/sitemap-news/0.9"


def front_page(articles: Sequence[Article]) -> str:
    """The front page: teasers with tracking parameters, and a box of links of every other kind."""
    top = "".join(teaser(a, "?utm_source=home&utm_medium=teaser&utm_campaign=top") for a in articles if "home" in a.found_by)
    sections = "".join(f'<li><a href="{href}">{name}</a></li>\n' for pairs in NAV.values() for name, href in pairs)
    everything = f'<nav class="all-sections">\n<h2>Alle Ressorts</h2>\n<ul>\n{sections}</ul>\n</nav>\n'
    content = f'<main class="front">\n<h1>Aunebote</h1>\n{top}{fill("service.html")}{everything}</main>'
    return frame("Aunebote – Nachrichten aus Aunstadt", "de", content, head=FEEDS)


def section_page(section: Sequence[Article], older: str = "") -> str:
    """Teasers of one section; `older` is the path of its next page."""
    first = section[0]
    cards = "".join(map(teaser, section))
    link = fill("pager.html", first.language, href=older) if older else ""
    head = f'<link rel="next" href="{older}">\n' if older else ""
    content = f'<main class="section">\n<h1>{first.section}</h1>\n{cards}{link}</main>'
    return frame(f"{first.section} – Aunebote", first.language, content, head=FEEDS + head)


def overview(title: str, line: str, articles: Sequence[Article]) -> str:
    """A topic, author or search page: a line about it, then the articles."""
    rows = "".join(f'<li><a href="{a.url}">{text(a.title)}</a> <span>{date_in_words(a.when, a.language)}</span></li>\n' for a in articles)
    content = f'<main>\n<h1>{title}</h1>\n<p>{line}</p>\n<ul class="archive">\n{rows}</ul>\n</main>'
    return frame(f"{title} – Aunebote", "de", content)


def plain(title: str, *paragraphs: str) -> str:
    """A page about the newspaper: legal notice, privacy, sign-up, error pages."""
    lines = "".join(f"<p>{p}</p>\n" for p in paragraphs)
    return frame(f"{title} – Aunebote", "de", f'<main class="plain">\n<h1>{title}</h1>\n{lines}</main>')


def reduced(article: Article, amp: bool) -> str:
    """The print or AMP copy of an article: the same text, the article's own URL as the canonical one."""
    body = "\n".join(f"<p>{text(p)}</p>" for p in article.paragraphs)
    return fill(
        "reduced.html",
        article.language,
        amp=" amp" if amp else "",
        language=article.language,
        title=text(article.title),
        url=article.url,
        authors=", ".join(article.authors),
        day=date_in_words(article.when, article.language),
        body=body,
    )


def rss(articles: Sequence[Article]) -> str:
    """RSS 2.0; the links carry tracking parameters."""
    items = "".join(
        fill(
            "rss.xml",
            title=text(a.title),
            url=a.url,
            slug=a.slug,
            rfc_date=format_datetime(a.when),
            creators="".join(f"<dc:creator>{name}</dc:creator>\n" for name in a.authors),
            categories="".join(f"<category>{tag}</category>\n" for tag in a.tags),
            description=text(a.description or a.title),
        )
        for a in articles
    )
    spaces = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom"'
    head = f"<title>Aunebote</title>\n<link>{BASE}/</link>\n<description>Nachrichten aus Aunstadt</description>\n<language>de</language>\n"
    own = f'<atom:link href="{BASE}/rss.xml" rel="self" type="application/rss+xml"/>\n'
    return f'{XML}<rss version="2.0" {spaces}>\n<channel>\n{head}{own}{items}</channel>\n</rss>\n'


def atom(articles: Sequence[Article]) -> str:
    """Atom 1.0 with relative links."""
    entries = "".join(
        fill(
            "atom.xml",
            title=text(a.title),
            url=a.url,
            slug=a.slug,
            published=a.published,
            updated=a.modified or a.published,
            authors="".join(f"<author><name>{name}</name></author>\n" for name in a.authors),
            description=text(text(a.description)),
        )
        for a in articles
    )
    head = "<title>Aunebote, English edition</title>\n<id>tag:aunebote.example,2026:en</id>\n"
    head += f'<updated>{articles[0].modified}</updated>\n<link rel="self" href="/en/atom.xml"/>\n'
    return f'{XML}<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en" xml:base="{BASE}/">\n{head}{entries}</feed>\n'


def json_feed(articles: Sequence[Article]) -> str:
    """JSON Feed 1.1 of two editions; the language stands with each item."""
    head = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Aunebote",
        "home_page_url": f"{BASE}/",
        "feed_url": f"{BASE}/feed.json",
    }
    return json.dumps(head | {"items": [_json_item(a) for a in articles]}, ensure_ascii=False, indent=1) + "\n"


def _json_item(article: Article) -> dict[str, object]:
    item: dict[str, object] = {
        "id": article.slug,
        "url": BASE + article.url,
        "title": article.title,
        "summary": article.description,
        "language": article.language,
        "date_published": article.published if "T" in article.published else f"{article.published}T00:00:00+01:00",
        "authors": [{"name": name} for name in article.authors],
        "tags": article.tags,
    }
    return {key: value for key, value in item.items() if value}


def sitemap_index(*paths: str) -> str:
    rows = "".join(f"<sitemap><loc>{BASE}{path}</loc></sitemap>\n" for path in paths)
    return f'{XML}<sitemapindex xmlns="{SITEMAPS}">\n{rows}</sitemapindex>\n'


def news_sitemap(articles: Sequence[Article]) -> str:
    rows = "".join(fill("news.xml", url=a.url, language=a.language, published=a.published, title=text(a.title)) for a in articles)
    return f'{XML}<urlset xmlns="{SITEMAPS}" xmlns:news="{NEWS}">\n{rows}</urlset>\n'


def archive_sitemap(articles: Sequence[Article], more: Sequence[str]) -> str:
    """The sitemap of older articles, with pages that are not articles."""
    rows = "".join(f"<url><loc>{BASE}{a.url}</loc><lastmod>{a.published}</lastmod></url>\n" for a in articles)
    rows += "".join(f"<url><loc>{BASE}{path}</loc></url>\n" for path in more)
    return f'{XML}<urlset xmlns="{SITEMAPS}">\n{rows}</urlset>\n'
