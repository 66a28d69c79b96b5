"""Saved searches of stories that many sources carry, and the stories that they have compared."""

from alembic import op
from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String

from newsmill.storage.columns import Id

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("saved_searches", Column("story_sources", Integer()))
    op.create_table(
        "compared_stories",
        Column("search", String(length=16), nullable=False),
        Column("story_id", Id, nullable=False),
        Column("documents", Integer(), nullable=False),
        Column("is_match", Boolean(), nullable=False),
        ForeignKeyConstraint(["search"], ["saved_searches.id"], name="fk_compared_stories_search"),
        PrimaryKeyConstraint("search", "story_id", name="pk_compared_stories"),
    )
