"""Fingerprints of the documents' texts, by which (nearly) the same text is found.

They are made by the program (relate.copies); the database notes, whoever writes, which documents have none or an old one. So documents that
are there already get theirs in batches after the upgrade instead of inside its transaction, and so do those an older worker stores.
"""

from alembic import op
from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String

from newsmill.storage.columns import Id

revision = "0009"
down_revision = "0008"

BANDS = [f"band{number}" for number in range(1, 7)]


def upgrade() -> None:
    op.create_table(
        "fingerprints",
        Column("ledger_id", Id, nullable=False, autoincrement=False),
        *(Column(band, Integer(), nullable=False) for band in BANDS),
        PrimaryKeyConstraint("ledger_id", name="pk_fingerprints"),
    )
    for band in BANDS:
        op.create_index(f"ix_fingerprints_{band}", "fingerprints", [band])
    op.create_table(
        "fingerprints_pending",
        Column("document_id", String(64), nullable=False),
        PrimaryKeyConstraint("document_id", name="pk_fingerprints_pending"),
        sqlite_with_rowid=False,
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)
    op.execute("INSERT INTO fingerprints_pending (document_id) SELECT id FROM documents")


# Not INSERT OR IGNORE: in a trigger SQLite goes by the statement that fired it, and the ledger's ON CONFLICT DO UPDATE ignores nothing
# (https://www.sqlite.org/lang_createtrigger.html).
PENDING = """INSERT INTO fingerprints_pending (document_id)
SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM fingerprints_pending WHERE document_id = new.id)"""

SQLITE = [
    f"CREATE TRIGGER fingerprints_new AFTER INSERT ON documents BEGIN {PENDING}; END",
    f"""CREATE TRIGGER fingerprints_changed AFTER UPDATE OF text, ledger_id ON documents
    WHEN old.text <> new.text OR old.ledger_id <> new.ledger_id BEGIN {PENDING}; END""",
    """CREATE TRIGGER fingerprints_moved AFTER UPDATE OF ledger_id ON documents WHEN old.ledger_id <> new.ledger_id
    BEGIN DELETE FROM fingerprints WHERE ledger_id = old.ledger_id; END""",
    """CREATE TRIGGER fingerprints_gone AFTER DELETE ON documents BEGIN
    DELETE FROM fingerprints_pending WHERE document_id = old.id; DELETE FROM fingerprints WHERE ledger_id = old.ledger_id; END""",
]

POSTGRES = [
    # DO UPDATE, not DO NOTHING: it waits for whoever is making the fingerprint of the older text, and then notes the document anew.
    """CREATE FUNCTION newsmill_fingerprint_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fingerprints_pending (document_id) VALUES (NEW.id)
    ON CONFLICT (document_id) DO UPDATE SET document_id = excluded.document_id;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.ledger_id <> NEW.ledger_id THEN DELETE FROM fingerprints WHERE ledger_id = OLD.ledger_id; END IF;
    END IF;
    RETURN NULL; END $$""",
    # In the order in which a fingerprint is made, so that two who do both cannot wait for each other in a circle.
    """CREATE FUNCTION newsmill_fingerprint_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM fingerprints_pending WHERE document_id = OLD.id;
    DELETE FROM fingerprints WHERE ledger_id = OLD.ledger_id;
    RETURN NULL; END $$""",
    "CREATE TRIGGER fingerprints_new AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_fingerprint_changed()",
    """CREATE TRIGGER fingerprints_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (OLD.text IS DISTINCT FROM NEW.text OR OLD.ledger_id <> NEW.ledger_id) EXECUTE FUNCTION newsmill_fingerprint_changed()""",
    "CREATE TRIGGER fingerprints_gone AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_fingerprint_gone()",
]
