"""An index on the confidence of documents: `status` and the page Operations count those that are doubtful."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("ix_documents_confidence", "documents", ["confidence"])
