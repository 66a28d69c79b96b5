"""Every command of `newsmill`, in one table. A command's module is imported when that command is called or asked for its help.

The modules therefore import what they need at their top, and `newsmill --help` imports none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import typer

START, FOLLOW, LOOK, RUN, CARE = "Start here", "What to follow", "Look at what came in", "Run the processes", "Take care"


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, and what `newsmill --help` prints of it."""

    heading: str
    target: str  # "module:name" of a function, or of a typer.Typer with commands of its own
    summary: str  # the first sentence of the command's own help; a test compares the two
    takes_minus: bool = False  # an argument may begin with a minus, as in a query


CLI = "newsmill.cli"
COMMANDS = {
    "demo": Command(
        START,
        f"{CLI}.demo:demo",
        "See it work in a few seconds: a small newspaper is served on this machine, crawled, cleaned and stored",
    ),
    "crawl": Command(START, f"{CLI}.crawl:crawl", "Fetch whole news sites once, and store their articles as clean documents"),
    "up": Command(START, f"{CLI}.up:up", "Run everything in this terminal: crawler, workers, scheduler and web"),
    "add": Command(
        FOLLOW,
        f"{CLI}.submit:add",
        "Follow a news site: its feeds, sitemaps and sections are found by themselves and read again and again",
    ),
    "submit": Command(FOLLOW, f"{CLI}.submit:submit", "Queue single addresses: they are fetched once and processed by the workers"),
    "sources": Command(FOLLOW, f"{CLI}.sources:app", "List, pause, resume and check the sources"),
    "status": Command(LOOK, f"{CLI}.status:status", "Sources, documents, how many addresses ended how, the queue, and the archive's size"),
    "search": Command(LOOK, f"{CLI}.search:search", "Find documents", takes_minus=True),
    "show": Command(LOOK, f"{CLI}.show:show", "Show one document: its fields, where each came from, and its text"),
    "explain": Command(
        LOOK,
        f"{CLI}.explain:explain",
        "Why a page's text is what it is: each block, kept or removed, by which layer and why, and where each field came from",
    ),
    "trace": Command(LOOK, f"{CLI}.explain:trace", "How one address ended, and every step on the way with its time"),
    "export": Command(LOOK, f"{CLI}.export:export", "Write documents with all their fields"),
    "extract": Command(
        LOOK,
        f"{CLI}.extract:extract",
        "Read pages from JSON lines on standard input, write documents as JSON lines to standard output, in the same order",
    ),
    "mcp": Command(
        LOOK,
        f"{CLI}.mcp:mcp",
        "Serve documents to an agent: the Model Context Protocol over standard input and output, started by the agent's program",
    ),
    "crawler": Command(RUN, f"{CLI}.processes:crawler", "Run one crawler: it leases hosts with due URLs and fetches them politely"),
    "worker": Command(RUN, f"{CLI}.processes:worker", "Run workers: they extract archived pages and store documents"),
    "scheduler": Command(
        RUN, f"{CLI}.processes:scheduler", "Run the scheduler: it makes sources come due and enqueues pending segments again"
    ),
    "web": Command(RUN, f"{CLI}.web:web", "Serve the pages and the HTTP API"),
    "health": Command(
        RUN,
        f"{CLI}.processes:health",
        "Exit 0 if a process with this ROLE is alive on this machine; for container health checks",
    ),
    "retry": Command(CARE, f"{CLI}.maintenance:retry", "Open ended addresses again"),
    "doctor": Command(CARE, f"{CLI}.doctor:doctor", "Check ledger, archive and documents against one another"),
    "backup": Command(CARE, f"{CLI}.doctor:backup", "Copy the embedded store into FOLDER while everything runs"),
    "quarantine": Command(
        CARE, f"{CLI}.maintenance:quarantine", "Pages whose reading killed the process three times, or took longer than its limit"
    ),
    "db": Command(CARE, f"{CLI}.maintenance:db", "The database's schema"),
    "token": Command(CARE, f"{CLI}.web:token", "Who may use the API and the pages"),
}


class LazyCommands(MutableMapping[str, Any]):
    """COMMANDS as the mapping of names to commands that Typer expects; a lookup imports the command's module."""

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
    """Import a command's module, and make of the function or Typer in it what Typer calls."""
    module, _, attribute = command.target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    holder = typer.Typer(rich_markup_mode=None, add_completion=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name, context_settings={"ignore_unknown_options": command.takes_minus})(found)
    return typer.main.get_group(holder).commands[name]
