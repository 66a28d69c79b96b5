"""What recognises a removed article, and its image in the cache of the web pages."""

from alembic import op
from sqlalchemy import Column, String

from newsmill.storage.columns import Json

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("takedowns", Column("evidence", Json(), nullable=True))
    op.add_column("takedowns", Column("image", String(length=32), nullable=True))
