"""`newsmill reextract`: extract stored documents again from the archive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.capture_options import parse_day
from newsmill.cli.completion import complete_sources
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import ProgressBar, format_time_left
from newsmill.cli.terminal import Json, format_count, note, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.model import Judgement, PassOptions, ReextractedDocument, ReextractionPass
from newsmill.model.reextraction import FAILED

NICENESS = 10  # the processes of Newsmill, which serve new pages, have 0
MAX_EXAMPLES = 6  # printed
MAX_LISTED = 1000
COLUMNS = (*(judgement.value for judgement in Judgement), FAILED)


def reextract(
    source: Annotated[str | None, typer.Option("--source", autocompletion=complete_sources, help="Only documents of this source.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only pages fetched from then on: a day, month or year, 2024-05-17, 2024-05 or 2024.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="Only documents that meet a condition on extractor, profile or confidence: 'extractor<2.4'."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Maximum number of documents.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; store no document.")] = False,
    as_json: Json = False,
) -> None:
    """Extract stored documents again from the archive, and replace each text that does not become worse.

    Uses no network and runs with low priority. Run the same command again to resume after Ctrl-C or a kill.
    """
    # the sandbox and the archive cost 0.1 s of CPU to import, which `newsmill --help` need not spend
    from newsmill.storage.reextraction_filter import check_conditions
    from newsmill.storage.reextractions import Reextractions

    check_conditions(where or ())
    day = None if since is None else datetime.combine(parse_day(since), time_of_day(), UTC)
    options = PassOptions(source, day, tuple(where or ()), limit, dry_run)
    with context.open_context(configuration.load()) as store, Interrupt() as interrupt:
        if source is not None:
            context.find_source(store, source)
        reextractions = Reextractions(store.engine)
        current = run(store, reextractions.begin(options, now=store.now()), interrupt)
        worse = reextractions.list_documents(current.id, Judgement.WORSE, limit=MAX_LISTED)
        examples = reextractions.list_documents(current.id, limit=MAX_EXAMPLES, has_diff=True)
    if as_json:
        print_json({"pass": current, "worse": worse, "examples": examples})
    else:
        print_pass(current, worse, examples)
    if interrupt.is_set:
        note("stopped; the same command continues")
        raise typer.Exit(130)


def run(store: AppContext, current: ReextractionPass, interrupt: Interrupt) -> ReextractionPass:
    """Run the pass to its end or to a stop, with a bar."""
    from newsmill.intake.reextraction_pass import run_pass

    os.nice(NICENESS)
    begun_with, started_at = current.done, time.monotonic()
    if begun_with:
        note(f"the pass of {current.started_at:%Y-%m-%d %H:%M} continues after {format_count(begun_with, 'document')}")
    with ProgressBar("documents") as bar:
        for moved in run_pass(store, current, interrupt.wait):
            current = moved
            left = format_time_left(current.total - current.done, current.done - begun_with, time.monotonic() - started_at)
            counts = ", ".join(f"{current.count(name):,} {name}" for name in (Judgement.BETTER, Judgement.WORSE))
            bar.update(current.done, current.total, f"{current.done:,} of {current.total:,}, {counts} {left}")
    return current


def print_pass(current: ReextractionPass, worse: list[ReextractedDocument], examples: list[ReextractedDocument]) -> None:
    """Print the counts by source, the documents that stay because the new text is worse, and examples with their differences."""
    rows = [
        [source or "–", sum(numbers.values()), *(numbers.get(name, 0) for name in COLUMNS)]
        for source, numbers in sorted(current.counts.items())
    ]
    print_table(("source", "documents", *COLUMNS), rows)
    for one in examples:
        for line in format_example(one):
            typer.echo(printable(line))
    shown = {one.document_id for one in examples}
    if others := [one for one in worse if one.document_id not in shown]:
        typer.echo("Further documents whose new text is worse:")
        for one in others:
            typer.echo(printable(f"  {one.url}  ({'; '.join(one.verdict.reasons)})"))
    changes = "would change" if current.options.is_dry_run else "changed"
    stays = "would stay" if current.options.is_dry_run else "stay as they were"
    note(
        f"{format_count(current.done, 'document')} read: {format_count(current.changed, 'text')} {changes}; "
        f"{current.count(Judgement.WORSE):,} {stays}, because the new text is worse"
    )


def format_example(one: ReextractedDocument) -> Iterator[str]:
    """The lines of one document: its verdict with the reasons, and the lines that differ."""
    yield f"{one.verdict.judgement.value}  {one.url}  (-{one.words_removed:,} +{one.words_added:,} words)"
    yield from (f"  {reason}" for reason in one.verdict.reasons)
    yield from (f"  {line}" for line in one.diff)
    yield ""
