"""`newsmill search`: find documents."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.progress import counting
from newsmill.cli.terminal import note, print_json, printable
from newsmill.context import AppContext
from newsmill.exports.record import to_record
from newsmill.search import Hit, SearchResults, indexer
from newsmill.storage.database import Engine

HELP = """words (all of them), "a phrase", -without, this OR that, and source: lang: author: section: title: site: is_free: doubtful:
after:2026-01-31 before:2026-02. None: the newest documents. Put -- before a query that begins with a minus."""


def search(
    words: Annotated[list[str] | None, typer.Argument(metavar="[QUERY]…", help=HELP)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first, wherever the words stand.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One document per line, with the fields of `newsmill export`.")] = False,
) -> None:
    """Find documents. Exits with 1 when there is none."""
    query = " ".join(words or [])
    with context.open_context(configuration.load()) as store:
        finish_index(store.engine)
        found = store.search.search(query, limit=limit, order="newest" if newest else "relevance", wait=True)
        if as_json:
            for hit in found.hits:
                if (document := store.documents.get(hit.id)) is not None:
                    print_json(to_record(document))
        elif found.hits:
            print_hits(found.hits)
        say(store, query, found)
    if not found.hits:
        raise typer.Exit(1)


def finish_index(engine: Engine) -> None:
    """Index what an older version stored, so that the first search after an upgrade finds all there is."""
    waiting = indexer.count_pending(engine)
    if waiting:
        with counting("documents indexed", total=waiting) as advance:
            while done := indexer.index_pending(engine):
                advance(done)


def print_hits(hits: tuple[Hit, ...]) -> None:
    """Title, when and where, the piece of text that was found, the address; for a terminal and for a pipe."""
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    for hit in hits:
        at = hit.published_at or hit.first_seen_at
        facts = [
            f"{at:%Y-%m-%d %H:%M}",
            hit.site_name or hit.source,
            hit.language,
            f"{hit.word_count:,} words",
            "doubtful" if hit.doubtful else None,
        ]
        facts += hit.authors[:3]
        text = Text.assemble(*((printable(piece), "bold yellow" if marked else "") for piece, marked in hit.snippet))
        console.print(Text(printable(hit.title or "(no title)"), style="bold"))
        console.print(Text(printable(" · ".join(fact for fact in facts if fact)), style="dim"))
        console.print(text)
        console.print(Text(printable(hit.url), style="dim"), soft_wrap=True)
        console.print()


def say(store: AppContext, query: str, found: SearchResults) -> None:
    """How many there are, or what to do about none."""
    if found.hits:
        total = "very many" if found.total is None else f"{found.total:,}"
        note(f"{len(found.hits):,} of {total} documents" + ("; more with --limit" if found.cursor else ""))
    elif store.search.count(max_count=1) == 0:
        note("no document is stored yet: `newsmill crawl URL` fetches some, `newsmill status` shows how far it is")
    else:
        note(f"no document matches {printable(query)}; try fewer words, or OR between them; `newsmill search --help` lists the filters")
