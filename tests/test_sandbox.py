"""The sandbox: what reading a page may do to the child, and what remains afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import forkserver
from pathlib import Path

import pytest

from newsmill.exceptions import NewsmillError
from newsmill.model import ExtractionResult, LineStats, Page, Profile, Rules
from newsmill.sandbox import pages as sandbox_module
from newsmill.sandbox.child import LAST, RESPONSE, Limits
from newsmill.sandbox.page_messages import MAX_PROFILES, ExtractionRequest
from newsmill.sandbox.pages import Sandbox, SandboxCrash, read_all
from newsmill.sandbox.parent import ChildProcess, ChildTimeoutError

POISON = "poison:obey"
PYTHONPATH = os.pathsep.join(str(folder) for folder in Path(__file__).resolve().parents[:2])  # of the tests' own processes
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
# A second is plenty for a page that does nothing, even on a busy machine.
LIMITS = Limits(wall=3.0, cpu=20, memory=768 << 20, growth=256 << 20)


def page(body: str, url: str = "https://news.example/1") -> Page:
    return Page(url, url, NOW, 200, (("Content-Type", "text/html"),), body.encode())


def text(reading: ExtractionResult | SandboxCrash) -> str:
    assert isinstance(reading, ExtractionResult), reading
    return reading.blocks[0].text


def child_pid(box: Sandbox) -> int:
    return int(text(box.read(page("hello"))).split()[-1])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


@pytest.fixture(scope="module", autouse=True)
def light_preload() -> Iterator[None]:
    """Fork servers load the readers of poison.py alone: what Newsmill's reader needs costs each a second of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox_module, "PRELOAD_MODULE", "poison")
        yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined] - tests of other files need one with Newsmill's reader


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(LIMITS, POISON) as sandbox:
        yield sandbox


def test_the_page_and_its_source_arrive(box: Sandbox) -> None:
    reading = box.read(page("hello"), rules=Rules(drop_css=(".ad",)), language="de", first_seen_at=NOW)
    assert text(reading).startswith("hello de .ad 2026-11-25 12:00:00+00:00 ")
    reading = box.read(page("work 0.05"))
    assert isinstance(reading, ExtractionResult)
    assert reading.seconds >= 0.05, "CPU time"


def test_a_long_wait_is_reported_and_a_child_may_have_a_lower_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deferred page may take longer than its lease, which is renewed meanwhile."""
    monkeypatch.setattr(sandbox_module, "WAIT_SECONDS", 0.05)
    waits: list[int] = []
    with Sandbox(replace(LIMITS, nice=3, wall=60), POISON) as box:
        assert isinstance(
            box.read(page("work 0.3"), on_wait=lambda: waits.append(os.getpriority(os.PRIO_PROCESS, box.child.pid or 0))), ExtractionResult
        )
        box.read(page("hello"))
    assert set(waits) == {os.getpriority(os.PRIO_PROCESS, 0) + 3}


def test_of_a_rendered_page_the_child_gets_the_dom(box: Sandbox) -> None:
    assert text(box.read(replace(page("plain"), rendered=b"hello"))).startswith(text(box.read(page("hello"))).split()[0])


def test_a_profile_is_sent_once(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = sandbox_module.to_json
    monkeypatch.setattr(sandbox_module, "to_json", lambda adapter, value: sizes.append(len(text := real(adapter, value))) or text)
    lines = {f"line {number}": LineStats(2, 2, 2, 1) for number in range(500)}
    many = [Profile(f"site-{number}.example", 5, 1, lines, version=number) for number in range(2 * MAX_PROFILES)]

    def read_profile(profile: Profile | None) -> str:
        return text(box.read(page("profile"), profile=profile))

    assert [read_profile(many[0]) for _ in range(3)] == ["site-0.example 0 500"] * 3
    assert sizes[0] > 10_000 > max(sizes[1:])
    assert read_profile(None) == "no profile"
    box.read(page("exit"), profile=many[0])
    assert read_profile(many[0]) == "site-0.example 0 500", "it is sent again to a new child"
    for profile in [*many, *many[::-1]]:
        assert read_profile(profile) == f"{profile.site} {profile.version} 500"
    assert read_profile(replace(many[1], lines={})) == "site-1.example 1 0", "another one of the same key is sent"


def test_one_child_reads_page_after_page(box: Sandbox) -> None:
    assert child_pid(box) == child_pid(box) != os.getpid()


@pytest.mark.parametrize(
    ("body", "reason"),
    [("segv", "signal 11 (SIGSEGV)"), ("allocate", "memory"), ("exit", "exit 3"), ("raise odd page", "ValueError: odd page (poison.py:")],
)
def test_a_poison_page_is_a_crash_and_the_next_page_is_fine(box: Sandbox, body: str, reason: str) -> None:
    crash = box.read(page(body))
    assert isinstance(crash, SandboxCrash)
    assert crash.stage == "read"
    assert crash.reason.startswith(reason)
    assert text(box.read(page("hello"))).startswith("hello")


@pytest.mark.parametrize("body", ["loop", "sleep"])
def test_a_page_that_does_not_end_is_killed_at_the_deadline(body: str) -> None:
    with Sandbox(Limits(wall=0.5), POISON) as box:
        box.start()
        assert box.read(page(body)) == SandboxCrash("read", "deadline 0.5 s")  # neither page ever ends
        assert text(box.read(page("hello"))).startswith("hello")


def test_the_cpu_limit_is_per_page_and_counts_as_a_deadline() -> None:
    with Sandbox(Limits(wall=60, cpu=1), POISON) as box:
        pid = child_pid(box)
        for _ in range(4):
            assert isinstance(box.read(page("work 0.3")), ExtractionResult)
        assert child_pid(box) == pid
        assert box.read(page("loop")) == SandboxCrash("read", "deadline 1 s of CPU", 1)


@pytest.fixture
def patient() -> Iterator[Sandbox]:
    """Pages end by CPU time: on a busy machine, 0.2 s of it can take longer than the wall time of `box`."""
    with Sandbox(replace(LIMITS, wall=60.0), POISON) as sandbox:
        yield sandbox


@pytest.mark.parametrize("body", ["loop", "lxml"])
def test_a_cpu_limit_ends_a_c_library_too(patient: Sandbox, body: str) -> None:
    assert patient.read(page(body), cpu_seconds=0.1) == SandboxCrash("read", "deadline 0.1 s of CPU", 0.1)


def test_a_cpu_limit_counts_only_the_work_of_its_page(patient: Sandbox) -> None:
    """It counts neither waiting nor the pages before."""
    pid = child_pid(patient)
    for body in ("slow 0.4", "work 0.15", "work 0.15"):
        assert isinstance(patient.read(page(body), cpu_seconds=0.25), ExtractionResult), body
    assert isinstance(patient.read(page("work 0.4")), ExtractionResult), "the limit of all pages is larger"
    assert child_pid(patient) == pid
    assert patient.read(page("work 0.4"), cpu_seconds=0.25) == SandboxCrash("read", "deadline 0.25 s of CPU", 0.25)


def test_on_slow_is_called_once_and_may_give_up(box: Sandbox) -> None:
    """The late answer is not mistaken for that of the next page."""
    calls: list[str] = []

    def give_up() -> None:
        raise NewsmillError("the database is away")

    assert isinstance(box.read(page("slow 0.5"), on_slow=lambda: calls.append("slow")), ExtractionResult)
    assert calls == ["slow"]
    with pytest.raises(NewsmillError, match="away"):
        box.read(page("slow 0.5"), on_slow=give_up)
    assert text(box.read(page("hello"))).startswith("hello")


def test_a_child_that_grew_is_replaced_without_a_crash() -> None:
    with Sandbox(Limits(wall=10, growth=64 << 20), POISON) as box:
        first = child_pid(box)
        assert child_pid(box) == first
        assert text(box.read(page("grow 100"))).split()[-1] == str(first), "the page that made it grow is read"
        assert child_pid(box) != first
        assert eventually(lambda: not is_running(first))


def test_text_that_no_database_accepts_is_repaired(box: Sandbox) -> None:
    assert text(box.read(page("surrogate"))) == "a?bc"
    assert text(box.read(page("hello", url="https://news.example/\ud800"))).startswith("hello")


def test_an_invalid_answer_is_a_crash(box: Sandbox) -> None:
    assert isinstance(box.read(page("nonsense")), SandboxCrash)
    assert text(box.read(page("hello"))).startswith("hello")


def test_a_child_killed_while_idle_costs_no_page(box: Sandbox) -> None:
    pid = child_pid(box)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    assert text(box.read(page("hello"))).startswith("hello")


def test_a_child_killed_at_work_is_one_crash(box: Sandbox, tmp_path: Path) -> None:
    assert box.read(page(f"kill-once {tmp_path}/mark")) == SandboxCrash("read", "signal 9 (SIGKILL)")
    assert text(box.read(page(f"kill-once {tmp_path}/mark"))).startswith("kill-once")


def test_a_killed_fork_server_is_replaced(box: Sandbox) -> None:
    pid = child_pid(box)
    server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    assert text(box.read(page("hello"))).startswith("hello")


def test_a_large_body_arrives_whole(box: Sandbox) -> None:
    assert len(text(box.read(page("x" * 10_000_000)))) > 10_000_000


def test_a_reader_that_cannot_be_loaded_is_a_clear_error() -> None:
    with pytest.raises(NewsmillError, match="could not be started"):
        Sandbox(LIMITS, "poison:missing").read(page("hello"))


def test_a_child_that_does_not_take_its_page_is_killed_at_the_deadline() -> None:
    with Sandbox(Limits(wall=60), POISON) as box:
        os.kill(child_pid(box), signal.SIGSTOP)
        box.child.limits = Limits(wall=0.3)
        assert box.read(page("x" * 5_000_000)) == SandboxCrash("read", "deadline 0.3 s")
        box.child.limits = Limits(wall=60)
        assert text(box.read(page("hello"))).startswith("hello")


def test_half_a_message_is_waited_for_until_the_deadline() -> None:
    child = ChildProcess("poison:no_handler", limits=Limits(wall=0.05))
    child._connection, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(RESPONSE.pack(LAST, 8) + b"half")
        child.send(b"", b"")
        with pytest.raises(ChildTimeoutError, match=r"deadline 0\.05 s"):
            child.receive()


def test_an_answer_that_is_too_long_ends_the_child() -> None:
    with Sandbox(Limits(wall=60, response=10_000), POISON) as box:
        pid = child_pid(box)
        crash = box.read(page("x" * 20_000))
        assert isinstance(crash, SandboxCrash) and "bytes" in crash.reason
        assert child_pid(box) != pid


def test_closing_ends_the_child() -> None:
    with Sandbox(LIMITS, POISON) as box:
        pid = child_pid(box)
    assert not is_running(pid)


LOOPING_WORKER = """
import sys
from test_sandbox import POISON, page
from newsmill.sandbox import pages
from newsmill.sandbox.child import Limits
if __name__ == "__main__":
    pages.PRELOAD_MODULE = "poison"
    box = pages.Sandbox(Limits(wall=600), POISON)
    print(box.read(page("hello")).blocks[0].text.split()[-1], flush=True)
    box.read(page("loop"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the CPU limit ends the child")
def test_a_killed_parent_leaves_no_looping_child_and_no_fork_server(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(LOOPING_WORKER)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": PYTHONPATH}) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        server = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
        time.sleep(0.2)
        assert is_running(child)
        worker.kill()
    assert eventually(lambda: not is_running(child))
    assert eventually(lambda: not is_running(server))


def test_ctrl_c_does_not_reach_the_child(tmp_path: Path) -> None:
    """Ctrl-C goes to the terminal's whole process group; the page in progress must survive it."""
    with Sandbox(LIMITS, POISON) as box:
        assert os.getpgid(child_pid(box)) != os.getpgid(0)


def test_a_rendered_page_that_ends_the_child_is_read_from_its_response(box: Sandbox) -> None:
    """With the full limit; within a shorter one it is only deferred."""
    rendered = replace(page("slow 0"), rendered=b"exit")
    assert isinstance(box.read(rendered, cpu_seconds=0.5), SandboxCrash)
    result = box.read(rendered)
    assert isinstance(result, ExtractionResult) and result.document is not None
    assert result.rendering_failure is not None and "exit 3" in result.rendering_failure
    assert isinstance(box.read(replace(page("exit"), rendered=b"exit")), SandboxCrash)
    blocked = box.read(replace(page("slow 0"), rendered=b"blocked wall"))
    assert isinstance(blocked, ExtractionResult) and blocked.rendering_failure == "the rendered page is blocked: wall"


@pytest.mark.parametrize("processes", [1, 3])
def test_read_all_keeps_the_order_and_survives_poison(processes: int) -> None:
    bodies = ["slow 0.3", "a", "segv", "b", "loop", *"cdefghijklmnop"]
    requests = ((number, ExtractionRequest(page(body))) for number, body in enumerate(bodies))
    results = list(read_all(requests, processes=processes, limits=Limits(wall=1.5), reader=POISON))
    assert [number for number, _ in results] == list(range(len(bodies)))
    assert [number for number, result in results if isinstance(result, SandboxCrash)] == [2, 4]
    assert all(text(result).startswith(bodies[number].split()[-1]) for number, result in results if isinstance(result, ExtractionResult))


def test_one_child_answers_before_the_next_page_is_requested() -> None:
    requested: list[int] = []

    def requests() -> Iterator[tuple[int, ExtractionRequest]]:
        for number in range(3):
            requested.append(number)
            yield number, ExtractionRequest(page("a"))

    answers = read_all(requests(), limits=LIMITS, reader=POISON)
    assert next(answers)[0] == 0
    assert requested == [0]
    assert [key for key, _ in answers] == [1, 2]


def test_read_all_stopped_early_leaves_no_child() -> None:
    answers = read_all(((n, ExtractionRequest(page("a"))) for n in range(9)), processes=2, limits=LIMITS, reader=POISON)
    pids = {int(text(next(answers)[1]).split()[-1]) for _ in range(4)}
    answers.close()  # type: ignore[attr-defined]
    assert not any(is_running(pid) for pid in pids)


def test_a_fork_server_killed_at_any_moment_is_replaced() -> None:
    with Sandbox(LIMITS, POISON) as box:
        for _ in range(2):
            assert isinstance(box.read(page("article text")), ExtractionResult)
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
            box.close()  # the next page needs a new child, from a server that may not have been reaped yet


SECRET = "hunter2-of-the-database"
SPYING = """
import os, re, sys
from pathlib import Path
from newsmill.sandbox import pages
from newsmill.sandbox.child import Limits
from test_sandbox import POISON, child_pid, page
pages.PRELOAD_MODULE = "poison"
with pages.Sandbox(Limits(), POISON) as box:
    child = child_pid(box)
    server = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (child, server):
        print(Path(f"/proc/{pid}/environ").read_bytes().decode().replace(chr(0), " "))
    print("ours", os.environ["DATABASE_URL"])
"""


def test_the_child_and_the_fork_server_do_not_get_our_passwords() -> None:
    here = Path(__file__).parent
    secrets = {"DATABASE_URL": f"postgresql://u:{SECRET}@db/x", "REDIS_URL": f"redis://:{SECRET}@r", "AWS_SECRET_ACCESS_KEY": SECRET}
    env = os.environ | secrets | {"PYTHONPATH": PYTHONPATH}
    output = subprocess.run([sys.executable, "-c", SPYING], env=env, capture_output=True, text=True, check=True, cwd=here).stdout
    child, server, ours = output.splitlines()
    assert child == server and "PYTHONPATH=" in child
    assert SECRET not in child and "AWS" not in child and "_URL" not in child
    assert SECRET in ours  # and we still have it


def test_a_child_cannot_read_its_parent_s_environment() -> None:
    """Its /proc entries are readable for root and itself only, not for other processes of its user."""
    code = "import ctypes; from newsmill.sandbox.process_limits import restrict_proc_access as h; h(); print(ctypes.CDLL(None).prctl(3))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"


def test_a_forked_process_uses_its_parents_fork_server_while_it_lives() -> None:
    """In a new interpreter: this one has threads, beside which a fork is not safe."""
    code = """
import os, signal, sys
from pathlib import Path
from newsmill.sandbox import parent
from newsmill.sandbox.child import Limits
def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
parent.start_fork_server(())
if forked := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
parent.share_fork_server()
with_server, listing = (parent.ChildProcess("builtins:str", limits=Limits(), preload=names) for names in (["json"], []))
for child in (with_server, listing):
    child.start()
    server = parent_of(child.pid)
    print(parent_of(server) == os.getppid())
os.kill(server, signal.SIGKILL)
for child in (with_server, listing):
    child.close()
    child.start()
    print(os.getpid() in (parent_of(child.pid), parent_of(parent_of(child.pid))))
    child.close()
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-uc", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["True"] * 4, "")
