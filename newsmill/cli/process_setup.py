"""The first steps of every long-running process."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill import settings as configuration
from newsmill.cli import processes
from newsmill.cli.supervisor import stop_with_parent
from newsmill.sandbox.child import hide_from_children
from newsmill.settings import Settings

Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]


def prepare(supervised: bool) -> Settings:
    """Read the settings, hide them from children that read hostile bytes, and send the log to standard error.

    A supervised process also ends with its parent. Raises ConfigError for a bad setting.
    """
    settings = configuration.load()
    hide_from_children()
    processes.configure(settings.log_level)
    if supervised:
        stop_with_parent()
    return settings
