"""The stories, and every page to be decided, which the scheduler does in small transactions, the newest first."""

from alembic import op
from sqlalchemy import Boolean, Column, Integer, LargeBinary, PrimaryKeyConstraint, String, text

from newsmill.storage.columns import Id, StorableText, UtcDateTime

revision = "0017"
down_revision = "0016"

IN_STORY = text("story_id IS NOT NULL")
# A new or removed document, text or time is noted with the decision on its copies.
FIELDS = ("title", "language")
CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in FIELDS)
OLD_VALUES, NEW_VALUES = (", ".join(f"{row}.{name}" for name in FIELDS) for row in ("OLD", "NEW"))
NOTE = "INSERT INTO stories_due (ledger_id) VALUES (new.ledger_id) ON CONFLICT (ledger_id) DO UPDATE SET ledger_id = excluded.ledger_id"

SQLITE = (f"CREATE TRIGGER stories_changed AFTER UPDATE OF {', '.join(FIELDS)} ON documents WHEN {CHANGED} BEGIN {NOTE}; END",)
# DO UPDATE, not DO NOTHING: as for copies in 0012.
POSTGRES = (
    f"CREATE FUNCTION newsmill_stories_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN NULL; END $$",
    f"""CREATE TRIGGER stories_changed AFTER UPDATE ON documents FOR EACH ROW
    WHEN (({OLD_VALUES}) IS DISTINCT FROM ({NEW_VALUES})) EXECUTE FUNCTION newsmill_stories_changed()""",
)


def upgrade() -> None:
    op.create_table(
        "story_texts",
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        Column("second", Id, nullable=False),
        Column("terms", LargeBinary(), nullable=False),
        Column("component", Id, nullable=False),
        Column("story_id", Id, nullable=True),
        PrimaryKeyConstraint("ledger_id", name="pk_story_texts"),
    )
    op.create_index("ix_story_texts_component", "story_texts", ["component"])
    op.create_index("ix_story_texts_story", "story_texts", ["story_id"], sqlite_where=IN_STORY, postgresql_where=IN_STORY)
    op.create_table(
        "story_terms",
        Column("term", Id, autoincrement=False, nullable=False),
        Column("second", Id, autoincrement=False, nullable=False),
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        PrimaryKeyConstraint("term", "second", "ledger_id", name="pk_story_terms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stories",
        Column("id", Id, autoincrement=True, nullable=False),
        Column("title", StorableText(), nullable=True),
        Column("first_second", Id, nullable=False),
        Column("last_second", Id, nullable=False),
        Column("documents", Integer(), nullable=False),
        Column("texts", Integer(), nullable=False),
        Column("sources", Integer(), nullable=False),
        Column("merged_into", Id, nullable=True),
        PrimaryKeyConstraint("id", name="pk_stories"),
    )
    op.create_index("ix_stories_newest", "stories", ["last_second", "id"])
    op.create_index("ix_stories_sources", "stories", ["sources", "id"])
    op.create_table(
        "story_links",
        Column("one", Id, autoincrement=False, nullable=False),
        Column("other", Id, autoincrement=False, nullable=False),
        Column("is_same", Boolean(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("user_name", StorableText(), nullable=False),
        PrimaryKeyConstraint("one", "other", name="pk_story_links"),
    )
    op.create_table(
        "story_events",
        Column("id", Id, autoincrement=True, nullable=False),
        Column("at", UtcDateTime(), nullable=False),
        Column("kind", String(length=16), nullable=False),
        Column("story_id", Id, nullable=False),
        Column("other_id", Id, nullable=True),
        Column("user_name", StorableText(), nullable=True),
        PrimaryKeyConstraint("id", name="pk_story_events"),
    )
    op.create_index("ix_story_events_story", "story_events", ["story_id"])
    op.create_index("ix_story_events_other", "story_events", ["other_id"])
    op.create_table(
        "stories_due",
        Column("ledger_id", Id, autoincrement=False, nullable=False),
        PrimaryKeyConstraint("ledger_id", name="pk_stories_due"),
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)
    op.execute("INSERT INTO stories_due (ledger_id) SELECT DISTINCT ledger_id FROM documents")
