"""`newsmill settings`: the effective value of each setting, where it comes from, and unknown names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import Json, note, print_json, print_table
from newsmill.settings import Settings
from newsmill.sources.config_file import read_scrapy_table
from newsmill.sources.table_values import format_duration
from newsmill.text.redaction import MASK, redact

COLUMNS = ("setting", "value", "from")
SERVICE_URLS = frozenset({"REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_SMTP_URL"})  # secrets that are shown without their password
SECRET_SCRAPY_NAME = re.compile("KEY|TOKEN|SECRET|PASS|USER(?!_AGENT)|CREDENTIAL|PROXY")


def settings(as_json: Json = False) -> None:
    """Show the effective settings: value, origin (default, environment or file), and unknown NEWSMILL_ names.

    Passwords and other secrets are shown as ***.
    """
    groups, unknown = list_settings(configuration.load(), os.environ), configuration.list_unknown(os.environ)
    if as_json:
        print_json({"settings": groups, "unknown": unknown})
        return
    for heading, rows in groups.items():
        typer.echo(heading)
        print_table(COLUMNS, [[*row.values()] for row in rows])
    for name in unknown:
        note(f"{name} is not a setting of Newsmill and has no effect")


def list_settings(settings: Settings, environ: Mapping[str, str]) -> dict[str, list[dict[str, str | None]]]:
    """The settings by the headings of docs/reference/settings.md, then those of the table [scrapy] of sources.toml."""
    file, values = settings.sources_file, find_effective_values(settings)
    groups = {
        heading: [
            {
                "name": alias,
                "value": format_value(alias, values.get(name, getattr(settings, name))),
                "from": "environment" if environ.get(alias, "").strip() else "default",
            }
            for name, alias in fields.items()
        ]
        for heading, fields in configuration.group_settings().items()
    }
    if file is not None and (table := read_scrapy_table(file)):
        groups["Scrapy"] = [
            {"name": name, "value": MASK if SECRET_SCRAPY_NAME.search(name) else redact(str(value)), "from": f"file {file}"}
            for name, value in table.items()
        ]
    return groups


def find_effective_values(settings: Settings) -> dict[str, object]:
    """What is used where a setting has no value of its own, or a relative one."""
    folder = (settings.config or Path("config")).absolute()
    return {
        "redis_url": context.queue_url(settings),
        "database_url": context.database_url(settings),
        "archive_url": context.archive_url(settings),
        "data": context.data_folder(settings),
        "config": folder if settings.sources_file else f"{folder} (without sources.toml)",
        "user_agent": settings.agent,
        "processes": settings.worker_processes,
    }


def format_value(name: str, value: object) -> str | None:
    """A value as its variable has it. None: it is not set."""
    if value in (None, (), ""):
        return None
    if name in configuration.SECRET_VARIABLES and name not in SERVICE_URLS:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    return redact(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
