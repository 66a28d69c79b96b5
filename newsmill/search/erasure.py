"""What the search index keeps of removed documents, and how it goes: rare words in the table of forms, and deleted rows of FTS5.

FTS5 only marks a row as deleted. Its words stay in the index until they are merged with others, which may take years where little changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, Engine, bindparam, delete, text

from newsmill.search.variants import COMPOUNDING
from newsmill.search.word_forms import find_forms
from newsmill.storage.database import writing
from newsmill.storage.dialects import choose, is_sqlite
from newsmill.storage.schema import search_endings

MERGED_PAGES = 200  # of 4 kB in one transaction, which holds the write lock of SQLite for some 0.06 s

_DELETE_FORM = text("DELETE FROM search_forms WHERE form = :word")
_DELETE_ENDING = delete(search_endings).where(search_endings.c.lemmatizer.in_(COMPOUNDING), search_endings.c.ending == bindparam("ending"))
# The statements that find a word, and its form in them; no word has a quotation mark.
_IN_SQLITE = text("SELECT 1 FROM search_words WHERE search_words MATCH :match LIMIT 1"), '"{}"'
_IN_POSTGRES = text("SELECT 1 FROM search_entries WHERE vector @@ CAST(:match AS tsquery) LIMIT 1"), "'{}'"
_MERGE = text("INSERT INTO search_words (search_words, rank) VALUES ('merge', :pages)")
_CHANGES = text("SELECT total_changes()")


def forget_words(conn: Connection, texts: Iterable[str]) -> None:
    """Delete the forms of those words of removed texts that no document has any more. Call it after the documents are deleted."""
    find, quoted = choose(conn, sqlite=_IN_SQLITE, postgres=_IN_POSTGRES)
    for word in sorted({form.word for one in texts for form in find_forms(one, "")}):
        if conn.execute(find, {"match": quoted.format(word)}).first() is None:
            conn.execute(_DELETE_FORM, {"word": word})
            conn.execute(_DELETE_ENDING, {"ending": word[::-1]})


def merge_deleted_words(engine: Engine, on_step: Callable[[], None] = lambda: None) -> None:
    """Rewrite the index of SQLite without deleted rows, in small transactions; Postgres does that in VACUUM and REINDEX.

    May be stopped and repeated; several processes may do so at once. `VACUUM` then removes the words from the file. Raises ServiceError.
    """
    if not is_sqlite(engine):
        return
    pages = -MERGED_PAGES  # the first step joins all parts of the index, the others go on
    while _merge(engine, pages):
        on_step()
        pages = MERGED_PAGES


def _merge(engine: Engine, pages: int) -> bool:
    """One step; whether it found something to do (https://www.sqlite.org/fts5.html#the_merge_command)."""
    with writing(engine) as conn:
        before: int = conn.execute(_CHANGES).scalar_one()
        conn.execute(_MERGE, {"pages": pages})
        after: int = conn.execute(_CHANGES).scalar_one()
    return after - before >= 2
