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
    heading = _format_link(title, url)
    about = escape(" · ".join(filter(None, facts)))
    excerpt = escape(shorten(text, MAX_EXCERPT_CHARACTERS))
    return f"<div><strong>{heading}</strong><br><small>{about}</small><p>{excerpt}</p></div>"


def format_table(caption: str, columns: Iterable[str], rows: Iterable[tuple[str | None, str, str, Iterable[str | None]]]) -> str:
    """A table of (title, URL, excerpt, facts); the first column has the title, which links to the article, above the excerpt."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(_format_row(_format_link(title, url), shorten(text, MAX_EXCERPT_CHARACTERS), facts) for title, url, text, facts in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _format_row(heading: str, excerpt: str, facts: Iterable[str | None]) -> str:
    cells = "".join(f"<td>{escape(fact or '')}</td>" for fact in facts)
    return f'<tr><td style="text-align: left"><strong>{heading}</strong><br>{escape(excerpt)}</td>{cells}</tr>'


def _format_link(title: str | None, url: str) -> str:
    heading = escape(shorten(title or "(no title)", MAX_TITLE_CHARACTERS))
    if not url.startswith(("https://", "http://")):
        return heading
    return f'<a href="{escape(url)}" rel="noopener noreferrer" target="_blank">{heading}</a>'


def shorten(text: str, most: int) -> str:
    """At most so many characters, on one line.

    >>> shorten("a long  title", 8), shorten("short", 8)
    ('a long…', 'short')
    """
    text = " ".join(text[: 4 * most].split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
