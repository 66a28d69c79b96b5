"""Real servers for tests, started and stopped by the test run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

WAIT = 30  # seconds a server may take to answer on a busy machine


@contextmanager
def postgres(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a Postgres where databases may be created: NEWSMILL_TEST_POSTGRES, or a temporary cluster of the newest binaries.

    `settings` override those of the temporary cluster, which trade durability for speed.
    """
    given = os.environ.get("NEWSMILL_TEST_POSTGRES")
    if given:
        yield given
        return
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="nm-pg-", dir="/tmp"))  # short: a unix socket's path may have 107 bytes
    user = server_user()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    run_as = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if os.geteuid() == 0 else ["setpriv"]
    # Under LANG=C, a cluster would be SQL_ASCII, which SQLAlchemy does not support.
    make = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run([*run_as, *make], check=True, capture_output=True, cwd=folder)
    options = {
        "listen_addresses": "",
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "60",
        "shared_buffers": "32MB",
        "autovacuum": "off",
    }
    options |= settings or {}
    serve = [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder)]
    serve += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    # The server ends with the test run, however that ends. SIGQUIT stops at once; the data are temporary.
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*run_as, "--pdeathsig", "QUIT", *serve], stdout=log, stderr=log, cwd=folder)
    url = f"postgresql://postgres@/postgres?host={folder}"
    try:
        _wait(url, server, folder / "log")
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(WAIT)
        shutil.rmtree(folder)


@contextmanager
def object_store() -> Iterator[str]:
    """The URL of an S3 server.

    fsspec keeps a client, with the URL of its server, for each set of arguments. None outlives its server, or a later test without
    arguments would get it.
    """
    from moto.server import ThreadedMotoServer  # most tests need neither
    from s3fs import S3FileSystem

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    S3FileSystem.clear_instance_cache()
    try:
        yield f"http://{host}:{port}"
    finally:
        S3FileSystem.clear_instance_cache()
        server.stop()


def make_database(server: str, name: str) -> str:
    """The URL of a new database on a server; `server` is the URL of one of its databases."""
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    head, _, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def find_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.insert(0, Path(on_path).resolve())
    if not found:
        pytest.fail("the tests need a Postgres: `apt-get install postgresql`, or name a server in NEWSMILL_TEST_POSTGRES")
    return found[-1].parent


def server_user() -> str:
    """Postgres refuses to run as root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Postgres did not start:\n{log.read_text()}")
            time.sleep(0.05)


def eventually(condition: Callable[[], bool], seconds: float = 90) -> bool:
    """Whether the condition holds within that time."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
