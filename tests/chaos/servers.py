"""Redis and Postgres as servers that may be killed, kept away for a while, and started again on their data."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import psycopg
import redis
import services

from newsmill.queue.embedded_redis import find_server

EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec")


class Server(Protocol):
    process: subprocess.Popen[bytes]

    def start(self) -> None: ...


class Redis:
    """Set up as config/redis.conf has it: a password, append-only file, no eviction."""

    def __init__(self, folder: Path, durability: Sequence[str] = EVERYSEC) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        password = secrets.token_hex(8)
        self.socket = folder / "redis.sock"
        self.url = f"unix://:{password}@{quote(str(self.socket))}"
        options = {"port": "0", "unixsocket": str(self.socket), "unixsocketperm": "700", "dir": str(folder), "requirepass": password}
        options["maxmemory-policy"] = "noeviction"
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.command = ["setpriv", "--pdeathsig", "KILL", find_server(), *words, *durability]
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def limit(self, bytes_: int) -> None:
        """Refuse every write above that much memory; 0 lifts the limit."""
        with self.client() as client:
            client.config_set("maxmemory", bytes_)


class Postgres:
    """A throwaway cluster that survives kills of its processes (not of the machine: no fsync)."""

    def __init__(self, folder: Path) -> None:
        binaries, user = services.find_binaries(), services.server_user()
        self.folder = folder
        folder.mkdir(mode=0o700)
        as_root = os.geteuid() == 0
        if as_root:
            shutil.chown(folder, user)
            folder.parent.chmod(0o711)
        self.run_as = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if as_root else ["setpriv"]
        make = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run([*self.run_as, *make, "--locale=C.UTF-8"], check=True, capture_output=True, cwd=folder)
        options = {"listen_addresses": "", "fsync": "off", "max_connections": "60", "shared_buffers": "64MB"}
        self.command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder)]
        self.command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self.start()
        self.wait()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.run_as, "--pdeathsig", "QUIT", *self.command], stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def wait(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def backends(self) -> list[int]:
        """Processes that serve a Newsmill process."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'newsmill'").fetchall()
        return sorted(pid for (pid,) in rows)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)
