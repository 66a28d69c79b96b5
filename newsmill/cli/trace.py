"""What happened to one URL: `newsmill trace` and `newsmill explain`."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.documents import SHOWN_FIELDS, format_field
from newsmill.cli.inspection_report import OUTCOME_ADVICE
from newsmill.cli.terminal import Json, format_count, now, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.intake import reextract
from newsmill.model import OUTCOMES, Block, ExtractionResult, Rendering, State, describe_failure
from newsmill.site_inspection.processes import add_scheme
from newsmill.storage.ledger import Trace

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
    if trace.outcome is not None and (advice := OUTCOME_ADVICE.get(trace.outcome)):
        steps.append(advice)
    return steps


def explain(url: Url, as_json: Json = False) -> None:
    """Explain the text of a page: each block, kept or removed, with layer and reason. Also shows the provenance of each field.

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
        values = [(name, format_field(result.document, name), result.document.provenance.get(name)) for name in names]
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
