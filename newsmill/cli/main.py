"""The `newsmill` command: the name, place and order of every command. The work is in the modules beside this one.

Modules of this folder import only typer and the standard library at their top, so that `newsmill --help` is instant; a test keeps it so.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from newsmill import __version__
from newsmill.cli import care, crawl, demo, doctor, explain, export, extract, mcp, run, search, show, sources, status, submit, up, web
from newsmill.cli.terminal import printable
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.redaction import redact


class Grouped(TyperGroup):
    """Lists the commands under their headings in plain text: Typer's own boxes cost 0.17 s of CPU in imports (measured)."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        shown: dict[str, Any] = {name: command for name, command in self.commands.items() if not command.hidden}
        width = max(map(len, shown))
        for heading in dict.fromkeys(command.rich_help_panel for command in shown.values()):
            with formatter.section(heading or "Commands"):
                rows = [
                    (name.ljust(width), sentence(command.help)) for name, command in shown.items() if command.rich_help_panel == heading
                ]
                formatter.write_dl(rows)


def sentence(text: str | None) -> str:
    """The first sentence of a command's help."""
    return (text or "").split("\n\n")[0].split(". ")[0].rstrip(".")


app = typer.Typer(
    cls=Grouped,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="News sites go in; a clean, deduplicated, explainable corpus comes out.",
    epilog="New here? Run `newsmill demo`. Everything is kept in ./newsmill-data unless the environment says otherwise (docs/operator.md).",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"newsmill {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None: ...


START, FOLLOW, LOOK, RUN, CARE = "Start here", "What to follow", "Look at what came in", "Run the processes", "Take care"

app.command(rich_help_panel=START)(demo.demo)
app.command(rich_help_panel=START)(crawl.crawl)
app.command(rich_help_panel=START)(up.up)
app.command(rich_help_panel=FOLLOW)(submit.add)
app.command(rich_help_panel=FOLLOW)(submit.submit)
app.add_typer(sources.app, name="sources", rich_help_panel=FOLLOW)
app.command(rich_help_panel=LOOK)(status.status)
app.command(rich_help_panel=LOOK, context_settings={"ignore_unknown_options": True})(search.search)
app.command(rich_help_panel=LOOK)(show.show)
app.command(rich_help_panel=LOOK)(explain.explain)
app.command(rich_help_panel=LOOK)(explain.trace)
app.command(rich_help_panel=LOOK)(export.export)
app.command(rich_help_panel=LOOK)(extract.extract)
app.command(rich_help_panel=LOOK)(mcp.mcp)
app.command(rich_help_panel=RUN)(run.crawler)
app.command(rich_help_panel=RUN)(run.worker)
app.command(rich_help_panel=RUN)(run.scheduler)
app.command(rich_help_panel=RUN)(web.web)
app.command(rich_help_panel=RUN)(run.health)
app.command(rich_help_panel=CARE)(care.retry)
app.add_typer(care.quarantine, name="quarantine", rich_help_panel=CARE)
app.add_typer(care.db, name="db", rich_help_panel=CARE)
app.add_typer(web.token, name="token", rich_help_panel=CARE)
app.command(rich_help_panel=CARE)(doctor.doctor)
app.command(rich_help_panel=CARE)(doctor.backup)


def main() -> None:
    """Run the command. Expected errors are one sentence on stderr: exit 2 when what was asked for is wrong, 1 when it could not be done."""
    try:
        app(prog_name="newsmill")
    except NewsmillError as error:
        _fail(str(error), 2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:  # `newsmill export | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.filename or 'the data folder'}: {error.strerror}", 1)


def _fail(sentence: str, code: int) -> None:
    typer.echo(f"newsmill: {printable(redact(sentence))}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
