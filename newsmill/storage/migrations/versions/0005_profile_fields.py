"""How pages of known sites were read, and whether their profile may read them by itself."""

from alembic import op
from sqlalchemy import Boolean, Column, true

from newsmill.storage.columns import Id

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("profiles", Column("fast", Boolean(), nullable=False, server_default=true()))
    for name in ("fast_pages", "unfit_pages", "agreed_pages", "disagreed_pages"):
        op.add_column("profiles", Column(name, Id, nullable=False, server_default="0"))
