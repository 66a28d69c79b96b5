"""`newsmill mcp`: the Model Context Protocol server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import newsmill
from newsmill import mcp_server
from newsmill.cli.terminal import note


def mcp(
    location: Annotated[
        str | None,
        typer.Argument(
            metavar="[PLACE]", help="A data folder, a database URL or the URL of a Newsmill server; default: the current store."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", envvar="NEWSMILL_TOKEN", show_envvar=True, help="Access token of the server. Other users can see the command line."
        ),
    ] = None,
) -> None:
    """Serve documents to an agent with the Model Context Protocol over standard input and output. The agent's program starts it.

    Its tools only read: search, read, what_is_new, sources.
    """
    with newsmill.open(location, token=token) as corpus:
        if sys.stdin.isatty():
            note("waiting for requests on standard input; an agent's program starts this command (docs/reference/mcp.md); stop with Ctrl-C")
        mcp_server.serve(corpus)
