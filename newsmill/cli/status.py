"""`newsmill status`: what is followed, what came of it, what is owed."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.sources import COLUMNS, profile_of, row
from newsmill.cli.terminal import now, print_json, print_table, size
from newsmill.context import AppContext
from newsmill.model import DOUBTFUL_CONFIDENCE, OUTCOMES
from newsmill.settings import Settings
from newsmill.storage.fast_path_stats import FastPathStats
from newsmill.storage.processes import list_live_processes


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Sources, documents, how many addresses ended how, the queue, and the archive's size."""
    settings = configuration.load()
    with context.open_context(settings) as store:
        report = gather(store, settings)
        if as_json:
            print_json(report)
        else:
            print_status(store, report)


def gather(store: AppContext, settings: Settings) -> dict[str, Any]:
    """All that `status --json` prints, by name."""
    progress = store.ledger.progress()
    sources = store.ledger.sources()
    waiting, refused = context.queue_state(settings)
    return {
        "data": None if settings.database_url and settings.archive_url else str(context.data_folder(settings)),
        "documents": store.documents.count(),
        "doubtful": store.documents.count_doubtful(),
        "pages": progress.pages,
        "owed": progress.pending,
        "states": progress.states,
        "listings": progress.listings,
        "outcomes": progress.outcomes,
        "queue": waiting,
        "refused_jobs": refused,
        "put_aside": store.ledger.deferred.count(),
        "archive_bytes": store.archive.total_bytes(),
        "processes": list_live_processes(store.engine, now=now()),
        "profiles": [profile_of(taken) for taken in FastPathStats(store.engine).newest_counts()],
        "sources": {source.name: {"enabled": source.enabled, "progress": store.ledger.progress(source.name)} for source in sources},
    }


PROFILE_COLUMNS = ("site", "profile", "read by it alone", "checked", "disagreed")


def profile_row(profile: dict[str, Any]) -> list[object]:
    """One line of the table of sites: what share of pages their profile read by itself, and how that was held against the long way."""
    share = profile["fast_share"]
    alone = "not yet" if share is None else f"{100 * share:.0f} %" if profile["fast"] else f"{100 * share:.0f} %, no more: it erred"
    checked = profile["agreed_pages"] + profile["disagreed_pages"]
    return [profile["site"], profile["version"], alone, checked, profile["disagreed_pages"]]


def print_status(store: AppContext, report: dict[str, Any]) -> None:
    """The report as tables."""
    waiting = "not running" if report["queue"] is None else f"{report['queue']:,} segments waiting"
    typer.echo(f"{report['documents']:,} documents of {report['pages']:,} pages; {report['owed']:,} addresses owed")
    if report["doubtful"]:
        bound = f"a confidence below {DOUBTFUL_CONFIDENCE}"
        typer.echo(f"doubtful: {report['doubtful']:,} with {bound}; look at their texts before you rely on them")
    typer.echo(f"queue: {waiting}; archive: {size(report['archive_bytes'])}" + (f"; data: {report['data']}" if report["data"] else ""))
    if report["refused_jobs"]:
        typer.echo(f"REFUSED: {report['refused_jobs']:,} jobs on the queue were not ours; somebody else writes to this Redis")
    if report["put_aside"]:
        typer.echo(f"put aside: {report['put_aside']:,} pages that took too long, or killed their reader, wait for a quiet moment")
    roles = Counter(process.role for process in report["processes"])
    typer.echo("at work: " + (", ".join(f"{count} {role}" for role, count in roles.items()) or "nobody (`newsmill up` starts all)"))
    if sources := store.ledger.sources():
        print_table(COLUMNS, [row(store, source) for source in sources])
    if report["profiles"]:
        print_table(PROFILE_COLUMNS, [profile_row(profile) for profile in report["profiles"]])
    outcomes = sorted(report["outcomes"].items(), key=lambda pair: -pair[1])
    if any(count for _, count in outcomes):
        print_table(("pages", "outcome", "meaning"), [[count, outcome, OUTCOMES[outcome][1]] for outcome, count in outcomes if count])
