"""The endings of compounds: those of the words that the index has."""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint, String, column, insert, select, table

revision = "0008"
down_revision = "0007"

COMPOUNDING = ("da", "de", "lb", "nb", "nl", "nn", "sv")
BATCH_ROWS = 5000


def upgrade() -> None:
    op.create_table(
        "search_endings",
        Column("lemmatizer", String(length=8), nullable=False),
        Column("ending", String(length=40), nullable=False),
        PrimaryKeyConstraint("lemmatizer", "ending", name="pk_search_endings"),
        sqlite_with_rowid=False,
    )
    forms = table("search_forms", column("form"), column("lemmatizer"))
    endings = table("search_endings", column("lemmatizer"), column("ending"))
    conn = op.get_bind()
    for lemmatizer in COMPOUNDING:
        words = conn.execute(select(forms.c.form).where(forms.c.lemmatizer == lemmatizer).distinct()).scalars().all()
        rows = [{"lemmatizer": lemmatizer, "ending": word[::-1]} for word in words if len(word) >= 8]
        for at in range(0, len(rows), BATCH_ROWS):
            conn.execute(insert(endings), rows[at : at + BATCH_ROWS])
