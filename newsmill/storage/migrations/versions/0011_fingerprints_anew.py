"""Fingerprints are made in another way, by which most documents that only share a band are told apart without their texts.

The numbers of before mean something else, so they go, and all documents are noted: they get new ones in batches after the upgrade. An older
program that still runs would make the old ones. It makes those noted in `fingerprints_pending`, where from now on nothing is; what its
documents are noted in only newer ones know.
"""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint, String

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "fingerprints_due",
        Column("document_id", String(64), nullable=False),
        PrimaryKeyConstraint("document_id", name="pk_fingerprints_due"),
        sqlite_with_rowid=False,
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)
    op.execute("INSERT INTO fingerprints_due (document_id) SELECT id FROM documents")


# As in 0009, but for the table.
DUE = """INSERT INTO fingerprints_due (document_id)
SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM fingerprints_due WHERE document_id = new.id)"""

SQLITE = [
    *(f"DROP TRIGGER fingerprints_{name}" for name in ("new", "changed", "gone")),
    "DELETE FROM fingerprints",
    "DELETE FROM fingerprints_pending",
    f"CREATE TRIGGER fingerprints_new AFTER INSERT ON documents BEGIN {DUE}; END",
    f"""CREATE TRIGGER fingerprints_changed AFTER UPDATE OF text, ledger_id ON documents
    WHEN old.text <> new.text OR old.ledger_id <> new.ledger_id BEGIN {DUE}; END""",
    """CREATE TRIGGER fingerprints_gone AFTER DELETE ON documents BEGIN
    DELETE FROM fingerprints_due WHERE document_id = old.id; DELETE FROM fingerprints WHERE ledger_id = old.ledger_id; END""",
]

POSTGRES = [
    "LOCK TABLE documents IN SHARE ROW EXCLUSIVE MODE",  # whoever is storing is done first, and others store after this
    "TRUNCATE fingerprints_pending, fingerprints",
    """CREATE OR REPLACE FUNCTION newsmill_fingerprint_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fingerprints_due (document_id) VALUES (NEW.id)
    ON CONFLICT (document_id) DO UPDATE SET document_id = excluded.document_id;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.ledger_id <> NEW.ledger_id THEN DELETE FROM fingerprints WHERE ledger_id = OLD.ledger_id; END IF;
    END IF;
    RETURN NULL; END $$""",
    """CREATE OR REPLACE FUNCTION newsmill_fingerprint_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM fingerprints_due WHERE document_id = OLD.id;
    DELETE FROM fingerprints WHERE ledger_id = OLD.ledger_id;
    RETURN NULL; END $$""",
]
