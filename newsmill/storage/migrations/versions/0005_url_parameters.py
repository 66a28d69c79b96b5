"""Parameters that a site's pages need. The copies counted so far are forgotten: links of other sites counted too."""

from alembic import op
from sqlalchemy import Boolean, Column, false

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("url_parameters", Column("is_needed", Boolean(), nullable=False, server_default=false()))
    op.execute("UPDATE url_parameters SET copies = 0")
