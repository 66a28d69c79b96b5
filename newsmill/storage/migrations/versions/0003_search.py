"""The search index of the documents.

The words of a document are made by the program (search.words); the database's part is to note, whoever writes, which documents have
changed since they were indexed. So a document that an older worker stores during an upgrade is found as well, a little later, and the
documents that are there already are indexed in batches after the upgrade instead of inside its transaction.
"""

import sqlite3

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint, String, UniqueConstraint

from newsmill.storage.columns import Id, StorableText, Vector

revision = "0003"
down_revision = "0002"

# What the index holds of a document, or its time is made of.
INDEXED = [
    *("title", "description", "text", "language", "authors", "source", "section", "url", "is_free"),
    *("published_at", "published_precision", "first_seen_at"),
]
TABLES = {"search_words": "ascii", "search_english": "porter ascii"}


def upgrade() -> None:
    op.create_table(
        "search_entries",
        Column("document_id", String(64), nullable=False),
        Column("moment", Id, nullable=False),
        Column("source", StorableText(), nullable=True),
        Column("stemmer", String(16), nullable=False),
        Column("vector", Vector(), nullable=True),
        PrimaryKeyConstraint("moment", "document_id", name="pk_search_entries"),
        UniqueConstraint("document_id", name="uq_search_entries_document_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_pending", Column("document_id", String(64), nullable=False), PrimaryKeyConstraint("document_id", name="pk_search_pending")
    )
    op.create_table(
        "search_stemmers", Column("stemmer", String(16), nullable=False), PrimaryKeyConstraint("stemmer", name="pk_search_stemmers")
    )
    statements = sqlite() if op.get_bind().dialect.name == "sqlite" else POSTGRES
    for statement in statements:
        op.execute(statement)
    op.execute("INSERT INTO search_pending (document_id) SELECT id FROM documents")


def sqlite() -> list[str]:
    """Without a copy of the words where SQLite can delete without one (3.43, 2023); the search reads both kinds alike."""
    kind = ", content='', contentless_delete=1" if sqlite3.sqlite_version_info >= (3, 43) else ""
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in INDEXED)
    pending = "INSERT OR IGNORE INTO search_pending (document_id) VALUES (new.id)"
    gone = "".join(f"DELETE FROM {name} WHERE rowid = (SELECT moment FROM search_entries WHERE document_id = old.id); " for name in TABLES)
    return [
        *(f"CREATE VIRTUAL TABLE {name} USING fts5(title, lead, body, facets, tokenize='{how}'{kind})" for name, how in TABLES.items()),
        # Eight segments are merged at a time instead of four: 15 % less work per stored page, measured at 50,000 documents.
        *(f"INSERT INTO {name} ({name}, rank) VALUES ('automerge', 8)" for name in TABLES),
        f"CREATE TRIGGER search_new AFTER INSERT ON documents BEGIN {pending}; END",
        f"CREATE TRIGGER search_changed AFTER UPDATE ON documents WHEN {changed} BEGIN {pending}; END",
        f"""CREATE TRIGGER search_gone AFTER DELETE ON documents BEGIN {gone}
        DELETE FROM search_entries WHERE document_id = old.id; DELETE FROM search_pending WHERE document_id = old.id; END""",
    ]


POSTGRES = [
    "CREATE INDEX ix_search_entries_vector ON search_entries USING gin (vector)",
    # DO UPDATE, not DO NOTHING: it waits for whoever is indexing the document's older state, and then notes it anew.
    """CREATE FUNCTION newsmill_search_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO search_pending (document_id) VALUES (NEW.id) ON CONFLICT (document_id) DO UPDATE SET document_id = excluded.document_id;
    RETURN NULL; END $$""",
    """CREATE FUNCTION newsmill_search_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM search_entries WHERE document_id = OLD.id;
    DELETE FROM search_pending WHERE document_id = OLD.id;
    RETURN NULL; END $$""",
    "CREATE TRIGGER search_new AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_search_changed()",
    f"""CREATE TRIGGER search_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (({", ".join(f"OLD.{name}" for name in INDEXED)}) IS DISTINCT FROM ({", ".join(f"NEW.{name}" for name in INDEXED)}))
    EXECUTE FUNCTION newsmill_search_changed()""",
    "CREATE TRIGGER search_gone AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_search_gone()",
]
