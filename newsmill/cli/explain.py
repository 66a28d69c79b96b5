"""`newsmill trace` and `newsmill explain`: how an address ended, and why its text is what it is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from newsmill import context, reextract
from newsmill import settings as configuration
from newsmill.cli.show import FIELDS, words_of
from newsmill.cli.submit import with_scheme
from newsmill.cli.terminal import print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.model import OUTCOMES, Block, ExtractionResult, State
from newsmill.storage.ledger import Trace

Url = Annotated[str, typer.Argument(metavar="URL", help="The address, in any spelling.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def trace(url: Url, as_json: Json = False) -> None:
    """How one address ended, and every step on the way with its time. Exits with 1 when nobody ever saw it."""
    with context.open_context(configuration.load()) as store:
        found = traced(store, url)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(f"{at:%Y-%m-%d %H:%M:%S}  {printable(words)}" for at, words in steps(found)))


def traced(store: AppContext, url: str) -> Trace:
    """The ledger's row. Raises NewsmillError when there is none, ConfigError when `url` is no address."""
    try:
        found = store.ledger.trace(with_scheme(url))
    except UrlError as error:
        raise ConfigError(f"{url} is no address: {error}") from None
    if found is None:
        raise NewsmillError(f"{url} was never seen: `newsmill submit {url}` queues it")
    return found


def steps(trace: Trace) -> list[tuple[datetime, str]]:
    """What happened to an address, oldest first."""
    by = (
        f"found by {trace.found_by}"
        + (f" on {trace.found_on}" if trace.found_on else "")
        + (f" for {trace.source}" if trace.source else "")
    )
    found = [(trace.first_seen_at, f"{trace.kind} {trace.url} {by}")]
    if trace.fetched_at:
        moved = f", led to {trace.final_url}" if trace.final_url and trace.final_url != trace.url else ""
        found.append((trace.fetched_at, f"fetched: status {trace.status}{moved}"))
        if trace.segment:
            found.append((trace.fetched_at, f"archived: {trace.segment}@{trace.offset}"))
    if trace.outcome and trace.ended_at:
        detail = f" ({trace.detail})" if trace.detail else ""
        document = f"; document {trace.document_id}" if trace.document_id else ""
        found.append((trace.ended_at, f"{trace.state}: {trace.outcome}, {OUTCOMES[trace.outcome][1]}{detail}{document}"))
    if trace.state in (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING):
        tried = f" after {trace.attempts} attempts" if trace.attempts else ""
        why = f" ({trace.detail})" if trace.detail and not trace.outcome else ""
        found.append((trace.next_at, f"{trace.state}{tried}{why}"))
    return found


def explain(url: Url, as_json: Json = False) -> None:
    """Why a page's text is what it is: each block, kept or removed, by which layer and why, and where each field came from.

    Reads the archived page again, with the workers' code; nothing stored is changed.
    """
    with context.open_context(configuration.load()) as store:
        reading = reextract.explain(store.ledger, store.archive, store.profiles, traced(store, url))
    if as_json:
        print_json(reading)
    else:
        print_reading(reading)


WAYS = {
    "fast": "by what is known of its site alone",
    "unfit": "the long way: it is not like the pages of its site that are known",
    "agreed": "both ways, as some pages are, and they agreed",
    "disagreed": "both ways, as some pages are; they disagreed, and the long way counts",
}


def print_reading(reading: ExtractionResult) -> None:
    """The ending, the fields with their provenance, and the blocks in page order."""
    outcome, detail = reading.ending.outcome, reading.ending.detail
    typer.echo(f"{outcome}: {printable(detail or OUTCOMES[outcome][1])}   ({reading.seconds:.2f} s)")
    if reading.extraction_path is not None:
        typer.echo(f"read {WAYS[reading.extraction_path]}")
    if reading.document is not None:
        names = ("title", "description", *FIELDS)
        values = [(name, words_of(getattr(reading.document, name)), reading.document.provenance.get(name)) for name in names]
        print_table(("field", "value", "from"), [row for row in values if row[1] is not None])
    for block in reading.blocks:
        typer.echo(line_of(block))
    typer.echo("+ kept   - removed (layer: reason)")


def line_of(block: Block) -> str:
    """One block: `+ [paragraph] text` or `- [paragraph] text  ← rules: trailing source credit`."""
    text = " ".join(printable(block.text).split())
    if block.kept:
        return f"+ [{block.type}] {text}"
    return f"- [{block.type}] {text}  ← {block.layer or 'trafilatura'}: {block.reason or 'not part of the body'}"
