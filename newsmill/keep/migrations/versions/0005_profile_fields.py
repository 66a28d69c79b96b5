"""What profiles know of fields, and which documents they were applied to."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None: ...
