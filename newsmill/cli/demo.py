"""`newsmill demo`: the small newspaper that ships with Newsmill goes in, documents come out, and nothing leaves this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """See it work in a few seconds: a small newspaper is served on this machine, crawled, cleaned and stored. Needs no network.

    Everything is kept in ./newsmill-data, so that all other commands can be tried on it afterwards.
    """
