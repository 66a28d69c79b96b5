"""The `newsmill` command: the table of its commands, its help, and its exit codes.

`newsmill --help` imports only typer and the standard library, so that it takes less than 0.3 s of CPU; a test checks it. A command's module
is imported when the command runs or prints its help.
"""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from newsmill.cli.terminal import printable
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.text.redaction import redact
from newsmill.version import __version__

GETTING_STARTED = "Getting started"
SOURCES = "Sources"
DOCUMENTS = "Documents"
PROCESSES = "Processes"
MAINTENANCE = "Maintenance"
BROKEN_PIPE_CODE = 141  # 128 + SIGPIPE, as a shell reports it


@dataclass(frozen=True, slots=True)
class Command:
    """The place of a command, and what `newsmill --help` prints about it."""

    heading: str
    target: str  # "module:name" of a function, or of a typer.Typer with subcommands
    summary: str  # the first sentence of the command's own help; a test compares the two
    accepts_leading_minus: bool = False  # an argument may begin with a minus, as in a query


PACKAGE = "newsmill.cli"
COMMANDS = {
    "demo": Command(GETTING_STARTED, f"{PACKAGE}.crawl:demo", "Try Newsmill: crawl a small newspaper that this machine serves"),
    "crawl": Command(GETTING_STARTED, f"{PACKAGE}.crawl:crawl", "Crawl news sites once and store their articles"),
    "up": Command(GETTING_STARTED, f"{PACKAGE}.processes:up", "Run everything in this terminal: crawler, workers, scheduler and web"),
    "add": Command(SOURCES, f"{PACKAGE}.add:add", "Follow news sites: their feeds, sitemaps and sections are found and read regularly"),
    "submit": Command(SOURCES, f"{PACKAGE}.submit:submit", "Queue single URLs, or the pages of WARC files"),
    "sources": Command(
        SOURCES, f"{PACKAGE}.sources:app", "List, export, poll, pause, resume, rename, remove, check, diagnose and test sources"
    ),
    "backfill": Command(SOURCES, f"{PACKAGE}.backfill:backfill", "Fetch the older articles of a source, behind everything that is new"),
    "status": Command(DOCUMENTS, f"{PACKAGE}.status:status", "Show sources, documents, outcomes, the queue and the size of the archive"),
    "logs": Command(
        PROCESSES,
        f"{PACKAGE}.logs:logs",
        "Show the logs of all processes of the data folder, with one line for each failure, alarm and recovery",
    ),
    "search": Command(DOCUMENTS, f"{PACKAGE}.documents:search", "Search documents", accepts_leading_minus=True),
    "searches": Command(DOCUMENTS, f"{PACKAGE}.searches:searches", "List, add, rename and remove saved searches"),
    "alerts": Command(DOCUMENTS, f"{PACKAGE}.alerts:alerts", "List, add, test, pause, resume and remove alerts on saved searches"),
    "show": Command(DOCUMENTS, f"{PACKAGE}.documents:show", "Show one document: its fields, their provenance and its text"),
    "revisions": Command(
        DOCUMENTS, f"{PACKAGE}.revisions:revisions", "List the revisions of a document, or show one of them or what it changed"
    ),
    "explain": Command(
        DOCUMENTS, f"{PACKAGE}.trace:explain", "Explain the text of a page: each block, kept or removed, by which layer and why"
    ),
    "trace": Command(DOCUMENTS, f"{PACKAGE}.trace:trace", "Show what happened to one URL, step by step"),
    "export": Command(DOCUMENTS, f"{PACKAGE}.export:export", "Export documents with all their fields"),
    "extract": Command(
        DOCUMENTS,
        f"{PACKAGE}.extract:extract",
        "Extract documents from pages: files, folders, WARC files, URLs, or HTML or JSON lines from standard input",
    ),
    "mcp": Command(
        DOCUMENTS, f"{PACKAGE}.documents:mcp", "Serve documents to an agent with the Model Context Protocol over standard input and output"
    ),
    "crawler": Command(
        PROCESSES, f"{PACKAGE}.processes:crawler", "Run one crawler: it leases hosts with due URLs and fetches them politely"
    ),
    "worker": Command(PROCESSES, f"{PACKAGE}.processes:worker", "Run workers: they extract archived pages and store documents"),
    "scheduler": Command(
        PROCESSES, f"{PACKAGE}.processes:scheduler", "Run the scheduler: it makes sources come due and enqueues pending segments again"
    ),
    "web": Command(PROCESSES, f"{PACKAGE}.processes:web", "Serve the web pages and the HTTP API"),
    "health": Command(
        PROCESSES,
        f"{PACKAGE}.health:health",
        "Exit 0 if a process with this ROLE is alive on this machine; for container health checks",
    ),
    "settings": Command(
        MAINTENANCE,
        f"{PACKAGE}.effective_settings:settings",
        "Show the effective settings: value, origin (default, environment or file), and NEWSMILL_ names that no setting has",
    ),
    "retry": Command(MAINTENANCE, f"{PACKAGE}.maintenance:retry", "Requeue finished URLs"),
    "takedowns": Command(
        MAINTENANCE,
        f"{PACKAGE}.takedowns:app",
        "Remove articles at somebody's demand from database, search index and archive, and list what was removed",
    ),
    "doctor": Command(MAINTENANCE, f"{PACKAGE}.maintenance:doctor", "Check that ledger, archive and documents agree"),
    "backup": Command(MAINTENANCE, f"{PACKAGE}.maintenance:backup", "Copy the embedded store into FOLDER while Newsmill runs"),
    "quarantine": Command(MAINTENANCE, f"{PACKAGE}.maintenance:quarantine", "List, retry and drop quarantined pages"),
    "db": Command(MAINTENANCE, f"{PACKAGE}.maintenance:db", "Upgrade and check the schema of the database, and copy the embedded one"),
    "keys": Command(MAINTENANCE, f"{PACKAGE}.maintenance:keys", "Make, list and remove the keys that sign requests (Web Bot Auth)"),
    "token": Command(MAINTENANCE, f"{PACKAGE}.maintenance:token", "Manage access tokens for the API and the web pages"),
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
        holder.command(name, context_settings={"ignore_unknown_options": command.accepts_leading_minus})(target)
    return typer.main.get_group(holder).commands[name]


# ---- the program ---------------------------------------------------------------------------------------------------------------


class LazyGroup(TyperGroup):
    """Lists the commands under their headings as plain text. Typer's boxes cost 0.17 s of CPU in imports (`python -X importtime`)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": LazyCommands()})

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Exits with 141, as after SIGPIPE, when the reader of the output has gone; Click would exit with 1.

        Messages about wrong values lose the prefix that pydantic gives to some.
        """
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # what is short is written now, and not when Python ends
        except BrokenPipeError:  # `newsmill export | head` closes the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE_CODE)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, COMMANDS))
        for heading in dict.fromkeys(command.heading for command in COMMANDS.values()):
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), one.summary) for name, one in COMMANDS.items() if one.heading == heading])


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Newsmill turns news sites into a clean, deduplicated, explainable corpus.",
    epilog="Start with `newsmill demo`. Data is stored in ./newsmill-data; set NEWSMILL_DATA to use another folder.",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"newsmill {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None: ...


def main() -> None:
    """Run the command. An expected error is one sentence on stderr: exit code 2 for wrong input, 1 for a failed operation."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # tests replace it
        sys.stdout.reconfigure(errors="backslashreplace")  # in a locale such as de_DE.ISO-8859-1
    try:
        app(prog_name="newsmill")
    except NewsmillError as error:
        _fail(str(error), 2 if isinstance(error, (ConfigError, UrlError)) else 1)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.filename or 'the output'} cannot be written or read: {error.strerror}", 1)


def open_closed_streams() -> None:
    """Put the null device in place of standard streams that the caller closed, as `newsmill up >&-` does.

    Python has None for such a stream, and the next file that is opened would get its descriptor.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            if null != descriptor:
                os.close(null)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def _fail(sentence: str, code: int) -> None:
    typer.echo(f"newsmill: {printable(redact(sentence))}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
