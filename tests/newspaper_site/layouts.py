"""Whole pages: the frame every page of the newspaper shares, and an article in each of the three layouts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

from newspaper_site.article import BASE, Article, body, day, json_ld
from newspaper_site.templates import WORDS, fill, text

EDITIONS = {"de": "/de/stadt/", "en": "/en/town/", "fr": "/fr/ville/", "es": "/es/ciudad/", "uk": "/uk/misto/"}
NAV = {
    "de": (("Politik", "/de/politik/"), ("Stadt", "/de/stadt/"), ("Region", "/de/region/")),
    "en": (("Town", "/en/town/"), ("Sport", "/en/sport/")),
    "fr": (("Ville", "/fr/ville/"),),
    "es": (("Ciudad", "/es/ciudad/"), ("Comarca", "/es/comarca/")),
    "uk": (("Місто", "/uk/misto/"),),
}
LATIN = {"Соломія Гнатюк": "Solomiia Hnatiuk", "Підприємці": "Pidpryiemtsi"}
FEEDS = (
    '<link rel="alternate" type="application/rss+xml" title="Aunebote" href="/rss.xml">\n'
    '<link rel="alternate" type="application/atom+xml" title="Aunebote English" href="/en/atom.xml">\n'
    '<link rel="alternate" type="application/feed+json" title="Aunebote fr/es" href="/feed.json">\n'
)


def frame(title: str, language: str, content: str, *, head: str = "", charset: str = "utf-8") -> str:
    """A page: head, masthead with navigation, the content, the foot. An empty `charset` leaves its meta element out."""
    editions = "".join(f'<a href="{href}" hreflang="{code}">{WORDS[code]["edition"]}</a>\n' for code, href in EDITIONS.items())
    sections = "".join(f'<li><a href="{href}">{name}</a></li>\n' for name, href in NAV[language])
    meta = f'<meta charset="{charset}">\n' if charset else ""
    return fill(
        "frame.html",
        language,
        language=language,
        title=text(title),
        charset=meta,
        head=head,
        editions=editions,
        sections=sections,
        content=content,
    )


def teaser(article: Article, tracking: str = "") -> str:
    """A card on a front page: picture, section, headline, a line of text."""
    line = article.description or article.paragraphs[0]
    href = escape(article.url + tracking)
    return fill("teaser.html", href=href, slug=article.slug, section=article.section, title=text(article.title), text=text(line))


def head(article: Article) -> str:
    """Canonical URL, description and Open Graph, as in every layout; the current one adds JSON-LD."""
    parts = [f'<link rel="canonical" href="{BASE}{article.url}">']
    if article.description:
        parts.append(f'<meta name="description" content="{escape(article.description)}">')
    if article.layout == "classic":
        return "\n".join([*parts, f'<meta name="author" content="{", ".join(article.authors)}">']) + "\n"
    graph = {"type": "article", "site_name": "Aunebote", "title": escape(article.title), "url": BASE + article.url}
    graph["image"] = f"{BASE}/bilder/{article.slug}.jpg"
    parts += [f'<meta property="og:{key}" content="{value}">' for key, value in graph.items()]
    return "\n".join(parts) + "\n" + (json_ld(article) if article.layout == "modern" else "")


def article_page(article: Article, others: Sequence[Article], extra_head: str = "") -> str:
    """The page of one article; `others` are the newest of its edition, for the boxes beside it."""
    boxes = {"modern": {3: _newsletter(article), 5: _related(article, others[:2])}, "micro": {4: _newsletter(article)}, "classic": {}}
    content = fill(
        f"{article.layout}.html",
        article.language,
        title=text(article.title),
        section=article.section,
        section_path=article.section_path,
        published=article.published,
        day=day(article),
        updated=_updated(article),
        byline=_byline(article),
        figure=_figure(article),
        body=body(article, boxes[article.layout]),
        share=fill("share.html", article.language, url=article.url).rstrip(),
        tags=_tags(article),
        teasers="".join(map(teaser, others[:3])),
        links=_links(others[:3], "<tr><td>{}</td></tr>\n" if article.layout == "classic" else "<li>{}</li>\n"),
    )
    charset = "" if article.declared == "header" else article.encoding
    return frame(f"{article.title} – Aunebote", article.language, content.rstrip(), head=head(article) + extra_head, charset=charset)


def _byline(article: Article) -> str:
    """ "Von A und B": linked to the authors' pages, or as microdata."""
    if not article.authors:
        return ""
    person = '<span itemprop="author" itemscope itemtype="https://schema.org/Person"><span itemprop="name">{}</span></span>'
    link = '<a rel="author" href="/autor/{1}">{0}</a>'
    form = person if article.layout == "micro" else link
    words = WORDS[article.language]
    names = f" {words['and']} ".join(form.format(name, slug(name)) for name in article.authors)
    return f'<div class="byline">{words["by"]} {names}</div>\n' if article.layout == "modern" else f"{words['by']} {names}"


def _updated(article: Article) -> str:
    word = WORDS[article.language]["updated"]
    return f' · {word} <time datetime="{article.modified}">{article.modified[11:16]}</time>' if article.modified else ""


def _figure(article: Article) -> str:
    if not article.caption:
        return ""
    return fill("figure.html", article.language, slug=article.slug, caption=escape(article.caption), photographer=article.photographer)


def _tags(article: Article) -> str:
    tags = "".join(f'<li><a href="/thema/{slug(t)}" rel="tag">{t}</a></li>\n' for t in article.tags)
    return f'<ul class="tags">\n{tags}</ul>\n' if tags else ""


def _newsletter(article: Article) -> str:
    return fill("newsletter.html", article.language).rstrip()


def _related(article: Article, others: Sequence[Article]) -> str:
    return fill("related.html", article.language, links=_links(others, "<li>{}</li>\n")).rstrip() if others else ""


def _links(articles: Sequence[Article], form: str) -> str:
    return "".join(form.format(f'<a href="{a.url}">{text(a.title)}</a>') for a in articles)


def slug(name: str) -> str:
    """A name in a URL path: "Stadtrat" in /thema/stadtrat."""
    plain = unicodedata.normalize("NFKD", LATIN.get(name, name)).encode("ascii", "ignore").decode()
    return plain.lower().replace(" ", "-")
