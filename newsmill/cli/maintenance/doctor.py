"""`newsmill doctor`: whether ledger, archive, documents agree."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import Json, note, now, print_json, print_table
from newsmill.storage.doctor import Doctor


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
