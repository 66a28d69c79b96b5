"""The index of word forms by lemma leaves out the words that are their own lemma."""

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"
OTHER_LEMMA = text("lemma <> form")


def upgrade() -> None:
    op.drop_index("ix_search_forms_lemma", "search_forms")
    columns = ["lemma", "lemmatizer", "form"]
    op.create_index("ix_search_forms_lemma", "search_forms", columns, sqlite_where=OTHER_LEMMA, postgresql_where=OTHER_LEMMA)
