"""Pages made for the tests of extraction: no publisher's page is copied into this repository."""

from __future__ import annotations

from datetime import UTC, datetime

from newsmill.extraction.pipeline import read
from newsmill.model import ExtractionResult, Hint, Page, Rules

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
URL = "https://paper.example/politics/council-votes-on-the-bridge-10431.html"
PROSE = (
    "The council met on Tuesday evening in the old town hall, and nobody expected the debate to last until midnight.",
    "Most of the speakers wanted the bridge to stay open, although the engineers had warned that its bearings are worn out.",
    "A vote was taken at ten minutes to twelve; it ended with eleven members in favour of repairs and nine against them.",
    "Work is to begin in spring, when the river is low and the ferry can carry the school children to the other bank.",
)
TEXT = "\n\n".join(PROSE)


def paragraphs(texts: tuple[str, ...] = PROSE) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


def html(body: str, head: str = "", lang: str = "en") -> str:
    start = f'<!DOCTYPE html><html lang="{lang}"><head><meta charset="utf-8"><title>Council votes</title>'
    return f"{start}{head}</head><body>{body}</body></html>"


def page(
    text: str | bytes, url: str = URL, *, status: int = 200, headers: tuple[tuple[str, str], ...] = (), hint: Hint | None = None
) -> Page:
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return Page(
        url, url, NOW, status, headers or (("Content-Type", "text/html; charset=utf-8"),), body, source="paper", hint=hint or Hint()
    )


def article(
    head: str = "", body: str = "", url: str = URL, *, rules: Rules | None = None, hint: Hint | None = None, language: str | None = None
) -> ExtractionResult:
    """An article page with a headline, four paragraphs, and what is given besides."""
    return read(
        page(html(f"<article><h1>Council votes</h1>{paragraphs()}{body}</article>", head), url, hint=hint), rules=rules, language=language
    )
