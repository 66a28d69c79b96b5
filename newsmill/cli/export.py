"""`newsmill export`: every document, out of the store and into a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

import typer


def export(
    output_format: Annotated[str, typer.Option("--format", help="jsonl: one JSON object per line.")] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output unless said.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only documents of one source.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only those stored since (UTC).")
    ] = None,
) -> None:
    """Write every document with all its fields. The file appears when it is complete; a broken export leaves nothing behind."""
    from newsmill import settings as configuration
    from newsmill.cli import stack
    from newsmill.cli.progress import counting
    from newsmill.cli.sources import unknown_source
    from newsmill.cli.terminal import note, print_json
    from newsmill.exceptions import ConfigError

    if output_format != "jsonl":
        raise ConfigError(f"--format: expected jsonl, not {output_format!r}")
    with stack.open_store(configuration.load()) as store:
        if source is not None and store.ledger.source(source) is None:
            raise unknown_source(store, source)
        after = since.replace(tzinfo=UTC) if since else None
        count = 0
        with opened(output) as out, counting("documents", total=store.documents.count(source, after)) as advance:
            for document in store.documents.iterate(source, after):
                print_json(document, out)
                count += 1
                advance(1)
    note(f"{count:,} documents{f' written to {output}' if output else ''}")


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that appears under its name when all is written and safe on disk."""
    if path is None:
        yield sys.stdout
        return
    from newsmill.exceptions import ConfigError

    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        out = draft.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
