"""What a page declares about itself: its title and its kind."""

from __future__ import annotations

from dataclasses import dataclass

from newsmill.extraction.metadata.json_ld import read_text
from newsmill.extraction.metadata.structured_data import StructuredData

_NEWS_ARTICLE_TYPES = (
    "NewsArticle",
    "ReportageNewsArticle",
    "AnalysisNewsArticle",
    "OpinionNewsArticle",
    "BackgroundNewsArticle",
    "ReviewNewsArticle",
)
NEWS_TYPES = frozenset((*_NEWS_ARTICLE_TYPES, "LiveBlogPosting"))
PLAIN_ARTICLE_TYPES = frozenset(("Article", "BlogPosting", "TechArticle", "ScholarlyArticle", "Report"))
GUIDE_TYPES = frozenset(("Recipe", "HowTo", "FAQPage", "Product", "QAPage", "ProfilePage", "Course"))


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Facts from the page's metadata that the model uses."""

    title: str = ""
    is_news: bool = False
    is_article: bool = False
    is_guide: bool = False
    is_og_article: bool = False


def read_facts(page: StructuredData) -> PageFacts:
    """Return the facts in a page's structured data."""
    types = page.types()
    headline = read_text(page.article.get("headline")) if page.article else None
    return PageFacts(
        title=page.first("og:title", "twitter:title") or headline or page.title or "",
        is_news=bool(types & NEWS_TYPES),
        is_article=bool(types & PLAIN_ARTICLE_TYPES),
        is_guide=bool(types & GUIDE_TYPES),
        is_og_article=(page.first("og:type") or "").strip().lower() == "article",
    )
