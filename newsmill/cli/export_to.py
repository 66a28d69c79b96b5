"""`newsmill export --to`: files with a manifest in a folder or an object store; stopped and gone on with, or added to later."""

from __future__ import annotations

from datetime import datetime

import typer

from newsmill import __version__
from newsmill.cli.context import Store
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import counting
from newsmill.cli.terminal import note, now
from newsmill.exceptions import ConfigError
from newsmill.exports import layouts
from newsmill.exports.formats import FOLDERS, find_format
from newsmill.exports.layouts import Layout
from newsmill.exports.manifest import Manifest, Plan
from newsmill.exports.progress import Reading
from newsmill.exports.target import Target
from newsmill.exports.writer import Export, begin
from newsmill.storage import database

PARTITIONS = ("day", "month", "source")


def export_to(store: Store, plan: Plan, to: str, *, since_last: bool, overwrite: bool) -> None:
    """Write it, say what was written. Exits with 130 when somebody stopped it."""
    layout, target = find_layout(store, plan), Target(to)
    with target.claimed():
        stand = begin(target, plan, since_last=since_last, overwrite=overwrite)

        def clock() -> datetime:
            return database.clock(store.engine)

        reading = Reading(store.search, plan.query, plan.since, stand.place)
        with Interrupt() as interrupt, counting("documents", total=total(store, plan, stand)) as advance:
            job = Export(target, layout, stand, now=clock, version=__version__)
            done = job.run(reading, stop=lambda: interrupt.asked, advance=advance)
    report(done, stand, target.url)
    if not done.complete:
        raise typer.Exit(130)


def find_layout(store: Store, plan: Plan) -> Layout:
    """How documents become files. Raises ConfigError."""
    if plan.partition and plan.partition not in PARTITIONS:
        raise ConfigError(f"--partition: expected {', '.join(PARTITIONS)}, not {plan.partition!r}")
    if plan.partition and plan.format in FOLDERS:
        raise ConfigError(f"--partition cannot be combined with --format {plan.format}")
    if plan.format == "warc" and plan.names is None:
        if plan.include or plan.live_updates:
            raise ConfigError("--format warc holds the pages as they were fetched; leave out --include and --live-updates")
        return layouts.pages(store.archive, now())
    form = find_format(plan.format, plan.names, include=plan.include, live_updates=plan.live_updates)
    if plan.format in FOLDERS:
        return layouts.texts(form)
    return layouts.partitioned(form, plan.partition) if plan.partition else layouts.one_file(form)


def total(store: Store, plan: Plan, stand: Manifest) -> int | None:
    """How many documents there will be, where that is quickly said."""
    if stand.place.cursor is not None or plan.since is not None:
        return None
    most = 10_000_000
    found = store.search.count(plan.query, most=most)
    return found if found <= most else None


def report(done: Manifest, before: Manifest, to: str) -> None:
    """What was written, what is missing, and how to go on."""
    more, missing = done.documents - before.documents, done.missing_count - before.missing_count
    note(f"{more:,} documents written to {to}" + (f", {done.documents:,} in all" if before.documents else ""))
    if missing:
        first = done.missing[before.missing_count].reason if before.missing_count < len(done.missing) else "as before"
        note(f"{missing:,} pages could not be read back and are left out; manifest.json names them (first: {first})")
    if not done.complete:
        note("stopped; the same command goes on from here")
