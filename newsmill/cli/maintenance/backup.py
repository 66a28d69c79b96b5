"""`newsmill backup`: copy the embedded store while Newsmill runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.output_file import refuse_url
from newsmill.cli.terminal import format_count, note
from newsmill.exceptions import ConfigError
from newsmill.storage.copies import back_up
from newsmill.storage.private_files import DATABASE


def backup(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Target; an earlier backup in it is updated.")],
) -> None:
    """Copy the embedded store into FOLDER while Newsmill runs. The copy is a data folder: NEWSMILL_DATA=FOLDER uses it.

    For your own database or archive, use their tools: docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url or settings.archive_url:
        raise ConfigError("`newsmill backup` copies only the embedded store; for DATABASE_URL and ARCHIVE_URL see docs/guides/operating.md")
    if not folder:  # an unset variable of a script; as a path it would be the current folder
        raise ConfigError("FOLDER is empty; name a folder")
    refuse_url(Path(folder))
    data = context.data_folder(settings)
    target = Path(folder).expanduser().absolute()
    if target.resolve() == data.resolve():
        raise ConfigError(f"{folder} is the data folder itself; choose a folder outside")
    if any(is_inside(target, inner) for inner in (data, data / "archive")):
        raise ConfigError(f"{folder} is inside the data folder; choose a folder outside")
    with context.open_context(settings):
        copied = back_up(data / DATABASE, data / "archive", target)
    note(f"{target}: copied the database and {format_count(copied.segments, 'archive file')} ({copied.new:,} new)")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or in it, also through links and `..`."""
    real, outer = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return real == outer or outer in real.parents
