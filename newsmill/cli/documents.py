"""The commands that read documents: `newsmill search`, `show`, `trace` (what happened to a URL), `explain` (why it has its text),
`revisions` (the contents that a document has had), `mcp`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import newsmill
from newsmill import context, mcp_server
from newsmill import settings as configuration
from newsmill.cli.terminal import Json, complete_from, count_progress, format_count, note, now, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.exports.records import to_record
from newsmill.exports.streams import STREAMED_FORMATS, StreamedFormat
from newsmill.intake import reextract
from newsmill.model import (
    OUTCOMES,
    Author,
    Block,
    Document,
    ExtractionResult,
    Rendering,
    Revision,
    RevisionCause,
    RevisionSummary,
    State,
    describe_failure,
)
from newsmill.model.document_fields import Use, list_fields
from newsmill.search import indexer
from newsmill.search.counts import choose_period, count_facets, count_timeline, list_counts
from newsmill.search.parsed_query import QueryNote
from newsmill.search.relevance import MatchScore
from newsmill.search.results import Hit, Order, SearchResults
from newsmill.search.search import Search
from newsmill.similarity.revision_comparison import ChangeKind, ParagraphChange, compare_texts, compare_words
from newsmill.site_inspection import add_scheme
from newsmill.storage.database import Engine
from newsmill.storage.ledger import Trace
from newsmill.storage.revisions import Revisions

MAX_FACET_MATCHES = 100_000  # the newest matches, whose values are counted: 60 MB
QUERY_HELP = """Words (all must match, in any form), =exactly, "a phrase", begin*, NOT this, this OR that, (brackets), and source: lang:
author: section: title: site: type: is_free: doubtful: dated: after:2026-01-31 before:yesterday is:starred is:unread tag: note:. Default:
the newest documents. Write -- before a query that begins with a minus."""
REMEDIES = {"filters": "remove a filter", "words": "use fewer words, or OR between them"}
MAX_COUNTED_DOCUMENTS = 10_000_000  # of all matches
USER_HELP = "Whose stars, tags and notes is:, has:, tag: and note: are about: the name of a token; default: those made without a token."


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
    facets: Annotated[bool, typer.Option("--facets", help="Print counts by language, source, section, author, type and site.")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="Print counts per day, week or month of after: and before:.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print the parts of each score.")] = False,
    fold: Annotated[bool, typer.Option("--fold/--no-fold", help="Of a group of copies, show and count the earliest match only.")] = True,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help=USER_HELP)] = "",
) -> None:
    """Search documents. Exits with 1 if none matches."""
    query = " ".join(words or [])
    chosen = find_streamed_format(output_format or ("jsonl" if as_json else None))
    with context.open_context(configuration.load()) as store:
        finish_index(store.engine)
        if facets or timeline:
            print_counts(store, query, limit, user, as_json=as_json, facets=facets, timeline=timeline, fold=fold)
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


def print_counts(store: AppContext, query: str, limit: int, user: str, *, as_json: bool, facets: bool, timeline: bool, fold: bool) -> None:
    """Print the counts of a query instead of its matches. Exits with 1 if there are none."""
    print_notes(Search(store.engine, user).check(query))
    rows: list[list[object]]
    if facets:
        found = count_facets(store.engine, query, user=user, limit=limit, matches=MAX_FACET_MATCHES, without_copies=fold)
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
        period = choose_period(query, store.now())
        counted = count_timeline(store.engine, query, period, user=user, without_copies=fold)
        bars = counted.bars
        if as_json:
            for bar in bars:
                print_json({"start": bar.start, "end": bar.end, "n": bar.n})
        else:
            rows = [[f"{bar.start:%Y-%m-%d}", f"{bar.end:%Y-%m-%d}", bar.n or 0] for bar in bars]
            print_table(("from", "before", "documents"), rows)
        has_others = Search(store.engine, user).count(query, max_count=MAX_COUNTED_DOCUMENTS, fold=fold) > counted.total
        if has_others:
            days = f"{period.since:%Y-%m-%d} to {period.last:%Y-%m-%d} (UTC)"
            note(f"These are the matches of {days}, and there are others; after: and before: choose another time")
        elif not counted.total:
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
        if (value := format_value(getattr(document, name))) is not None:
            origin = document.provenance.get(name)
            lines.append(f"{name:<13} {printable(value)}{f'   ({origin})' if origin else ''}")
    typer.echo("\n".join([*lines, "", printable(document.text)]))


def format_value(value: object) -> str | None:
    """The value of a field as text; None if it is empty."""
    if value is None or value == ():
        return None
    if isinstance(value, tuple):
        return ", ".join(item.name if isinstance(item, Author) else str(item) for item in value)
    return str(value)


def print_documents(documents: Iterable[Document]) -> None:
    """Print a table of documents."""
    rows = [
        [document.published_at, document.language, document.word_count, f"{document.title or '(no title)'}\n{document.url}"]
        for document in documents
    ]
    if rows:
        print_table(("published", "lang", "words", "title and URL"), rows)


# ---- trace and explain -------------------------------------------------------------------------------------------------------

Url = Annotated[str, typer.Argument(metavar="URL", help="A URL in any spelling.")]


def trace(url: Url, as_json: Json = False) -> None:
    """Show what happened to one URL, step by step. Exits with 1 if Newsmill has not seen it."""
    with context.open_context(configuration.load()) as store:
        found = find_trace(store, url)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(f"{at:%Y-%m-%d %H:%M:%S}  {printable(step)}" for at, step in list_steps(found)))
        for step in list_next_steps(found, now()):
            typer.echo(printable(f"next: {step}"))


def find_trace(store: AppContext, url: str) -> Trace:
    """The trace of a URL. Raises NewsmillError if the ledger has none, ConfigError if `url` is not a URL."""
    try:
        found = store.ledger.traces.get(add_scheme(url))
    except UrlError as error:
        raise ConfigError(str(error)) from None
    if found is None and url.startswith("spider:"):
        raise NewsmillError(f"the spider of source {url.removeprefix('spider:')!r} has not run")
    if found is None:
        raise NewsmillError(f"Newsmill has not seen {url}; run `newsmill submit {url}` to queue it")
    return found


def list_steps(trace: Trace) -> list[tuple[datetime, str]]:
    """What has happened to a URL, oldest first."""
    origin = (
        f"found by {trace.found_by}"
        + (f" on {trace.found_on}" if trace.found_on else "")
        + (f" for {trace.source}" if trace.source else "")
    )
    steps = [(trace.first_seen_at, f"{trace.kind} {trace.url} {origin}")]
    if trace.fetched_at:
        redirect = f", redirected to {trace.final_url}" if trace.final_url and trace.final_url != trace.url else ""
        steps.append((trace.fetched_at, f"fetched: HTTP {trace.status}{redirect}"))
        if trace.segment:
            rendering = ", with the DOM that a browser rendered" if trace.rendering is Rendering.DONE else ""
            parts = f", with {format_count(len(trace.parts), 'further page')}: {' '.join(trace.parts)}" if trace.parts else ""
            steps.append((trace.fetched_at, f"archived: {trace.segment}@{trace.offset}{rendering}{parts}"))
    if trace.outcome and trace.ended_at:
        detail = f" ({trace.detail})" if trace.detail else ""
        document = f"; document {trace.document_id}" if trace.document_id else ""
        steps.append((trace.ended_at, f"{trace.state}: {trace.outcome}, {OUTCOMES[trace.outcome].meaning}{detail}{document}"))
    if (failure := trace.last_failure) is not None and trace.failed_at is not None:
        since = f", failing since {trace.failing_since:%Y-%m-%d %H:%M:%S}" if trace.failing_since else ""
        steps.append((trace.failed_at, f"failed: {describe_failure(failure)}{since}"))
        steps.sort(key=lambda step: step[0])
    return steps


NEXT_STEPS = {
    State.DUE: "a crawler fetches it",
    State.FETCHING: "a crawler is fetching it",
    State.FETCHED: "a worker extracts it",
    State.PROCESSING: "a worker is extracting it",
}


def list_next_steps(trace: Trace, now: datetime) -> list[str]:
    """What happens to a URL now or later."""
    steps = []
    if trace.state in NEXT_STEPS:
        at = f" at {trace.next_at:%Y-%m-%d %H:%M:%S}" if trace.next_at > now and trace.state in (State.DUE, State.FETCHED) else ""
        attempts = f" after {format_count(trace.attempts, 'attempt')}" if trace.attempts else ""
        reason = f" ({trace.detail})" if trace.detail and not trace.outcome else ""
        steps.append(f"{NEXT_STEPS[trace.state]}{at}{attempts}{reason}")
    if trace.revisit_at is not None:
        steps.append(f"a crawler fetches it again at {trace.revisit_at:%Y-%m-%d %H:%M:%S}, to see whether it changed")
    return steps


def explain(url: Url, as_json: Json = False) -> None:
    """Explain the text of a page: each block, kept or removed, by which layer and why. Also shows the provenance of each field.

    Extracts the archived page again with the current code and changes nothing.
    """
    with context.open_context(configuration.load()) as store:
        result = reextract.explain(store.ledger, store.archive, store.profiles, find_trace(store, url))
    if as_json:
        print_json(result)
    else:
        print_result(result)


PATHS = {
    "fast": "with the site profile alone (fast path)",
    "unfit": "with full extraction: the page does not fit the site profile",
    "agreed": "with both paths, as a check: the results agree",
    "disagreed": "with both paths, as a check: the results differ, and full extraction counts",
}


def print_result(result: ExtractionResult) -> None:
    """Print the outcome, the fields with their provenance, and the blocks in page order."""
    outcome, detail = result.ending.outcome, result.ending.detail
    typer.echo(f"{outcome}: {printable(detail or OUTCOMES[outcome].meaning)}   ({result.seconds:.2f} s)")
    if result.extraction_path is not None:
        typer.echo(f"extracted {PATHS[result.extraction_path]}")
    if result.document is not None:
        names = ("title", "description", *SHOWN_FIELDS)
        values = [(name, format_value(getattr(result.document, name)), result.document.provenance.get(name)) for name in names]
        print_table(("field", "value", "from"), [row for row in values if row[1] is not None])
    for page, group in groupby(result.list_blocks(), key=itemgetter(0)):
        if page is not None:
            typer.echo(f"page {printable(page)}")
        for _, block in group:
            typer.echo(format_block(block))
    typer.echo("+ kept   - removed (layer: reason)")


def format_block(block: Block) -> str:
    """One line for a block: `+ [paragraph] text` or `- [paragraph] text  ← rules: trailing source credit`."""
    text = " ".join(printable(block.text).split())
    if block.kept:
        return f"+ [{block.type}] {text}"
    return f"- [{block.type}] {text}  ← {block.layer or 'trafilatura'}: {block.reason or 'not part of the body'}"


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


CAUSES = {RevisionCause.FETCH: "new fetch", RevisionCause.EXTRACTION: "new extraction of the same page"}
MARKS = {ChangeKind.KEPT: "{}", ChangeKind.REMOVED: "[-{}-]", ChangeKind.ADDED: "{{+{}+}}"}  # as of wdiff


def revisions(
    document: Annotated[str, typer.Argument(metavar="URL|ID", help="URL or id of the document.")],
    show: Annotated[int | None, typer.Option("--show", metavar="N", min=1, help="Print the title and the text of revision N.")] = None,
    changes: Annotated[
        int | None,
        typer.Option("--changes", metavar="N", min=1, help="Print what revision N changed: [-removed-] and {+added+} words."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the revisions of a document, or show one of them or what it changed.

    The current revision comes first. With --json, a list has one line for each revision, --show prints the fields of revision N, and
    --changes its paragraphs with the pieces that were kept, removed and added.
    """
    if show is not None and changes is not None:
        raise ConfigError("--show and --changes exclude each other")
    with context.open_context(configuration.load()) as store:
        found = store.documents.get(document)
        if found is None:
            raise NewsmillError(f"No document has the URL or id {document}; run `newsmill trace URL` to see what happened to a URL")
        if show is not None:
            print_revision(find_revision(store, found, show), as_json=as_json)
        elif changes is not None:
            print_changes(store, found, changes, as_json=as_json)
        else:
            print_list(found, Revisions(store.engine).list(found.id) or (), as_json=as_json)


def find_revision(store: AppContext, document: Document, number: int) -> Revision:
    """One revision of a document. Raises NewsmillError if it is not kept."""
    found = Revisions(store.engine).get(document.id, number)
    if found is None:
        raise NewsmillError(f"Revision {number} of {document.url} is not kept; run `newsmill revisions URL` to list those that are")
    return found


def print_list(document: Document, listed: Sequence[RevisionSummary], *, as_json: bool) -> None:
    """Print a table or JSON lines of revisions."""
    if as_json:
        for one in listed:
            print_json(one)
        return
    rows = [
        [one.revision, f"{one.stored_at:%Y-%m-%d %H:%M}", one.word_count, describe_change(one), printable(one.title or "(no title)")]
        for one in listed
    ]
    print_table(("revision", "stored", "words", "change", "title"), rows)
    if missing := document.revision - len(listed):
        note(f"{missing:,} of {document.revision:,} revisions are not kept")


def describe_change(one: RevisionSummary) -> str:
    """What a revision changed and why: "title, text +12 −3 (new fetch)"."""
    if one.cause is None:
        return "first that is kept"
    fields = ", ".join(f"text +{one.words_added:,} −{one.words_removed:,}" if name == "text" else name for name in one.changed)
    return f"{fields or 'nothing visible'} ({CAUSES[one.cause]})".replace("live_updates", "live updates")


def print_revision(revision: Revision, *, as_json: bool) -> None:
    """Print a revision as JSON, or its title and its text."""
    if as_json:
        print_json(revision)
        return
    typer.echo(f"{printable(revision.title or '(no title)')}\n\n{printable(revision.text)}")


def print_changes(store: AppContext, document: Document, number: int, *, as_json: bool) -> None:
    """Print the difference between a revision and the kept one before it. Raises NewsmillError without one."""
    listed = {one.revision: one for one in Revisions(store.engine).list(document.id) or ()}
    new = find_revision(store, document, number)
    previous = listed[number].previous if number in listed else None
    if previous is None:
        raise NewsmillError(f"Revision {number} of {document.url} is the first that is kept: there is nothing to compare it with")
    old = find_revision(store, document, previous)
    title = compare_words(old.title or "", new.title or "")
    paragraphs = compare_texts(old.text, new.text)
    if as_json:
        print_json({"revision": number, "previous": previous, "changed": listed[number].changed, "title": title, "paragraphs": paragraphs})
        return
    authors = [", ".join(author.name for author in one.authors) for one in (old, new)]
    heading = ParagraphChange(ChangeKind.CHANGED, title)
    byline = ParagraphChange(ChangeKind.CHANGED, compare_words(*authors))
    typer.echo("\n\n".join(line for part in (heading, byline, *paragraphs) if (line := format_paragraph(part))))


def format_paragraph(change: ParagraphChange) -> str:
    """A paragraph in the form of wdiff. The marks stand inside its lines."""
    return "".join(MARKS[piece.kind].format(printable(piece.text)) for piece in change.pieces if piece.text)
