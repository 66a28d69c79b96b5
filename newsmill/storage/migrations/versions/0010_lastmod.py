"""The `lastmod` of a sitemap that started the last revisit of a page."""

from alembic import op
from sqlalchemy import Column, text

from newsmill.storage.columns import UtcDateTime

revision = "0010"
down_revision = "0009"
IS_SET = text("modified_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("sightings", Column("modified_at", UtcDateTime(), nullable=True))
    op.create_index("ix_sightings_modified", "sightings", ["modified_at"], sqlite_where=IS_SET, postgresql_where=IS_SET)
