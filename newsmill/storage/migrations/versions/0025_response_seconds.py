"""The seconds that a host takes for a usual response."""

from alembic import op
from sqlalchemy import Column, Float

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("hosts", Column("response_seconds", Float(), nullable=True))
