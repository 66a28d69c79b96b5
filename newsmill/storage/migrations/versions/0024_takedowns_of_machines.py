"""The takedowns that each process has applied to the files of its machine; and the time until which a removed document was stored.

Until now, a document that was not stored again had the end of all times there, and a time after its takedown counted as one before it.
"""

from datetime import UTC, datetime

from alembic import op
from sqlalchemy import Column, Integer, bindparam, text

from newsmill.storage.columns import UtcDateTime

revision = "0024"
down_revision = "0023"

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
REMOVED_AT = "(SELECT removed_at FROM removed_documents WHERE removed_documents.id = past_takedowns.document_id)"
SET_END = f"UPDATE past_takedowns SET valid_until = {REMOVED_AT} WHERE valid_until = :forever AND {REMOVED_AT} IS NOT NULL"  # noqa: S608


def upgrade() -> None:
    op.add_column("processes", Column("takedowns", Integer(), nullable=True))
    op.get_bind().execute(text(SET_END).bindparams(bindparam("forever", FOREVER, type_=UtcDateTime())))
