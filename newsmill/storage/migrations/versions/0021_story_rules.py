"""The rules by which the stories of a store are decided, and how far the pages are noted since they changed."""

from alembic import op
from sqlalchemy import Boolean, Column, Integer, PrimaryKeyConstraint

from newsmill.storage.columns import Id

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "story_rules",
        Column("number", Integer(), nullable=False, autoincrement=False),
        Column("terms_version", Integer(), nullable=False),
        Column("across_languages", Boolean(), nullable=False),
        Column("noted", Id),
        PrimaryKeyConstraint("number", name="pk_story_rules"),
    )
