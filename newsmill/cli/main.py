"""The `newsmill` command: its options, its help, and its exit codes. commands.py lists the commands.

This module imports only typer and the standard library, so that `newsmill --help` takes less than 0.3 s of CPU; a test checks it.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from newsmill.cli.commands import COMMANDS, LazyCommands
from newsmill.cli.terminal import printable
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.redaction import redact
from newsmill.version import __version__


class LazyGroup(TyperGroup):
    """Lists the commands under their headings as plain text. Typer's boxes cost 0.17 s of CPU in imports (`python -X importtime`)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": LazyCommands()})

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
    try:
        app(prog_name="newsmill")
    except NewsmillError as error:
        _fail(str(error), 2 if isinstance(error, (ConfigError, UrlError)) else 1)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:  # `newsmill export | head` closes the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.filename or 'the output'} cannot be written or read: {error.strerror}", 1)


def _fail(sentence: str, code: int) -> None:
    typer.echo(f"newsmill: {printable(redact(sentence))}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
