"""`newsmill status`: what is followed, what came of it, what is owed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from newsmill.cli.stack import Store
    from newsmill.settings import Settings


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Sources, documents, how many addresses ended how, the queue, and the archive's size."""
    from newsmill import settings as configuration
    from newsmill.cli import stack
    from newsmill.cli.terminal import print_json

    settings = configuration.load()
    with stack.open_store(settings) as store:
        report = gather(store, settings)
        if as_json:
            print_json(report)
        else:
            print_status(store, report)


def gather(store: Store, settings: Settings) -> dict[str, Any]:
    """All that `status --json` prints, by name."""
    from newsmill.cli import stack
    from newsmill.cli.terminal import now
    from newsmill.keep.processes import alive

    progress = store.ledger.progress()
    sources = store.ledger.sources()
    waiting, refused = queue_state(settings)
    return {
        "data": None if settings.database_url and settings.archive_url else str(stack.data_folder(settings)),
        "documents": store.documents.count(),
        "pages": progress.pages,
        "owed": progress.owed,
        "states": progress.states,
        "listings": progress.listings,
        "outcomes": progress.outcomes,
        "queue": waiting,
        "refused_jobs": refused,
        "archive_bytes": store.archive.size(),
        "processes": alive(store.engine, now=now()),
        "sources": {source.name: {"enabled": source.enabled, "progress": store.ledger.progress(source.name)} for source in sources},
    }


def queue_state(settings: Settings) -> tuple[int | None, int | None]:
    """Segments that wait for a worker, and jobs that were refused because somebody else wrote them.

    None, None when the embedded server is not running, which is no fault. Raises ServiceError otherwise.
    """
    from newsmill.cli import stack
    from newsmill.exceptions import ServiceError
    from newsmill.keep.embedded import EmbeddedRedis

    try:
        queue = stack.open_queue(settings, settings.redis_url or EmbeddedRedis(stack.data_folder(settings)).url)
        return queue.depth(), queue.refused()
    except ServiceError:
        if settings.redis_url:
            raise
        return None, None


def print_status(store: Store, report: dict[str, Any]) -> None:
    """The report as tables."""
    from newsmill.cli.sources import COLUMNS, row
    from newsmill.cli.terminal import print_table, size
    from newsmill.model import OUTCOMES

    waiting = "not running" if report["queue"] is None else f"{report['queue']:,} segments waiting"
    typer.echo(f"{report['documents']:,} documents of {report['pages']:,} pages; {report['owed']:,} addresses owed")
    typer.echo(f"queue: {waiting}; archive: {size(report['archive_bytes'])}" + (f"; data: {report['data']}" if report["data"] else ""))
    if report["refused_jobs"]:
        typer.echo(f"REFUSED: {report['refused_jobs']:,} jobs on the queue were not ours; somebody else writes to this Redis")
    roles = Counter(process.role for process in report["processes"])
    typer.echo("at work: " + (", ".join(f"{count} {role}" for role, count in roles.items()) or "nobody (`newsmill up` starts all)"))
    if sources := store.ledger.sources():
        print_table(COLUMNS, [row(store, source) for source in sources])
    outcomes = sorted(report["outcomes"].items(), key=lambda pair: -pair[1])
    if any(count for _, count in outcomes):
        print_table(("pages", "outcome", "meaning"), [[count, outcome, OUTCOMES[outcome][1]] for outcome, count in outcomes if count])
