"""What the shell completes in arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from newsmill.exceptions import NewsmillError


def complete_from(values: Iterable[str]) -> Callable[[str], list[str]]:
    """A completion of one of `values`."""
    choices = list(values)

    def complete(incomplete: str) -> list[str]:
        return [value for value in choices if value.startswith(incomplete)]

    return complete


def complete_sources(incomplete: str) -> list[str]:
    """The names of sources that begin so; none where the store cannot be read."""
    # SQL costs 0.3 s of CPU, which only this completion needs
    from newsmill import context, settings

    try:
        with context.open_context(settings.load(), upgrade=False) as store:
            return [source.name for source in store.ledger.sources.list_all() if source.name.startswith(incomplete)]
    except NewsmillError:
        return []


SourceName = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=complete_sources, help="Name of the source, as in `newsmill sources list`.")
]
