"""`newsmill doctor` and `newsmill backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import format_count, note, now, print_json, print_table
from newsmill.exceptions import ConfigError
from newsmill.storage.backup import back_up
from newsmill.storage.doctor import Doctor

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired safely.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every archived page; slow.")] = False,
    as_json: Json = False,
) -> None:
    """Check that ledger, archive and documents agree. Safe while Newsmill runs.

    Exits with 1 if there are findings (with --repair: if some remain).
    """
    with context.open_context(configuration.load()) as store:
        findings = Doctor(store.engine, store.ledger, store.archive).examine(now=now(), repair=repair, deep=deep)
    if as_json:
        print_json(findings)
    elif findings:
        rows = [
            (finding.check, finding.count, finding.says, "\n".join(finding.examples), _format_remedy(finding.repaired, finding.remedy))
            for finding in findings
        ]
        print_table(("check", "count", "meaning", "examples", "--repair"), rows)
    if not findings:
        note("ledger, archive and documents agree")
    if any(not finding.repaired for finding in findings):
        raise typer.Exit(1)


def _format_remedy(repaired: bool, remedy: str | None) -> str:
    if remedy is None:
        return "not available"
    return f"done: {remedy}" if repaired else remedy


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Target; an earlier backup in it is updated.")],
) -> None:
    """Copy the embedded store into FOLDER while Newsmill runs. The copy is a data folder: NEWSMILL_DATA=FOLDER uses it.

    For your own database or archive, use their tools: docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url or settings.archive_url:
        raise ConfigError("`newsmill backup` copies only the embedded store; for DATABASE_URL and ARCHIVE_URL see docs/guides/operating.md")
    data = context.data_folder(settings)
    target = folder.expanduser().absolute()
    if target == data or data in target.parents:
        raise ConfigError(f"{folder} is inside the data folder; choose a folder outside")
    with context.open_context(settings):
        copied = back_up(data / "newsmill.sqlite", data / "archive", target)
    note(f"{target}: copied the database and {format_count(copied.segments, 'archive file')} ({copied.new:,} new)")
