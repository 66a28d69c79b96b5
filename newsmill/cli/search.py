"""`newsmill search`: search documents."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.progress import count_progress
from newsmill.cli.terminal import format_count, note, print_json, printable
from newsmill.context import AppContext
from newsmill.exports.records import to_record
from newsmill.search import Hit, SearchResults, indexer
from newsmill.storage.database import Engine

QUERY_HELP = """Words (all must match), "a phrase", -without, this OR that, and source: lang: author: section: title: site: is_free:
doubtful: after:2026-01-31 before:2026-02. Default: the newest documents. Write -- before a query that begins with a minus."""


def search(
    words: Annotated[list[str] | None, typer.Argument(metavar="[QUERY]…", help=QUERY_HELP)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of documents.")] = 20,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first instead of best match first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One document per line, with the fields of `newsmill export`.")] = False,
) -> None:
    """Search documents. Exits with 1 if none matches."""
    query = " ".join(words or [])
    with context.open_context(configuration.load()) as store:
        finish_index(store.engine)
        results = store.search.search(query, limit=limit, order="newest" if newest else "relevance", wait=True)
        if as_json:
            for hit in results.hits:
                if (document := store.documents.get(hit.id)) is not None:
                    print_json(to_record(document))
        elif results.hits:
            print_hits(results.hits)
        print_total(store, query, results)
    if not results.hits:
        raise typer.Exit(1)


def finish_index(engine: Engine) -> None:
    """Index documents that are not indexed yet, so that the first search after an upgrade is complete."""
    waiting = indexer.count_pending(engine)
    if waiting:
        with count_progress("documents indexed", total=waiting) as advance:
            while done := indexer.index_pending(engine):
                advance(done)


def print_hits(hits: tuple[Hit, ...]) -> None:
    """Print title, date and site, snippet and URL of each hit."""
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    for hit in hits:
        at = hit.published_at or hit.first_seen_at
        facts = [
            f"{at:%Y-%m-%d %H:%M}",
            hit.site_name or hit.source,
            hit.language,
            format_count(hit.word_count, "word"),
            "doubtful" if hit.doubtful else None,
        ]
        facts += hit.authors[:3]
        text = Text.assemble(*((printable(piece), "bold yellow" if marked else "") for piece, marked in hit.snippet))
        console.print(Text(printable(hit.title or "(no title)"), style="bold"))
        console.print(Text(printable(" · ".join(fact for fact in facts if fact)), style="dim"))
        console.print(text)
        console.print(Text(printable(hit.url), style="dim"), soft_wrap=True)
        console.print()


def print_total(store: AppContext, query: str, results: SearchResults) -> None:
    """Print the number of matches, or what to do if there is none."""
    if results.hits:
        total = "very many documents" if results.total is None else format_count(results.total, "document")
        note(f"{len(results.hits):,} of {total}" + ("; use --limit for more" if results.cursor else ""))
    elif store.search.count(max_count=1) == 0:
        note("No document is stored yet; run `newsmill crawl URL`, or `newsmill status` to see the progress")
    else:
        note(f"No document matches {printable(query)}; use fewer words, or OR between them; `newsmill search --help` lists the filters")
