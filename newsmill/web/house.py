"""What the web door gets from the house: everything open, nothing global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from newsmill.find import urls
from newsmill.keep.archive import Archive
from newsmill.keep.documents import Documents
from newsmill.keep.ledger import Ledger
from newsmill.keep.profiles import Profiles
from newsmill.keep.tokens import Tokens

if TYPE_CHECKING:
    from newsmill.keep.database import Engine


@dataclass(frozen=True)
class House:
    """Handed to `app.create_app` by whoever opened the store. Nothing in it needs Redis but `queue_depth`."""

    engine: Engine  # for the readers of keep/ that are functions, such as processes.alive
    ledger: Ledger
    documents: Documents
    archive: Archive
    profiles: Profiles
    tokens: Tokens
    queue_depth: Callable[[], int | None]  # segments waiting; None: our own Redis is not running. Raises ServiceError
    now: Callable[[], datetime]  # aware, UTC


def open_house(
    engine: Engine,
    archive_url: str,
    *,
    queue_depth: Callable[[], int | None] = lambda: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> House:
    """The house over an engine whose schema was checked."""
    return House(
        engine,
        Ledger(engine, urls),
        Documents(engine, urls),
        Archive(archive_url),
        Profiles(engine),
        Tokens(engine),
        queue_depth,
        now,
    )
