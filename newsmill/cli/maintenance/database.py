"""`newsmill db`: the schema of the database."""

from __future__ import annotations

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.documents import finish_index
from newsmill.cli.progress import count_progress
from newsmill.cli.terminal import note, now
from newsmill.exceptions import ConfigError
from newsmill.storage import copy_groups, database, fingerprints, schema_version
from newsmill.storage.database import Engine
from newsmill.storage.database_errors import describe_location
from newsmill.storage.processes import list_live_processes
from newsmill.storage.transfer import count_rows, transfer

db = typer.Typer(no_args_is_help=True, help="Upgrade and check the schema of the database, and copy the embedded one.")


@db.command()
def upgrade() -> None:
    """Create the tables or upgrade an older schema. Safe to run again."""
    settings = configuration.load()
    if settings.database_url is None:
        context.make_folder(context.data_folder(settings))
    engine = database.connect(context.database_url(settings))
    try:
        context.upgrade_database(engine, settings)
        schema_version.check_schema(engine)
        finish_index(engine)
        finish_copies(engine)
    finally:
        engine.dispose()
    note("the schema of the database is up to date")


def finish_copies(engine: Engine) -> None:
    """Make the missing fingerprints, and find the copies of older documents."""
    waiting = fingerprints.pending(engine)
    if waiting:
        with count_progress("fingerprints", total=waiting) as advance:
            while done := fingerprints.catch_up(engine):
                advance(done)
    waiting = copy_groups.pending(engine)
    if waiting:
        with count_progress("documents compared to find copies", total=waiting) as advance:
            while done := copy_groups.catch_up(engine):
                advance(done)


@db.command("copy")
def copy_database() -> None:
    """Copy the embedded database of the data folder into the empty Postgres database of DATABASE_URL. All rows or none.

    Stop all processes first. Pages stay where they are. See docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url is None or settings.database_url.startswith("sqlite"):
        raise ConfigError("DATABASE_URL is not set to a Postgres database; set it to the new, empty one")
    embedded = settings.model_copy(update={"database_url": None})
    context.require_store(embedded)
    source = database.connect(context.database_url(embedded), read_only=True)
    target = database.connect(settings.database_url)
    try:
        schema_version.check_schema(source)
        if running := list_live_processes(source, now=now()):
            names = ", ".join(sorted({process.role for process in running}))
            raise ConfigError(f"processes run on {context.data_folder(settings)} ({names}); stop them first")
        schema_version.upgrade(target)
        schema_version.check_schema(target)
        with count_progress("rows", total=count_rows(source)) as advance:
            transfer(source, target, advance)
        finish_index(target)
        finish_copies(target)
    finally:
        source.dispose()
        target.dispose()
    note(f"copied the database of {context.data_folder(settings)} to {describe_location(target)}")


@db.command()
def check() -> None:
    """Exit with 0 if the database responds and has the schema of this version. Creates and changes nothing."""
    settings = configuration.load()
    context.require_store(settings)
    engine = database.connect(context.database_url(settings), read_only=True)
    try:
        schema_version.check_schema(engine)
    finally:
        engine.dispose()
    note("the database responds and has the right schema")
