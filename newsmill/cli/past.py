"""The store of a past time in a command: the option, the progress and the notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Annotated

import typer

from newsmill import context
from newsmill.cli.progress import count_progress
from newsmill.cli.terminal import format_count, note, printable
from newsmill.context import AppContext, PastContext
from newsmill.exceptions import ConfigError
from newsmill.storage.frozen_stores import parse_time
from newsmill.storage.past_documents import TakenDown

MAX_LISTED = 20  # documents that were taken down

AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="The documents as they were then: a time with zone, or a day (its beginning, UTC)."),
]


def read_as_of(text: str | None) -> datetime | None:
    """The time of the option. Raises ConfigError."""
    return None if text is None else parse_time(text)


def check_past_options(as_of: datetime | None, refused: dict[str, bool]) -> None:
    """Raise ConfigError for options about what is not in the past."""
    if as_of is not None and (name := next((name for name, is_given in refused.items() if is_given), None)):
        raise ConfigError(f"{name} does not work with --as-of, because marks, stories and later documents are not part of that time")


@contextmanager
def open_past(store: AppContext, at: datetime | None, *, with_index: bool) -> Iterator[PastContext]:
    """The store as it was, with a progress bar while it is made. Notes the documents that were taken down since."""
    with ExitStack() as stack:
        with ExitStack() as bars:
            advance: dict[str, Callable[[int], None]] = {}

            def show(what: str, more: int) -> None:
                if what not in advance:
                    bars.close()  # the one before is complete
                    advance[what] = bars.enter_context(count_progress(f"{what} for that time", total=None))
                advance[what](more)

            past = stack.enter_context(context.open_past(store, at, with_index=with_index, on_progress=show))
        note_taken_down(past.taken_down)
        yield past


def note_taken_down(taken_down: Sequence[TakenDown]) -> None:
    """List the documents of a time that were taken down since, by id and reason."""
    if taken_down:
        note(f"{format_count(len(taken_down), 'document')} of that time taken down since:")
    for one in taken_down[:MAX_LISTED]:
        note(printable(f"  {one.id} ({one.reason})"))
