"""What the counters of all days come to, kept by the database itself, so that nobody adds up years of days to say how far we are."""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint, String

from newsmill.storage.columns import Id, StorableText

revision = "0008"
down_revision = "0006"

MOVE = """INSERT INTO count_totals (source, kind, outcome, n) VALUES ({row}.source, {row}.kind, {row}.outcome, {n})
ON CONFLICT (source, kind, outcome) DO UPDATE SET n = count_totals.n + excluded.n;"""


def upgrade() -> None:
    op.create_table(
        "count_totals",
        Column("source", StorableText(), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("outcome", String(32), nullable=False),
        Column("n", Id, nullable=False),
        PrimaryKeyConstraint("source", "kind", "outcome", name="pk_count_totals"),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:  # who counts meanwhile waits; else it would be in neither the sum nor a trigger
        op.execute("LOCK TABLE counts IN SHARE ROW EXCLUSIVE MODE")
    op.execute("INSERT INTO count_totals (source, kind, outcome, n) SELECT source, kind, outcome, sum(n) FROM counts GROUP BY 1, 2, 3")
    for statement in SQLITE if sqlite else POSTGRES:
        op.execute(statement)


def move(row: str, n: str) -> str:
    return MOVE.format(row=row, n=n)


# A change of a row's key would be a removal and a new row; nobody does that.
SQLITE = [
    f"CREATE TRIGGER counts_new AFTER INSERT ON counts BEGIN {move('new', 'new.n')} END",
    f"CREATE TRIGGER counts_moved AFTER UPDATE OF n ON counts BEGIN {move('new', 'new.n - old.n')} END",
    f"CREATE TRIGGER counts_gone AFTER DELETE ON counts BEGIN {move('old', '-old.n')} END",
]

# Deferred: they run when the transaction commits, when all its counters are written, and for those in the order of the writing. So the
# totals are the last rows a transaction touches, in the order of their key (ledger/counts.py): two may wait, never in a circle.
POSTGRES = [
    f"""CREATE FUNCTION newsmill_counts_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN {move("NEW", "NEW.n")}
    ELSIF TG_OP = 'UPDATE' THEN {move("NEW", "NEW.n - OLD.n")}
    ELSE {move("OLD", "-OLD.n")}
    END IF; RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER counts_moved AFTER INSERT OR UPDATE OR DELETE ON counts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION newsmill_counts_moved()""",
]
