"""How documents and search results look in a Python shell and in a notebook: on one line, and as HTML in which everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

MAX_TITLE_CHARACTERS = 80
MAX_EXCERPT_CHARACTERS = 300


def format_line(kind: str, title: str | None, facts: Iterable[str | None]) -> str:
    """`<Document 'The harbour opens', 2026-11-24, paper, 312 words, https://…>`"""
    return f"<{kind} {', '.join([repr(shorten(title or '(no title)', MAX_TITLE_CHARACTERS)), *filter(None, facts)])}>"


def format_html(title: str | None, url: str, facts: Iterable[str | None], text: str) -> str:
    """A title that links to the article, the facts, and the start of the text."""
    heading = escape(shorten(title or "(no title)", MAX_TITLE_CHARACTERS))
    if url.startswith(("https://", "http://")):
        heading = f'<a href="{escape(url)}" rel="noopener noreferrer" target="_blank">{heading}</a>'
    about = escape(" · ".join(filter(None, facts)))
    excerpt = escape(shorten(text, MAX_EXCERPT_CHARACTERS))
    return f"<div><strong>{heading}</strong><br><small>{about}</small><p>{excerpt}</p></div>"


def shorten(text: str, most: int) -> str:
    """At most so many characters, on one line.

    >>> shorten("a long  title", 8), shorten("short", 8)
    ('a long…', 'short')
    """
    text = " ".join(text[: 4 * most].split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
