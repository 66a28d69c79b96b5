"""The table of commands. A command's module is imported when the command runs or prints its help."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import typer
from typer.core import TyperCommand

GETTING_STARTED = "Getting started"
SOURCES = "Sources"
DOCUMENTS = "Documents"
PROCESSES = "Processes"
MAINTENANCE = "Maintenance"


class QueryCommand(TyperCommand):
    """A command with a query, of which a word may begin with one minus: `search harbour -bridge`. Unknown options are refused."""

    ignore_unknown_options = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class. Raises BadParameter for a word that begins with two minuses and is no option."""
        known = {name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        for word in takewhile(lambda word: word != "--", args):
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known:
                raise typer.BadParameter("no such option; a query has filters instead, such as after:2026-01-31", ctx=ctx, param_hint=name)
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class Command:
    """The place of a command, and what `newsmill --help` prints about it."""

    heading: str
    target: str  # "module:name" of a function, or of a typer.Typer with subcommands
    summary: str  # the first sentence of the command's own help; a test compares the two
    has_query: bool = False  # words may begin with a minus; QueryCommand


PACKAGE = "newsmill.cli"
COMMANDS = {
    "demo": Command(GETTING_STARTED, f"{PACKAGE}.demo:demo", "Try Newsmill: crawl a small newspaper that this machine serves"),
    "crawl": Command(GETTING_STARTED, f"{PACKAGE}.crawl:crawl", "Crawl news sites once and store their articles"),
    "up": Command(GETTING_STARTED, f"{PACKAGE}.processes.up:up", "Run everything in this terminal: crawler, workers, scheduler and web"),
    "add": Command(SOURCES, f"{PACKAGE}.add:add", "Follow news sites: find their feeds, sitemaps and sections, and read them regularly"),
    "submit": Command(SOURCES, f"{PACKAGE}.submit:submit", "Queue single URLs, or the pages of WARC files"),
    "sources": Command(
        SOURCES, f"{PACKAGE}.sources.commands:app", "List, export, poll, pause, resume, rename, remove, check, diagnose and test sources"
    ),
    "backfill": Command(SOURCES, f"{PACKAGE}.backfill:backfill", "Fetch a source's older articles, after all new ones"),
    "status": Command(DOCUMENTS, f"{PACKAGE}.status:status", "Show sources, documents, outcomes, the queue and the size of the archive"),
    "logs": Command(
        PROCESSES,
        f"{PACKAGE}.logs:logs",
        "Show the logs of all processes of the data folder, with one line for each failure, alarm and recovery",
    ),
    "search": Command(DOCUMENTS, f"{PACKAGE}.documents:search", "Search documents", has_query=True),
    "searches": Command(DOCUMENTS, f"{PACKAGE}.searches:searches", "List, add, rename and remove saved searches"),
    "alerts": Command(DOCUMENTS, f"{PACKAGE}.alerts:alerts", "List, add, test, pause, resume and remove alerts on saved searches"),
    "stories": Command(DOCUMENTS, f"{PACKAGE}.stories:stories", "List and show stories, and merge, split and pin them for good"),
    "show": Command(DOCUMENTS, f"{PACKAGE}.documents:show", "Show one document: its fields, their provenance and its text"),
    "revisions": Command(DOCUMENTS, f"{PACKAGE}.revisions:revisions", "List a document's revisions, or show one revision or its changes"),
    "explain": Command(
        DOCUMENTS, f"{PACKAGE}.trace:explain", "Explain the text of a page: each block, kept or removed, with layer and reason"
    ),
    "trace": Command(DOCUMENTS, f"{PACKAGE}.trace:trace", "Show what happened to one URL, step by step"),
    "cite": Command(
        DOCUMENTS,
        f"{PACKAGE}.cite:cite",
        "Name a corpus in one line that can be verified later: query, time, counts, a digest of the content, and versions",
    ),
    "export": Command(DOCUMENTS, f"{PACKAGE}.export:export", "Export documents with all their fields"),
    "import": Command(
        DOCUMENTS,
        f"{PACKAGE}.import_documents:import_documents",
        "Load documents from Parquet files of `newsmill export` or `newsmill extract`",
    ),
    "extract": Command(
        DOCUMENTS,
        f"{PACKAGE}.extract:extract",
        "Extract documents from pages: files, folders, WARC files, URLs, or HTML or JSON lines from standard input",
    ),
    "profiles": Command(DOCUMENTS, f"{PACKAGE}.profiles:app", "Export and import what was learned of each site"),
    "mcp": Command(
        DOCUMENTS, f"{PACKAGE}.documents:mcp", "Serve documents to an agent with the Model Context Protocol over standard input and output"
    ),
    "crawler": Command(
        PROCESSES, f"{PACKAGE}.processes.services:crawler", "Run one crawler: it leases hosts with due URLs and fetches them politely"
    ),
    "worker": Command(PROCESSES, f"{PACKAGE}.processes.services:worker", "Run workers: they extract archived pages and store documents"),
    "scheduler": Command(
        PROCESSES,
        f"{PACKAGE}.processes.services:scheduler",
        "Run the scheduler: it makes sources due and queues pending segments again",
    ),
    "web": Command(PROCESSES, f"{PACKAGE}.processes.web:web", "Serve the web pages and the HTTP API"),
    "health": Command(
        PROCESSES,
        f"{PACKAGE}.health:health",
        "Exit 0 if a process with this ROLE is alive on this machine; for container health checks",
    ),
    "settings": Command(
        MAINTENANCE,
        f"{PACKAGE}.effective_settings:settings",
        "Show the effective settings: value, origin (default, environment or file), and unknown NEWSMILL_ names",
    ),
    "retry": Command(MAINTENANCE, f"{PACKAGE}.maintenance.retry:retry", "Requeue finished URLs"),
    "reextract": Command(
        MAINTENANCE,
        f"{PACKAGE}.maintenance.reextract:reextract",
        "Extract stored documents again from the archive, and replace each text that does not become worse",
    ),
    "takedowns": Command(
        MAINTENANCE,
        f"{PACKAGE}.maintenance.takedowns:app",
        "Remove articles at somebody's demand from database, search index and archive, and list the barred URLs",
    ),
    "doctor": Command(MAINTENANCE, f"{PACKAGE}.maintenance.doctor:doctor", "Check that ledger, archive and documents agree"),
    "backup": Command(MAINTENANCE, f"{PACKAGE}.maintenance.backup:backup", "Copy the embedded store into FOLDER while Newsmill runs"),
    "quarantine": Command(MAINTENANCE, f"{PACKAGE}.maintenance.quarantine:quarantine", "List, retry and drop quarantined pages"),
    "db": Command(
        MAINTENANCE, f"{PACKAGE}.maintenance.database:db", "Upgrade and check the schema of the database, and copy the embedded one"
    ),
    "keys": Command(MAINTENANCE, f"{PACKAGE}.maintenance.keys:keys", "Create, list and remove the keys that sign requests (Web Bot Auth)"),
    "token": Command(MAINTENANCE, f"{PACKAGE}.maintenance.tokens:token", "Manage access tokens for the API and the web pages"),
}


class LazyCommands(MutableMapping[str, Any]):
    """COMMANDS as the mapping of names to commands that Typer expects. A lookup imports the command's module."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = load(name, COMMANDS[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


def load(name: str, command: Command) -> Any:
    """The command as Typer calls it; imports its module."""
    module, _, attribute = command.target.partition(":")
    gc.disable()  # what is imported is never freed: looking for garbage in it takes 0.08 s of CPU, and later collections would again
    target = getattr(importlib.import_module(module), attribute)
    gc.freeze()
    gc.enable()
    holder = typer.Typer(rich_markup_mode=None, add_completion=False)
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name, cls=QueryCommand if command.has_query else TyperCommand)(target)
    return typer.main.get_group(holder).commands[name]
