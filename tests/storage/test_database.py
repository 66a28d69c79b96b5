"""The engine, its transactions, and the schema's version."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import services
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from rows import NOON, SITE, Mill, NewDatabase, document_of, good, insert_documents, links
from schemas import filled_by_this_program, upgrade_to
from sqlalchemy import Engine, exc, make_url, text

from newsmill.exceptions import ConfigError, SchemaError, ServiceError
from newsmill.model import Hint, Link
from newsmill.search.indexer import count_pending, index_pending
from newsmill.search.search import Search
from newsmill.storage import clock, database, database_errors, schema_version
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ledger
from newsmill.storage.revisions import Revisions
from newsmill.storage.schema import documents, metadata
from newsmill.text import urls


def test_upgrade_builds_what_the_tables_say(new_database: NewDatabase) -> None:
    engine = database.connect(new_database(empty=True))
    assert schema_version.upgrade(engine) == (None, schema_version.REVISIONS[-1])
    assert schema_version.upgrade(engine) == (schema_version.REVISIONS[-1], schema_version.REVISIONS[-1])
    schema_version.check_schema(engine)
    with engine.connect() as conn:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_ours}
        context = MigrationContext.configure(conn, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_sqlite_does_not_merge_for_the_sake_of_deleted_words(tmp_path: Path) -> None:
    """Such merges damage the index in SQLite 3.46. A database of an earlier version gets the option too."""
    wanted = [0] if sqlite3.sqlite_version_info >= (3, 43) else []  # older versions have no such merges
    engine = database.connect(f"sqlite:///{tmp_path}/a.sqlite")
    option = text("SELECT v FROM search_words_config WHERE k = 'deletemerge'")
    for before in (None, schema_version.REVISIONS[-1]):
        assert schema_version.upgrade(engine) == (before, schema_version.REVISIONS[-1])
        with writing(engine) as conn:
            assert conn.execute(option).scalars().all() == wanted
            conn.execute(text("DELETE FROM search_words_config WHERE k = 'deletemerge'"))
    engine.dispose()


def test_a_damaged_search_index_is_built_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/a.sqlite")
    schema_version.upgrade(engine)
    insert_documents(engine, document_of(f"{SITE}/a", text="The ferry runs all winter."))
    index_pending(engine)
    with writing(engine) as conn:
        conn.execute(text("DELETE FROM search_words_config WHERE k = 'deletemerge'"))
        conn.execute(
            text("UPDATE search_words_data SET block = X'FFFFFFFFFFFFFFFFFFFF' WHERE id = 10")
        )  # FTS5's list of the parts of the index
    engine.dispose()
    schema_version.upgrade(engine)
    assert "built again" in caplog.text and count_pending(engine) == 1
    index_pending(engine)
    with reading(engine) as conn:
        assert conn.execute(text("SELECT count(*) FROM search_words WHERE search_words MATCH 'ferry'")).scalar() == 1
        assert conn.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    engine.dispose()


def is_ours(_item: object, name: str | None, _kind: str, _reflected: bool, _other: object) -> bool:
    """Not SQLite's tables of words, which SQLAlchemy cannot describe, nor the index that stands for them on Postgres."""
    return not (name or "").startswith("search_words") and name != "ix_search_entries_vector"


def test_the_list_of_revisions_is_the_folder_of_migrations() -> None:
    scripts = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == schema_version.REVISIONS


def test_two_processes_may_upgrade_at_once(new_database: NewDatabase) -> None:
    url = new_database(empty=True)
    program = (
        "import sys; from newsmill.storage import database, schema_version; print(schema_version.upgrade(database.connect(sys.argv[1])))"
    )
    runs = [subprocess.Popen([sys.executable, "-W", "error", "-c", program, url], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    output = sorted(run.communicate()[0].strip() for run in runs)
    last = schema_version.REVISIONS[-1]
    assert output == [f"('{last}', '{last}')", f"('{last}', '{last}')", f"(None, '{last}')"]


def test_an_upgrade_that_fails_half_way_leaves_nothing(new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = database.connect(new_database(empty=True))
    real = schema_version._run_migrations

    def fail(conn: object) -> None:
        real(conn)  # type: ignore[arg-type]
        raise RuntimeError("power off")

    monkeypatch.setattr(schema_version, "_run_migrations", fail)
    with pytest.raises(RuntimeError):
        schema_version.upgrade(engine)
    with reading(engine) as conn:
        assert not conn.dialect.has_table(conn, "ledger")
        assert schema_version.revision(conn) is None
    engine.dispose()


def test_a_later_migration_runs_on_a_database_that_is_in_use(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(new_database(empty=True))
    schema_version.upgrade(engine)
    Ledger(engine).links.add(links(2), now=NOON)
    folder = tmp_path / "migrations"
    shutil.copytree(Path(database.__file__).parent / "migrations", folder)
    last = schema_version.REVISIONS[-1]
    (folder / "versions" / "9000_note.py").write_text(LATER_MIGRATION.format(last=last))
    monkeypatch.setattr(schema_version, "MIGRATIONS", str(folder))
    monkeypatch.setattr(schema_version, "REVISIONS", (*schema_version.REVISIONS, "9000"))
    with pytest.raises(SchemaError, match=f"is at revision {last} and this program needs revision 9000; run `newsmill db upgrade`"):
        schema_version.check_schema(engine)
    assert schema_version.upgrade(engine) == (last, "9000")
    schema_version.check_schema(engine)
    with reading(engine) as conn:
        assert conn.execute(text("SELECT count(*) FROM ledger WHERE note = 'new'")).scalar() == 2
    assert Ledger(engine).progress.count().pages == 2
    engine.dispose()


def test_a_document_of_an_older_program_gets_revisions_from_its_next_change_on(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(new_database(empty=True))
    upgrade_to("0002", engine, tmp_path, monkeypatch)
    mill = Mill(Ledger(engine))
    with monkeypatch.context() as patch, filled_by_this_program(engine):
        patch.setattr("newsmill.storage.ledger.takedown_check.is_any_barred", lambda conn: False)
        patch.setattr("newsmill.storage.ledger.barred_urls.find_barred", lambda conn, keys: {})
        patch.setattr("newsmill.storage.revisions.keep_replaced", lambda conn, rows: None)
        patch.setattr("newsmill.search.indexer.write_codes", lambda conn, entries: None)
        patch.setattr("newsmill.search.indexer.restore_copy_groups", lambda conn, ids: None)
        (claim,) = mill.fetch(*links(1))
        mill.store(good(claim))
        mill.ledger.links.add(links(1), now=mill.now, again=True)
        (claim,) = mill.claim(mill.save(mill.lease()))
        mill.store(good(claim, document_of(claim.url, text="the second text", archive_ref=None)))
    assert schema_version.upgrade(engine) == ("0002", schema_version.REVISIONS[-1])
    document_id = document_of(claim.url).id
    page = Revisions(engine).page(document_id, limit=10)
    assert page is not None and [(one.revision, one.previous, one.cause) for one in page[0]] == [(2, None, None)]
    mill.ledger.links.add(links(1), now=mill.now, again=True)
    (claim,) = mill.claim(mill.save(mill.lease()))
    mill.store(good(claim, document_of(claim.url, text="the third text", archive_ref=None)))
    page = Revisions(engine).page(document_id, limit=10)
    assert page is not None and [(one.revision, one.previous) for one in page[0]] == [(3, 2), (2, None)]
    assert (found := Revisions(engine).get(document_id, 2)) is not None and found.text == "the second text"
    assert Revisions(engine).get(document_id, 1) is None
    engine.dispose()


def test_documents_with_letters_that_are_folded_anew_are_indexed_again(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(new_database(empty=True))
    upgrade_to("0001", engine, tmp_path, monkeypatch)
    texts = ["A plain text.", "كتاب", "Ёлка", "ﾆｭｰｽ", "בית־ספר", "Žluťoučký kůň"]
    with monkeypatch.context() as patch, filled_by_this_program(engine):
        patch.setattr("newsmill.storage.ledger.takedown_check.is_any_barred", lambda conn: False)
        patch.setattr("newsmill.storage.ledger.barred_urls.find_barred", lambda conn, keys: {})
        Ledger(engine).links.add(links(len(texts)), now=NOON)
        with writing(engine) as conn:
            for number, written in enumerate(texts, 1):
                row = to_row(document_of(f"{SITE}/{number}", text=written, title=None, description=None, section=None))
                conn.execute(documents.insert(), row | {"ledger_id": number, "site": "paper.example", "stored_at": NOON})
            conn.execute(text("DELETE FROM search_pending"))
            pending = {urls.make_key(f"{SITE}/{number}") for number in (2, 3, 4, 5)}
            conn.execute(text("INSERT INTO search_pending (document_id) VALUES (:id)"), {"id": min(pending)})
    assert schema_version.upgrade(engine) == ("0001", schema_version.REVISIONS[-1])
    with reading(engine) as conn:
        assert set(conn.execute(text("SELECT document_id FROM search_pending")).scalars()) >= pending
    while index_pending(engine):
        pass
    assert {hit.url for hit in Search(engine).search("كتاب OR елка OR ニュー OR ספר").hits} == {
        f"{SITE}/{number}" for number in (2, 3, 4, 5)
    }
    engine.dispose()


LATER_MIGRATION = """
from alembic import op
from sqlalchemy import Column, Text

revision = "9000"
down_revision = "{last}"


def upgrade():
    op.add_column("ledger", Column("note", Text(), server_default="new"))
"""


def test_an_empty_and_an_unknown_schema_are_refused_with_a_sentence(new_database: NewDatabase) -> None:
    engine = database.connect(new_database(empty=True))
    with pytest.raises(SchemaError, match=r"the database is empty .* run `newsmill db upgrade`"):
        schema_version.check_schema(engine)
    schema_version.upgrade(engine)
    with writing(engine) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refuses in (schema_version.check_schema, schema_version.upgrade):
        with pytest.raises(
            SchemaError, match=r"at revision 9999, which this program .* does not know; install the version of Newsmill that upgraded it"
        ):
            refuses(engine)
    engine.dispose()


def test_the_check_of_the_schema_opens_no_virtual_table(tmp_path: Path) -> None:
    """SQLite cannot open one while another process changes it; here its module is missing."""
    path = tmp_path / "newsmill.sqlite"
    engine = database.connect(f"sqlite:///{path}")
    schema_version.upgrade(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA writable_schema = ON")
        broken = "CREATE VIRTUAL TABLE broken USING missing(x)"
        conn.execute("INSERT INTO sqlite_master VALUES ('table', 'broken', 'broken', 0, ?)", (broken,))
        conn.commit()
    engine = database.connect(f"sqlite:///{path}")
    schema_version.check_schema(engine)
    engine.dispose()


def test_a_store_of_a_development_version_of_the_same_revision_is_refused(new_database: NewDatabase) -> None:
    engine = database.connect(new_database(empty=True))
    schema_version.upgrade(engine)
    with writing(engine) as conn:
        conn.execute(text("DROP TABLE backfills"))
        conn.execute(text("ALTER TABLE saved_searches DROP COLUMN looked_at"))
    with pytest.raises(
        SchemaError, match=rf"lacks backfills\.source and 9 other columns of revision {schema_version.REVISIONS[-1]}: .* new data folder"
    ):
        schema_version.check_schema(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://u:secret@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////dev/null/x/y.db",
        "postgresql://u:secret@h:port/d",
        "postgresql://u:secret@secret@h/d",
        "postgresql://u:secret@secret/secret@h/d",
    ],
)
def test_a_wrong_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as refused:
        database.connect(url)
    assert "secret" not in str(refused.value)


def test_a_transaction_that_raises_writes_nothing(engine: Engine) -> None:
    with pytest.raises(KeyError), writing(engine) as conn:
        conn.execute(text("INSERT INTO hosts (host, leased_at) VALUES ('a', '2026-11-25 12:00:00')"))
        raise KeyError
    with reading(engine) as conn:
        assert conn.execute(text("SELECT count(*) FROM hosts")).scalar() == 0


def test_the_clock_is_aware(engine: Engine) -> None:
    assert clock.read_clock(engine).utcoffset() is not None


def test_a_naive_time_is_a_bug(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="naive"):
        ledger.url_leases.expire(now=NOON.replace(tzinfo=None))


def test_text_from_outside_cannot_break_the_store(ledger: Ledger) -> None:
    """NUL and lone surrogates: Postgres refuses the first, both drivers the second."""
    hint = Hint(title="\0\udfff", tags=("\0", "\ud83d\ude00"))
    ledger.links.add([Link("http://[bad\0\ud800", found_by="manual", found_on="\ud800a\0b"), Link(f"{SITE}/1", hint=hint)], now=NOON)
    found = ledger.traces.get("http://[bad\0\ud800")
    assert found is not None and found.url == "http://[bad\ufffd" and found.found_on == "\ufffdab"
    assert Mill(ledger).lease()[0].hint == Hint(title="\ufffd", tags=("", "\ufffd\ufffd"))


# ---- a database in trouble -----------------------------------------------------------------------------------------------------


def test_a_locked_sqlite_is_a_sentence_after_the_busy_timeout(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/x.db", busy_seconds=0.2)
    schema_version.upgrade(engine)
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ledger = Ledger(engine)
    with pytest.raises(ServiceError, match="another process held the write lock"):
        ledger.links.add(links(1), now=NOON)
    assert ledger.progress.count().pages == 0  # readers are not locked out
    holder.execute("ROLLBACK")
    holder.close()
    assert ledger.links.add(links(1), now=NOON).new == 1
    engine.dispose()


def test_sqlite_writers_wait_for_each_other(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/x.db", busy_seconds=30)
    schema_version.upgrade(engine)
    ledger = Ledger(engine)
    with ThreadPoolExecutor(4) as pool:
        added = pool.map(lambda number: ledger.links.add(links(20, f"https://s{number}.example"), now=NOON).new, range(40))
    assert sum(added) == 800 == ledger.progress.count().pages
    engine.dispose()


def test_a_full_disk_is_a_sentence_and_harms_nothing(tmp_path: Path) -> None:
    """A limit on file size stands in for the full disk; Linux tells both apart only by errno, SQLite not at all."""
    url = f"sqlite:///{tmp_path}/x.db"
    engine = database.connect(url)
    schema_version.upgrade(engine)
    Ledger(engine).links.add(links(10), now=NOON)
    engine.dispose()
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    output = subprocess.run(
        [sys.executable, "-c", FILL, url, str(size + 100_000)], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    assert output.returncode == 0, output.stderr
    assert re.search(r"ServiceError database .*: .*(disk|full).*; what was being written is not stored", output.stdout)
    before = int(output.stdout.split()[-1])
    engine = database.connect(url)
    with reading(engine) as conn:
        assert conn.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        assert conn.execute(text("SELECT count(*) FROM ledger")).scalar() == before
    assert Ledger(engine).links.add(links(10, "https://later.example"), now=NOON).new == 10
    engine.dispose()


FILL = """
import resource, sys
from newsmill.exceptions import ServiceError
from newsmill.storage import database
from newsmill.storage.documents import to_row
from newsmill.storage.ledger import Ledger
from newsmill.storage.revisions import Revisions
from rows import NewDatabase, NOON, links
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
ledger = Ledger(database.connect(sys.argv[1]))
try:
    for number in range(10_000):
        ledger.links.add(links(100, f"https://s{number}.example"), now=NOON)
except ServiceError as error:
    print("ServiceError", error)
print(ledger.progress.count().pages)
"""


def test_a_postgres_that_is_away_is_a_sentence() -> None:
    for url in ("postgresql://nobody:secret@127.0.0.1:1/none", "postgresql://127.0.0.1:1/none?user=nobody&password=secret"):
        engine = database.connect(url)
        with pytest.raises(ServiceError, match=r"database postgresql\S+//\S*127.0.0.1:1/none\S*: .*check that the database is up") as away:
            Ledger(engine).sources.list_all()
        assert "secret" not in str(away.value)


def test_a_limit_of_postgres_is_named_with_its_setting(postgres_url: str) -> None:
    """An account gets a limit of one connection, or a timeout shorter than its statement."""
    server = database.connect(postgres_url)
    url = make_url(postgres_url).set(username="newsmill_limited")
    with writing(server) as conn:
        conn.execute(text("DROP ROLE IF EXISTS newsmill_limited"))
        conn.execute(text("CREATE ROLE newsmill_limited LOGIN CONNECTION LIMIT 1"))
    first, second = (database.connect(url.render_as_string(False)) for _ in range(2))
    with (
        reading(first),
        pytest.raises(ServiceError, match=r"too many connections .*: raise max_connections of Postgres or"),
        reading(second),
    ):
        pass
    first.dispose()
    with reading(server) as conn:
        is_used = text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'newsmill_limited'")
        end = time.monotonic() + services.WAIT
        while conn.execute(is_used).scalar() and time.monotonic() < end:  # a server notices the end of a connection after the client
            time.sleep(0.01)
    with pytest.raises(ServiceError, match=r"statement timeout: .*; raise statement_timeout of the account"), writing(second) as conn:
        conn.execute(text("SET LOCAL statement_timeout = '10ms'"))
        conn.execute(text("SELECT pg_sleep(10)"))
    second.dispose()
    with writing(server) as conn:
        conn.execute(text("DROP ROLE newsmill_limited"))
    server.dispose()


def test_a_process_frozen_in_its_transaction_loses_its_locks(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "IDLE_TRANSACTION_SECONDS", 0.2)
    frozen, other = database.connect(postgres_url), database.connect(postgres_url)
    lock = text("SELECT pg_advisory_xact_lock(7)")
    try:
        with pytest.raises(ServiceError, match="idle-in-transaction"), writing(frozen) as conn:
            conn.execute(lock)
            with writing(other) as conn_of_other:
                conn_of_other.execute(text("SET LOCAL lock_timeout = '5s'"))
                conn_of_other.execute(lock)
            conn.execute(lock)
        with writing(frozen) as conn:
            conn.execute(lock)
    finally:
        frozen.dispose()
        other.dispose()


def test_a_failover_is_over_when_a_server_accepts_changes(postgres_url: str) -> None:
    """A connection to the server that became a standby answers every ping, and refuses every change."""
    server = database.connect(postgres_url)
    url = make_url(postgres_url).set(username="newsmill_failover")
    with writing(server) as conn:
        conn.execute(text("create role newsmill_failover login superuser"))
        conn.execute(text("alter role newsmill_failover set default_transaction_read_only = on"))
    engine = database.connect(url.render_as_string(hide_password=False))
    try:
        with pytest.raises(ServiceError, match="the server accepts no changes"), writing(engine) as conn:
            conn.execute(text("create table failover (id int)"))
        with writing(server) as conn:
            conn.execute(text("alter role newsmill_failover reset default_transaction_read_only"))
        with writing(engine) as conn:
            conn.execute(text("create table failover (id int)"))
            conn.execute(text("drop table failover"))
    finally:
        engine.dispose()
        with writing(server) as conn:
            conn.execute(text("drop role newsmill_failover"))
        server.dispose()


@pytest.mark.parametrize("option", ["pool_size=5", "prepare_threshold=0", "connect_timeout=5&sslmodes=require"])
def test_an_option_that_postgres_lacks_is_refused(option: str) -> None:
    with pytest.raises(
        ConfigError, match=r"DATABASE_URL has an unknown option '(pool_size|prepare_threshold|sslmodes)'; expected options of"
    ):
        database.connect(f"postgresql://news:secret@127.0.0.1:1/none?{option}")
    database.connect("postgresql://127.0.0.1:1/none?user=news&password=secret&connect_timeout=5&host=a&host=b").dispose()


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (
            'could not extend file "a": No space left on device\nHINT:  Check free disk space.',
            "the disk of the database server is full",
        ),
        (
            'connection failed: FATAL:  password authentication failed for user "news"',
            "the account or the password in DATABASE_URL is wrong",
        ),
    ],
)
def test_the_message_about_a_server_names_the_remedy(message: str, hint: str) -> None:
    engine = database.connect("postgresql://news:secret@127.0.0.1:1/none")
    with pytest.raises(ServiceError, match=rf"none: .*{hint}") as caught, database_errors.translate_errors(engine):
        raise exc.OperationalError("SELECT 1", {}, Exception(message))
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_account_without_rights_is_a_sentence(postgres_url: str) -> None:
    """The tables belong to one account, and another with a typing error in its GRANT runs the processes."""
    url = make_url(services.make_database(postgres_url, "newsmill_rights"))
    engine, stranger = database.connect(url.render_as_string(False)), url.set(username="newsmill_stranger")
    with writing(engine) as conn:
        conn.execute(text("DROP ROLE IF EXISTS newsmill_stranger"))
        conn.execute(text("CREATE ROLE newsmill_stranger LOGIN"))
    without_rights = database.connect(stranger.render_as_string(False))
    with pytest.raises(
        ServiceError, match="permission denied for schema public: the account in DATABASE_URL lacks a right; make it the owner"
    ):
        schema_version.upgrade(without_rights)
    schema_version.upgrade(engine)
    for refused in (schema_version.check_schema, lambda engine: Ledger(engine).sources.list_all()):
        with pytest.raises(
            ServiceError, match=r"permission denied for table .*: the account in DATABASE_URL lacks a right; make it the owner"
        ):
            refused(without_rights)
    without_rights.dispose()
    with writing(engine) as conn:
        conn.execute(text("DROP ROLE newsmill_stranger"))
    engine.dispose()


def expect_refusal(url: str, message: str) -> None:
    engine = database.connect(url)
    for refuses in (schema_version.check_schema, schema_version.upgrade):
        with pytest.raises(ServiceError, match=message):
            refuses(engine)
    engine.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_postgres_database_without_utf8_is_refused(postgres_url: str, encoding: str) -> None:
    url = services.make_database(postgres_url, "newsmill_encoding")
    server = database.connect(postgres_url)
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("DROP DATABASE newsmill_encoding"))
        conn.execute(text(f"CREATE DATABASE newsmill_encoding TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"))
    server.dispose()
    expect_refusal(url, f"newsmill_encoding.*: its encoding is {encoding}, .*; create it with CREATE DATABASE")


def test_an_old_postgres_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_version, "MIN_POSTGRES_VERSION", 1000)
    expect_refusal(postgres_url, r"Postgres \d+ is too old; install version 1000 or newer")


def test_the_locale_of_the_client_does_not_matter(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    engine = database.connect(postgres_url)
    with reading(engine) as conn:
        assert conn.execute(text("SELECT :title"), {"title": "\u65b0\u805e"}).scalar() == "\u65b0\u805e"
    engine.dispose()


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database at all, but long enough to be read as a header of one\n" * 20)
    with pytest.raises(ServiceError, match="not an SQLite database"):
        schema_version.upgrade(database.connect(f"sqlite:///{tmp_path}/x.db"))


def test_a_database_without_schema_is_a_sentence(new_database: NewDatabase) -> None:
    engine = database.connect(new_database(empty=True))
    with pytest.raises(ServiceError, match="run `newsmill db upgrade`"):
        Ledger(engine).sources.list_all()
    engine.dispose()


def test_the_clock_of_a_process_is_that_of_the_database_and_goes_on_without_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    process_clock, passed = clock.Clock(engine), [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: passed[0])
    before, at, after = clock.read_clock(engine), process_clock(), clock.read_clock(engine)
    assert before <= at <= after
    if engine.dialect.name == "sqlite":
        return  # this machine's clock is all there is
    passed[0] = 1.0
    assert process_clock() - at == timedelta(seconds=1), "Postgres is not queried each time"

    def away(_: Engine) -> datetime:
        raise ServiceError("away")

    passed[0] = 3600.0
    monkeypatch.setattr(clock, "read_clock", away)
    assert process_clock() - at == timedelta(hours=1)
    assert abs(clock.Clock(engine)() - datetime.now(UTC)) < timedelta(minutes=1), "without a query it takes this machine's time"
