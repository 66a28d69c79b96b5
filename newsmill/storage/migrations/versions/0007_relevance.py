"""The words of each document as codes, and every document to be indexed again, which the scheduler does in small transactions."""

from alembic import op
from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, String

revision = "0007"
down_revision = "0006"

SQLITE = ("CREATE TRIGGER search_codes_gone AFTER DELETE ON documents BEGIN DELETE FROM search_codes WHERE document_id = old.id; END",)
POSTGRES = (
    "ALTER TABLE search_codes ALTER COLUMN codes SET STORAGE EXTERNAL",  # codes do not compress
    """CREATE FUNCTION newsmill_search_codes_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM search_codes WHERE document_id = OLD.id;
    RETURN NULL; END $$""",
    "CREATE TRIGGER search_codes_gone AFTER DELETE ON documents FOR EACH ROW EXECUTE FUNCTION newsmill_search_codes_gone()",
)


def upgrade() -> None:
    op.create_table(
        "search_codes",
        Column("document_id", String(length=64), nullable=False),
        Column("lemmatizer", String(length=8), nullable=False),
        Column("codes", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("document_id", name="pk_search_codes"),
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)
    op.execute("INSERT INTO search_pending (document_id) SELECT id FROM documents WHERE true ON CONFLICT DO NOTHING")
