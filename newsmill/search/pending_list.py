"""GIN's pending list on Postgres, which is emptied between commits."""

from __future__ import annotations

from sqlalchemy import Engine, text

from newsmill.storage.database import reading
from newsmill.storage.dialects import is_sqlite

# With documents of 400 words the list has 4 MB. At a million documents, sorting takes 2.2 ms per document with lists of 48, 1.5 ms with 240
# and 1.4 ms with 480; a mean search takes 20 ms with an empty list, 24 ms with 240 documents in it, 28 ms with 480 (benchmarks/growth.py).
MAX_LISTED_DOCUMENTS = 240

# One process at a time; the others do not wait. Only the index's owner may do it; under another account the list is sorted when it is full.
_CLEAN_LIST = text("""SELECT CASE WHEN pg_try_advisory_xact_lock(:lock) THEN gin_clean_pending_list(oid) END FROM pg_class
WHERE oid = to_regclass('ix_search_entries_vector') AND pg_has_role(relowner, 'USAGE')""")
_LOCK = 0x70656E64696E67  # "pending"


class PendingList:
    """GIN's pending list on Postgres, emptied between commits and never inside one. SQLite has no such list.

    GIN collects the words of new documents in a list that every search reads completely. When the list is full, the transaction that filled
    it sorts the list into the index. Sorting touches one or two index pages per distinct word, so a longer list costs less per document but
    blocks that transaction for longer. Here no transaction waits for it.

    It counts what one process has added to the list. May be shared between threads.
    """

    def __init__(self, engine: Engine, max_documents: int = MAX_LISTED_DOCUMENTS) -> None:
        self._engine, self._max_documents, self._added = engine, max_documents, 0

    def add(self, documents: int) -> None:
        """Count documents that were indexed and committed. After each `max_documents` the list is emptied, in 0.4 s with the default.

        Raises ServiceError; the documents are stored and found all the same.
        """
        if is_sqlite(self._engine):
            return
        self._added += documents
        if self._added >= self._max_documents:
            self._added = 0
            with reading(self._engine) as conn:
                conn.execute(_CLEAN_LIST, {"lock": _LOCK})
