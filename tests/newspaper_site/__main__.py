"""Writes the whole site: `cd tests && python -m newspaper_site`. Deletes the files of an earlier run."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping, Sequence

from newspaper_site import listings
from newspaper_site.article import NEWSPAPER, Article, read_articles
from newspaper_site.layouts import article_page, slug
from newspaper_site.templates import HERE

SITE = NEWSPAPER / "site"


def build_site() -> dict[str, str]:
    """Path under site/ → content, for every file of the site."""
    articles = read_articles()
    by_slug = {a.slug: a for a in articles}
    files = {_file_path(a.url): article_page(a, _related_articles(a, articles), _amp_link(a)) for a in articles}
    files |= _sections(articles) | _overviews(articles)
    files |= {
        "index.html": listings.front_page(articles),
        "suche.html": listings.overview("Suche: freibad", "1 Treffer", [by_slug["freibad-sanierung"]]),
        "drucken/lindenbruecke-fuer-autos-gesperrt-10425.html": listings.reduced(by_slug["bruecke-gesperrt"], amp=False),
        "amp/en/2026/10/12/rowers-win-the-league.html": listings.reduced(by_slug["rowing-club"], amp=True),
        "rss.xml": listings.rss(_listed_in("rss", articles)),
        "en/atom.xml": listings.atom(_listed_in("atom", articles)),
        "feed.json": listings.json_feed(_listed_in("json", articles)),
        "sitemap.xml": listings.sitemap_index("/sitemap-news.xml", "/sitemap-archiv.xml.gz"),
        "sitemap-news.xml": listings.news_sitemap(_listed_in("news", articles)),
        "sitemap-archiv.xml": listings.archive_sitemap(
            _listed_in("archive", articles),
            ("/drucken/lindenbruecke-fuer-autos-gesperrt-10425", "/impressum", "/datenschutz", "/newsletter"),
        ),
        "robots.txt": "User-agent: *\nDisallow: /intern/\nDisallow: /suche\nCrawl-delay: 0.1\n\nSitemap: {{base}}/sitemap.xml\n",
        "stil.css": "body { font-family: serif; max-width: 60rem; margin: auto }\n",
    }
    return files | _build_about_pages(by_slug["freibad-sanierung"])


def _build_about_pages(swimming: Article) -> dict[str, str]:
    """Pages about the newspaper itself, the two kinds of "not found", and the page that robots.txt forbids."""
    texts: dict[str, list[str]] = tomllib.loads((HERE / "about_pages.toml").read_text("utf-8"))
    return {
        "impressum.html": listings.plain("Impressum", *texts["impressum"]),
        "datenschutz.html": listings.plain("Datenschutzerklärung", *texts["datenschutz"]),
        "newsletter.html": listings.plain("Newsletter bestellen", *texts["newsletter"]),
        "404.html": listings.plain("Seite nicht gefunden", "Diese Seite gibt es nicht oder nicht mehr. Vielleicht hilft die Suche weiter."),
        "de/stadt/umfrage-zum-radweg-am-westufer-10311.html": listings.plain(
            "Seite nicht gefunden",
            "Der gewünschte Beitrag ist leider nicht mehr verfügbar.",
            f'Zurück zur <a href="/">Startseite</a> oder zu <a href="{swimming.url}">{swimming.title}</a>.',
        ),
        "intern/haushalt-vorabmeldung-fuer-die-redaktion-10433.html": listings.plain(
            "Haushalt: Vorabmeldung für die Redaktion",
            *texts["intern"],
        ),
    }


def _sections(articles: Sequence[Article]) -> dict[str, str]:
    """A page per section; articles that name `page2` among their listings are on its second one."""
    files = {}
    for path in sorted({a.section_path for a in articles}):
        section = [a for a in articles if a.section_path == path]
        first, second = _listed_in("section", section), _listed_in("page2", section)
        files[f"{path[1:]}index.html"] = listings.section_page(first, f"{path}?page=2" if second else "")
        if second:
            files[f"{path[1:]}page-2.html"] = listings.section_page(second)
    return files


def _overviews(articles: Sequence[Article]) -> dict[str, str]:
    """A page per topic and per author, with the articles that several listings link to."""
    shared = _linked_by_several(articles)
    topics = {tag: [a for a in shared if tag in a.tags] for article in articles for tag in article.tags}
    authors = {name: [a for a in shared if name in a.authors] for article in articles for name in article.authors}
    files = {f"thema/{slug(tag)}.html": listings.overview(tag, f"Alle Beiträge zum Thema {tag}.", found) for tag, found in topics.items()}
    for name, found in authors.items():
        files[f"autor/{slug(name)}.html"] = listings.overview(name, f"{name} gehört seit 2014 zur Redaktion des Aunebote.", found)
    return files


def _linked_by_several(articles: Sequence[Article]) -> list[Article]:
    """The articles that more than one listing links to; each other one must be found by its single listing."""
    return [a for a in articles if len(a.found_by) > 1]


def _listed_in(listing: str, articles: Sequence[Article]) -> list[Article]:
    return [a for a in articles if listing in a.found_by]


def _related_articles(article: Article, articles: Sequence[Article]) -> list[Article]:
    return [a for a in _linked_by_several(articles) if a.language == article.language and a is not article]


def _amp_link(article: Article) -> str:
    return f'<link rel="amphtml" href="/amp{article.url}">\n' if article.slug == "rowing-club" else ""


def _file_path(url: str) -> str:
    return url[1:] if url.endswith(".html") else f"{url[1:]}.html"


def main(files: Mapping[str, str]) -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    for name, text in files.items():
        path = SITE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(files)} files in {SITE.relative_to(NEWSPAPER.parents[1])}")


if __name__ == "__main__":
    main(build_site())
