"""The pushes of WebSub as the crawler reads them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine

from newsmill.storage import websub
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import url_endings
from newsmill.storage.ledger.url_endings import Ended
from newsmill.storage.websub import Push


class Pushes:
    """The pushes of listings, for the crawler. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record_hub(self, ledger_id: int, hub: str | None, topic: str | None, *, new_pages: int, now: datetime) -> None:
        """Record the hub that a requested feed announces (None: none), and whether pages were on it that were not pushed."""
        with reading(self._engine) as conn:
            if not websub.is_changed(websub.find_of_listing(conn, ledger_id), hub, topic, new_pages):
                return
        with writing(self._engine) as conn:
            websub.record(conn, ledger_id, hub, topic, new_pages, now)

    def list_unread(self, ledger_id: int) -> list[Push]:
        """The pushes of a listing that were not read yet, oldest first."""
        with reading(self._engine) as conn:
            return websub.list_pushes(conn, ledger_id)

    def drop(self, ids: Sequence[int]) -> None:
        """Delete pushes that cannot be used."""
        with writing(self._engine) as conn:
            websub.delete_pushes(conn, ids)

    def end_listing(self, ended: Ended, ids: Sequence[int], *, now: datetime) -> int:
        """End a leased listing whose pushes were read, and delete these, in one commit. Returns the rows changed."""
        with writing(self._engine) as conn:
            changed = url_endings.end(conn, [ended], now)  # first: like `receive`, it locks the listing before its pushes
            if changed:
                websub.delete_pushes(conn, ids)
            return changed

    def requeue_listing(self, ledger_id: int, *, now: datetime) -> None:
        """Make a listing due again if a push arrived while it was being fetched. Call it when the listing has an outcome."""
        with reading(self._engine) as conn:
            if not websub.has_pushes(conn, ledger_id):
                return
        with writing(self._engine) as conn:
            websub.make_due(conn, ledger_id, now)
