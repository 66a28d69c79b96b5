"""The `newsmill` command: its help, its options and its exit codes.

`newsmill --help` imports only typer and the standard library, so that it takes less than 0.3 s of CPU; a test checks it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from newsmill.cli.commands import COMMANDS, LazyCommands
from newsmill.cli.terminal import printable
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.text.redaction import redact
from newsmill.version import __version__

BROKEN_PIPE_CODE = 141  # 128 + SIGPIPE, as a shell reports it


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
