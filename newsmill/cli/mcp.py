"""`newsmill mcp`: the corpus for agents."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import newsmill
from newsmill import mcp_server
from newsmill.cli.terminal import note


def mcp(
    where: Annotated[
        str | None,
        typer.Argument(metavar="[PLACE]", help="A data folder, a database URL or the http(s) address of a Newsmill; this one unless said."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", envvar="NEWSMILL_TOKEN", show_envvar=True, help="For an http(s) address. On a command line others can see it."
        ),
    ] = None,
) -> None:
    """Serve documents to an agent: the Model Context Protocol over standard input and output, started by the agent's program.

    Its tools only read: search, read, what_is_new, sources.
    """
    with newsmill.open(where, token=token) as corpus:
        if sys.stdin.isatty():
            note("waiting for an agent's program on standard input (docs/reference/mcp.md says how one starts this); Ctrl-C ends it")
        mcp_server.serve(corpus)
