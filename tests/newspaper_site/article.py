"""An article's data and its body in three page layouts: the publisher's current system and the two before it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from newspaper_site.templates import date_in_words, text

NEWSPAPER = Path(__file__).resolve().parents[1] / "newspaper"
BASE = "{{base}}"  # the server puts its own URL here

# How six systems write the two lines "." and "source site-40" at the end of an article. `{last}` is the last paragraph.
CREDITS: Mapping[str, str] = {
    "break": "<p>{last}</p>\n<p>.<br>\nsource {source}</p>",
    "paragraphs": "<p>{last}</p>\n<p>.</p>\n<p>source {source}</p>",
    "divs": "<p>{last}</p>\n<div>.</div>\n<div>source {source}</div>",
    "inside": "<p>{last}<br>\n.<br>\nsource {source}</p>",
    "footer": '<p>{last}</p>\n<footer class="quelle">.<br>source {source}</footer>',
    "spans": '<p>{last}</p>\n<p><span class="punkt">.</span> <span class="quelle">source {source}</span></p>',
}


@dataclass(frozen=True, slots=True)
class Article:
    """One table of expected.toml and its text; the fields are explained at the head of that file."""

    slug: str
    url: str
    title: str
    language: str
    section: str
    authors: tuple[str, ...]
    published: str
    paragraphs: tuple[str, ...]
    layout: str
    found_by: tuple[str, ...]
    description: str = ""
    modified: str = ""
    tags: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    credit: str = ""
    source: str = "site-40"
    caption: str = ""
    photographer: str = ""
    encoding: str = "utf-8"
    declared: str = "both"  # where the encoding is declared: header, page or both

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.published)

    @property
    def section_path(self) -> str:
        """The path of the section page, e.g. /de/stadt/; the English edition files its articles by day."""
        if self.language == "en":
            return f"/en/{self.section.lower()}/"
        return self.url.rsplit("/", 1)[0] + "/"


def read_articles() -> tuple[Article, ...]:
    """Every article of expected.toml, newest first."""
    tables = tomllib.loads((NEWSPAPER / "expected.toml").read_text("utf-8"))["articles"]
    articles = (_article(slug, table) for slug, table in tables.items())
    return tuple(sorted(articles, key=lambda a: a.published, reverse=True))


def read_paragraphs(slug: str) -> tuple[str, ...]:
    return tuple((NEWSPAPER / "expected" / f"{slug}.txt").read_text("utf-8").strip().split("\n\n"))


def read_seed() -> tuple[str, ...]:
    """The seed article's paragraphs with their line breaks, without headline and source credit."""
    return tuple((NEWSPAPER / "seed.txt").read_text("utf-8").split("\n\n"))[1:-1]


def _article(slug: str, table: Mapping[str, object]) -> Article:
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Article(slug=slug, paragraphs=read_seed() if slug == "nato-russland-rat" else read_paragraphs(slug), **fields)  # type: ignore[arg-type]


def body(article: Article, boxes: Mapping[int, str]) -> str:
    """The paragraphs as HTML; `boxes`: the box after the n-th paragraph, not counting subheadings."""
    heading = "h3" if article.layout == "classic" else "h2"
    *most, last = (text(p).replace("\n", "<br>\n") for p in article.paragraphs)
    parts, count = [], 0
    for paragraph in most:
        is_heading = paragraph in article.headings
        count += not is_heading
        parts.append(f"<{heading}>{paragraph}</{heading}>" if is_heading else f"<p>{paragraph}</p>")
        if count in boxes and not is_heading:
            parts.append(boxes[count])
    parts.append(CREDITS.get(article.credit, "<p>{last}</p>").format(last=last, source=article.source))
    return "\n".join(parts)


def json_ld(article: Article) -> str:
    """The schema.org description of the current system."""
    data: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "headline": article.title,
        "datePublished": article.published,
        "dateModified": article.modified or article.published,
        "inLanguage": article.language,
        "articleSection": article.section,
        "mainEntityOfPage": BASE + article.url,
        "publisher": {
            "@type": "NewsMediaOrganization",
            "name": "Aunebote",
            "logo": {"@type": "ImageObject", "url": BASE + "/bilder/logo.png"},
        },
        "author": [{"@type": "Person", "name": name} for name in article.authors],
        "isAccessibleForFree": True,
    }
    if article.tags:
        data["keywords"] = list(article.tags)
    if not article.authors:
        del data["author"]
    return f'<script type="application/ld+json">\n{json.dumps(data, ensure_ascii=False, indent=1)}\n</script>\n'


def day(article: Article) -> str:
    """The visible date, with the time where the page shows one: "20. November 2026, 06:30"."""
    return date_in_words(article.when, article.language) + (f", {article.when:%H:%M}" if len(article.published) > 10 else "")
