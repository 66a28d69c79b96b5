"""Crawlers, workers and schedulers forked from a process that has loaded their code: loading it costs each a second of CPU otherwise.

The tests of the CLI start them as an operator does.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from newsmill.exceptions import ServiceError
from newsmill.storage.database import connect, writing


class ForkedProcess:
    """A process that runs a function with options; the result is its exit code. The interface is that of subprocess.Popen.

    `environ` is its whole environment; its output goes to the file `log`.
    """

    def __init__(
        self, function: Callable[[dict[str, Any]], int], options: Mapping[str, Any], *, environ: Mapping[str, str], log: Path
    ) -> None:
        """`function` is one of a module's; `options` can be written as JSON."""
        self._server = _start_server(function.__module__, str(sys.modules[function.__module__].__file__))
        request = {"function": function.__name__, "options": options, "environ": dict(environ), "log": str(log)}
        self.pid: int = _ask(self._server, request)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _ask(self._server, {"poll": self.pid})
        return self.returncode

    def wait(self, seconds: float = 120) -> int:
        """The exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
            time.sleep(0.05)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def freeze(self, database_url: str) -> None:
        """SIGSTOP between two transactions: the locks of one would freeze the other processes too."""
        engine = connect(database_url, busy_seconds=0.2)
        while True:
            self.send_signal(signal.SIGSTOP)
            while " T " not in Path(f"/proc/{self.pid}/stat").read_text():  # a signal arrives a moment later
                time.sleep(0.001)
            try:
                with writing(engine) as conn:  # nobody else has the lock of SQLite
                    if engine.dialect.name == "postgresql":
                        conn.exec_driver_sql("LOCK TABLE ledger IN EXCLUSIVE MODE NOWAIT")
                    break
            except ServiceError:
                self.send_signal(signal.SIGCONT)
        engine.dispose()

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _start_server(module: str, file: str) -> subprocess.Popen[str]:
    """The process that has loaded a module and forks the others: one for each test process, which it does not outlive."""
    server = subprocess.Popen([sys.executable, __file__, module, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


def _ask(server: subprocess.Popen[str], request: dict[str, Any]) -> Any:
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def serve(name: str, file: str) -> int:
    """Answer requests until the end of standard input. Returns only in a forked process: its exit code is that of the function."""
    sys.path.insert(1, str(Path(file).parent))
    module = import_module(name)
    sys.path[0] = ""  # as for `python -m`
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        elif (answer := os.fork()) == 0:
            _enter(request["environ"], request["log"])
            function: Callable[[dict[str, Any]], int] = getattr(module, request["function"])
            return function(request["options"])
        print(json.dumps(answer), flush=True)
    return 0


def _enter(environ: dict[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(environ)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


if __name__ == "__main__":
    sys.exit(serve(*sys.argv[1:]))
