"""`newsmill doctor` and `newsmill backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import note, now, print_json, print_table
from newsmill.exceptions import ConfigError
from newsmill.storage.backup import back_up
from newsmill.storage.doctor import Doctor

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can safely be mended.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every archived page back; takes its time.")] = False,
    as_json: Json = False,
) -> None:
    """Check ledger, archive and documents against one another. Exit 1 when something is wrong (with --repair: still wrong).

    Safe while everything runs.
    """
    with context.open_context(configuration.load()) as store:
        findings = Doctor(store.engine, store.ledger, store.archive).examine(now=now(), repair=repair, deep=deep)
    if as_json:
        print_json(findings)
    elif findings:
        rows = [
            (finding.check, finding.count, finding.says, "\n".join(finding.examples), _remedy(finding.repaired, finding.remedy))
            for finding in findings
        ]
        print_table(("check", "how many", "what it means", "such as", "--repair"), rows)
    if not findings:
        note("ledger, archive and documents agree")
    if any(not finding.repaired for finding in findings):
        raise typer.Exit(1)


def _remedy(repaired: bool, remedy: str | None) -> str:
    if remedy is None:
        return "cannot help"
    return f"done: {remedy}" if repaired else remedy


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; an earlier backup in it is brought up to date.")],
) -> None:
    """Copy the embedded store into FOLDER while everything runs. The copy is a data folder: NEWSMILL_DATA=FOLDER uses it.

    With a database or an archive of your own, use their tools: docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url or settings.archive_url:
        raise ConfigError("`newsmill backup` copies the embedded store; with DATABASE_URL or ARCHIVE_URL set, see docs/guides/operating.md")
    data = context.data_folder(settings)
    target = folder.expanduser().absolute()
    if target == data or data in target.parents:
        raise ConfigError(f"{folder} is inside the data folder; a backup belongs elsewhere")
    with context.open_context(settings):
        copied = back_up(data / "newsmill.sqlite", data / "archive", target)
    note(f"{target}: the database, and {copied.segments} files of the archive, {copied.new} of them new")
