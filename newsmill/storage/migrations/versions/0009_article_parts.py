"""The further pages of an article that were archived with its first page."""

from alembic import op
from sqlalchemy import Column

from newsmill.storage.columns import Json

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("ledger", Column("parts", Json(), nullable=True))
