"""The argument that names a source."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill.cli.completion import complete_sources

Name = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=complete_sources, help="Name of the source, as in `newsmill sources list`.")
]
