"""`newsmill health`: whether a process is alive. Containers run it every minute, so it imports only settings and the table of processes."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_from
from newsmill.cli.terminal import note, now
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.storage import database, schema_version
from newsmill.storage.processes import list_live_processes

ROLES = ("crawler", "worker", "scheduler", "web")


def health(
    role: Annotated[str, typer.Argument(metavar="ROLE", autocompletion=complete_from(ROLES), help="crawler, worker, scheduler or web")],
) -> None:
    """Exit 0 if a process with this ROLE is alive on this machine; for container health checks.

    Alive means that its loop has reached the database within the last 90 seconds.
    """
    if role not in ROLES:
        raise ConfigError(f"expected one of {', '.join(ROLES)}, not {role!r}")
    settings = configuration.load()
    context.require_store(settings)
    engine = database.connect(context.database_url(settings))
    try:
        schema_version.check_schema(engine)
        live = [one for one in list_live_processes(engine, now=now()) if one.role == role and one.machine == socket.gethostname()]
    finally:
        engine.dispose()
    if not live:
        raise NewsmillError(f"no live {role} on this machine")
    note(f"{role} is alive: {', '.join(f'{process.name} at {process.beat_at:%H:%M:%S}' for process in live)}")
