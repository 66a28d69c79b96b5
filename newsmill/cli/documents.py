"""The commands that read documents: `newsmill search`, `show`, `mcp`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import newsmill
from newsmill import context, mcp_server
from newsmill import settings as configuration
from newsmill.cli.completion import complete_from
from newsmill.cli.progress import count_progress
from newsmill.cli.terminal import format_count, note, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.exports.records import to_record
from newsmill.exports.streams import STREAMED_FORMATS, StreamedFormat
from newsmill.model import Author, Document
from newsmill.model.document_fields import Use, list_fields
from newsmill.search import indexer
from newsmill.search.facets import count_facets, list_counts
from newsmill.search.query_notes import QueryNote
from newsmill.search.relevance import MatchScore
from newsmill.search.results import Hit, Order, SearchResults
from newsmill.search.search import Search
from newsmill.search.timelines import choose_period, count_timeline
from newsmill.storage.database import Engine

FACET_VALUES = 20  # shown of each facet, whatever the number of documents
MAX_FACET_MATCHES = 100_000  # the newest matches, whose values are counted: 60 MB
QUERY_HELP = """Words (all must match, in any form), =exactly, "a phrase", begin*, NOT this, this OR that, (brackets), and source: lang:
author: section: title: site: type: is_free: doubtful: dated: after:2026-01-31 before:yesterday is:starred is:unread tag: note:. Default:
the newest documents. Write -- before a query that begins with a minus."""
REMEDIES = {"filters": "remove a filter", "words": "use fewer words, or OR between them"}
MAX_COUNTED_DOCUMENTS = 10_000_000  # of all matches
USER_HELP = "Name of the token whose stars, tags and notes the filters use; default: marks made without a token."


def search(
    words: Annotated[list[str] | None, typer.Argument(metavar="[QUERY]…", help=QUERY_HELP)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of documents.")] = 20,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first instead of best match first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            autocompletion=complete_from(STREAMED_FORMATS),
            help="csv, json, jsonl or markdown: whole documents, with the fields of `newsmill export`.",
        ),
    ] = None,
    facets: Annotated[
        bool, typer.Option("--facets", help="Print the 20 most frequent languages, sources, sections, authors, types and sites.")
    ] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Print counts per day, week, month or year, from the first match to the last.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print the parts of each score.")] = False,
    fold: Annotated[bool, typer.Option("--fold/--no-fold", help="Show and count only the first match of each group of copies.")] = True,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help=USER_HELP)] = "",
) -> None:
    """Search documents. Exits with 1 if none matches."""
    query = " ".join(words or [])
    chosen = find_streamed_format(output_format or ("jsonl" if as_json else None))
    with context.open_context(configuration.load()) as store:
        finish_index(store.engine)
        if facets or timeline:
            print_counts(store, query, user, as_json=as_json, facets=facets, timeline=timeline, fold=fold)
            return
        order: Order = "newest" if newest else "relevance"
        results = Search(store.engine, user).search(query, limit=limit, order=order, wait=True, explain=explain, fold=fold)
        if chosen is not None:
            documents = (document for hit in results.hits if (document := store.documents.get(hit.id)) is not None)
            for piece in chosen.encode(documents, ()):
                write_piece(piece)
        elif results.hits:
            print_hits(results.hits)
        print_notes(results.notes)
        print_total(store, query, results)
    if not results.hits:
        raise typer.Exit(1)


def find_streamed_format(name: str | None) -> StreamedFormat | None:
    """The format of that name; None without one. Raises ConfigError."""
    if name is not None and name not in STREAMED_FORMATS:
        raise ConfigError(f"--format: expected {', '.join(STREAMED_FORMATS)}, not {name!r}")
    return None if name is None else STREAMED_FORMATS[name]


def write_piece(piece: bytes) -> None:
    """Write a part of a file to standard output; to a terminal without control characters."""
    if sys.stdout.isatty():
        piece = printable(piece.decode("utf-8", "replace").replace("\r\n", "\n")).encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def print_counts(store: AppContext, query: str, user: str, *, as_json: bool, facets: bool, timeline: bool, fold: bool) -> None:
    """Print the counts of a query instead of its matches. Exits with 1 if there are none."""
    print_notes(Search(store.engine, user).check(query))
    rows: list[list[object]]
    if facets:
        found = count_facets(store.engine, query, user=user, limit=FACET_VALUES, matches=MAX_FACET_MATCHES, without_copies=fold)
        counts = list(list_counts(found))
        if as_json:
            for facet, one in counts:
                print_json({"facet": facet, "value": one.value, "n": one.n, "filter": one.filter, "is_exact": found.is_complete})
        else:
            rows = [[facet, printable(one.value), one.n, printable(one.filter or "")] for facet, one in counts]
            print_table(("facet", "value", "documents", "filter"), rows)
        if not found.is_complete:
            note(f"The newest {found.counted:,} matches are counted; there are more")
        if not found.counted:
            raise typer.Exit(1)
    if timeline:
        counted = count_timeline(store.engine, query, choose_period(query, store.now()), user=user, without_copies=fold)
        bars = counted.bars if counted.total else ()
        if as_json:
            for bar in bars:
                print_json({"start": bar.start, "end": bar.end, "n": bar.n})
        elif bars:
            rows = [[f"{bar.start:%Y-%m-%d}", f"{bar.end:%Y-%m-%d}", bar.n or 0] for bar in bars]
            print_table(("from", "before", "documents"), rows)
        matches = Search(store.engine, user).count(query, max_count=MAX_COUNTED_DOCUMENTS, fold=fold)
        if undated := matches - counted.total:
            note(f"{format_count(undated, 'matching document')} without a date; add dated:no to list them")
        if not matches:
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
    was_answer: bool | None = True
    for hit in hits:
        if hit.is_answer is not None and hit.is_answer is not was_answer:
            console.print(Text("── Older documents ──\n" if hit.is_answer else "── Only mentions ──\n", style="bold"))
            was_answer = hit.is_answer
        at = hit.published_at or hit.first_seen_at
        facts = [
            None if hit.published_at else "undated, first seen",
            f"{at:%Y-%m-%d}" if hit.published_at and hit.published_precision == "day" else f"{at:%Y-%m-%d %H:%M}",
            hit.site_name or hit.source,
            hit.language,
            format_count(hit.word_count, "word"),
            "doubtful" if hit.doubtful else None,
            format_copies(hit.copies) if hit.copies else None,
        ]
        facts += [author.name for author in hit.authors[:3]]
        text = Text.assemble(*((printable(piece), "bold yellow" if marked else "") for piece, marked in hit.snippet))
        title = [(printable(piece), "bold yellow" if marked else "bold") for piece, marked in hit.title_snippet]
        console.print(Text.assemble(*title) if title else Text("(no title)", style="bold"))
        console.print(Text(printable(" · ".join(fact for fact in facts if fact)), style="dim"))
        console.print(text)
        if hit.score is not None:
            console.print(Text(printable(format_score(hit.score)), style="dim"), soft_wrap=True)
        console.print(Text(printable(hit.url), style="dim"), soft_wrap=True)
        console.print()


def format_copies(copies: int) -> str:
    """How many matches a hit stands for, besides its own."""
    return f"and {copies:,} copies" if copies > 1 else "and 1 copy"


def format_score(score: MatchScore) -> str:
    """A score and its parts, on one line."""
    parts = [
        f"{one.term} {one.score:.2f} (rarity {one.weight:.2f}; title {one.title}, lead {one.lead}, text {one.text})" for one in score.terms
    ]
    parts += [f"close together {score.proximity:.2f}"] if score.proximity else []
    return f"score {score.score:.2f} = ({' + '.join(parts)}) × {score.recency:.2f} for its age, {format_count(score.words, 'word')}"


def print_notes(notes: Iterable[QueryNote]) -> None:
    """Print what is wrong with a query, on standard error."""
    for one in notes:
        note(printable(one.message))


def print_total(store: AppContext, query: str, results: SearchResults) -> None:
    """Print the number of matches, or what to do if there is none."""
    if results.hits:
        total = "very many documents" if results.total is None else format_count(results.total, "document")
        if results.total is not None and results.answers is not None:
            total += f" (about it: {results.answers:,}; only mentions: {results.total - results.answers:,})"
        remarks = ["use --limit for more"] if results.cursor else []
        remarks += ["--no-fold lists copies too"] if any(hit.copies for hit in results.hits) else []
        note("; ".join([f"{len(results.hits):,} of {total}", *remarks]))
    elif results.suggestion is not None:
        note(f"No document matches {printable(query)}; did you mean {printable(results.suggestion)}?")
    elif store.search.count(max_count=1) == 0:
        note("No document is stored yet; run `newsmill crawl URL`, or `newsmill status` to see the progress")
    else:
        remedies = [text for remedy in results.remedies if (text := REMEDIES.get(remedy))]
        note("; ".join([f"No document matches {printable(query)}", *remedies, "`newsmill search --help` lists the filters"]))


def show(
    document: Annotated[str, typer.Argument(metavar="URL|ID", help="URL or id of the document.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with the fields of `newsmill export`.")] = False,
) -> None:
    """Show one document: its fields, their provenance and its text."""
    with context.open_context(configuration.load()) as store:
        found = store.documents.get(document)
        if found is None:
            raise NewsmillError(f"No document has the URL or id {document}; run `newsmill trace URL` to see what happened to a URL")
    print_json(to_record(found)) if as_json else print_document(found)


SHOWN_FIELDS = list_fields(Use.TERMINAL)


def print_document(document: Document) -> None:
    """Print the title, the known fields with their provenance, and the text."""
    lines = [printable(document.title or "(no title)"), ""]
    for name in SHOWN_FIELDS:
        if (value := format_field(document, name)) is not None:
            origin = document.provenance.get(name)
            lines.append(f"{name:<13} {printable(value)}{f'   ({origin})' if origin else ''}")
    typer.echo("\n".join([*lines, "", printable(document.text)]))


def format_field(document: Document, name: str) -> str | None:
    """The value of a field as text; None if it is empty. A page that states only a day of publication has no time."""
    value = getattr(document, name)
    if name == "published_at" and value is not None and document.published_precision == "day":
        value = value.date()
    if value is None or value == ():
        return None
    if isinstance(value, tuple):
        return ", ".join(item.name if isinstance(item, Author) else str(item) for item in value)
    return str(value)


def mcp(
    location: Annotated[
        str | None,
        typer.Argument(
            metavar="[PLACE]", help="A data folder, a database URL or the URL of a Newsmill server; default: the current store."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", envvar="NEWSMILL_TOKEN", show_envvar=True, help="Access token of the server. Other users can see the command line."
        ),
    ] = None,
) -> None:
    """Serve documents to an agent with the Model Context Protocol over standard input and output. The agent's program starts it.

    Its tools only read: search, read, what_is_new, sources.
    """
    with newsmill.open(location, token=token) as corpus:
        if sys.stdin.isatty():
            note("waiting for requests on standard input; an agent's program starts this command (docs/reference/mcp.md); stop with Ctrl-C")
        mcp_server.serve(corpus)
