"""Site profiles, and the site of each document."""

from urllib.parse import urlsplit

from alembic import op
from sqlalchemy import Boolean, Column, Float, Integer, MetaData, PrimaryKeyConstraint, Table, bindparam, select, update

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime

revision = "0002"
down_revision = "0001"

BATCH = 1000

documents = Table("documents", MetaData(), Column("id", StorableText), Column("url", StorableText), Column("site", StorableText))


def upgrade() -> None:
    op.create_table(
        "profiles",
        Column("site", StorableText(), nullable=False),
        Column("version", Integer(), autoincrement=False, nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("pages", Integer(), nullable=False),
        Column("fit", Float(), nullable=True),
        Column("since", UtcDateTime(), nullable=True),
        Column("documents", Id, nullable=False),
        Column("applied", Boolean(), nullable=False),
        Column("data", Json(), nullable=False),
        PrimaryKeyConstraint("site", "version", name="pk_profiles"),
    )
    op.add_column("documents", Column("site", StorableText(), nullable=True))
    fill_sites()
    op.create_index("ix_documents_site", "documents", ["site", "id"])
    op.create_index("ix_documents_profile", "documents", ["site", "profile_version", "fetched_at"])


def fill_sites() -> None:
    """The site of every document that is there. Stored addresses are in normal form, so the host needs no further parsing."""
    conn = op.get_bind()
    last = ""
    change = update(documents).where(documents.c.id == bindparam("b_id")).values(site=bindparam("b_site"))
    step = select(documents.c.id, documents.c.url).where(documents.c.id > bindparam("b_last")).order_by(documents.c.id).limit(BATCH)
    while rows := conn.execute(step, {"b_last": last}).all():
        conn.execute(change, [{"b_id": row.id, "b_site": urlsplit(row.url).netloc.lower().removeprefix("www.")} for row in rows])
        last = rows[-1].id
