"""GIN's pending list on Postgres: emptied between two commits by whoever has added to it, never inside one.

GIN gathers the words of new documents in a list that every search reads from end to end, and sorts them into the index when the list is
full, in the transaction of whoever filled it. Sorting touches a page or two of the index for each different word, however many documents
have it, so a longer list costs less per document, and keeps everybody waiting for longer who waits for that transaction. Here nobody does.
"""

from __future__ import annotations

from sqlalchemy import Engine, text

from newsmill.storage.database import reading

# Documents of 400 words: a list of 4 MB when it is sorted. Measured at a million documents (benchmarks/README.md): sorting takes 2.2 ms a
# document with 48, 1.5 with 240, 1.4 with 480; a search takes 20 ms with an empty list, 24 with 240 documents in it, 28 with 480.
MAX_LISTED_DOCUMENTS = 240

# One process at a time, and the others do not wait. Only the index's owner may: under another account the list is sorted when it is full.
_CLEAN_LIST = text("""SELECT CASE WHEN pg_try_advisory_xact_lock(:lock) THEN gin_clean_pending_list(oid) END FROM pg_class
WHERE oid = to_regclass('ix_search_entries_vector') AND pg_has_role(relowner, 'USAGE')""")
_LOCK = 0x70656E64696E67  # "pending"


class PendingList:
    """What one process has added to the list. May be shared between threads. SQLite has no such list."""

    def __init__(self, engine: Engine, most: int = MAX_LISTED_DOCUMENTS) -> None:
        self._engine, self._most, self._added = engine, most, 0

    def add(self, documents: int) -> None:
        """Call it after the commit that indexed some documents; after each `most` of them the list is emptied, in 0.4 s with the default.

        Of several processes each empties the list after as many of its own, so there are as many documents to a time as with one. Raises
        ServiceError; what was committed is stored and is found all the same.
        """
        if self._engine.dialect.name != "postgresql":
            return
        self._added += documents
        if self._added >= self._most:
            self._added = 0
            with reading(self._engine) as conn:
                conn.execute(_CLEAN_LIST, {"lock": _LOCK})
