"""What the web door gets from the house: everything open, nothing global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newsmill.keep.archive import Archive
    from newsmill.keep.documents import Documents
    from newsmill.keep.ledger import Ledger
    from newsmill.keep.profiles import Profiles


@dataclass(frozen=True)
class House:
    """Handed to `app.create_app` by whoever opened the store. `now` gives the time, aware UTC."""

    ledger: Ledger
    documents: Documents
    archive: Archive
    profiles: Profiles
    now: Callable[[], datetime]
