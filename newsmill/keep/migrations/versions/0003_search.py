"""The search index of the documents."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None: ...
