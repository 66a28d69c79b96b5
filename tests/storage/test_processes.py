"""A dead lease owner on this machine is recognised at once; one that lives, or is on another machine, never."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rows import NOON, Mill, after, links

from newsmill.storage import owner_ids
from newsmill.storage.ledger import Ledger
from newsmill.storage.owner_ids import is_dead, make_owner_id

NAME_AND_WAIT = "from newsmill.storage.processes import make_owner_id; print(make_owner_id(), flush=True); input()"


def test_names_differ_and_their_bearers_live() -> None:
    first, second = make_owner_id(), make_owner_id()
    assert first != second
    assert not is_dead(first)


HAS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="without /proc no owner is recognised as dead")


@HAS_PROC
def test_a_killed_process_is_dead_even_before_it_is_buried() -> None:
    process = subprocess.Popen([sys.executable, "-c", NAME_AND_WAIT], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_dead(owner)
    process.kill()
    deadline = time.monotonic() + 10
    while not is_dead(owner) and time.monotonic() < deadline:  # nobody has waited for it yet
        time.sleep(0.01)
    assert is_dead(owner)
    process.communicate()
    assert is_dead(owner)


@HAS_PROC
def test_who_lives_and_is_hidden_is_not_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", NAME_AND_WAIT], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    monkeypatch.setattr(owner_ids, "PROC", tmp_path)  # what hidepid leaves of the processes of other users: nothing
    assert not is_dead(owner)
    process.kill()
    process.communicate()
    assert is_dead(owner)
    monkeypatch.setattr(os, "kill", refused)
    assert not is_dead(owner)


def refused(pid: int, signal: int) -> None:
    raise PermissionError("the process of another user")


def test_who_cannot_be_judged_is_not_dead() -> None:
    host, pid, _, random = make_owner_id().rsplit(":", 3)
    other_place, no_place = f"{host}:{pid}:0123456789ab.1:{random}", f"{host}:{pid}:.1:{random}"
    assert not any(map(is_dead, (other_place, no_place, "", "crawler-1", "host:1:2", "a:b:c:d")))


def test_another_process_with_the_same_number_is_another() -> None:
    host, pid, bearer, random = make_owner_id().rsplit(":", 3)
    place, _, started = bearer.partition(".")
    assert is_dead(f"{host}:{pid}:{place}.{int(started) + 1}:{random}")


def test_what_the_dead_held_is_free_at_once_and_marks_stay(ledger: Ledger) -> None:
    mill = Mill(ledger)
    first, second = mill.fetch(*links(2))
    ledger.claims.mark_in_progress(first, now=NOON)
    ledger.links.add(links(4), now=NOON)
    mill.lease()
    assert ledger.dead_leases.end(lambda owner: owner == "nobody", now=NOON) == []
    assert sorted(ledger.dead_leases.end(lambda owner: True, now=NOON)) == ["crawler-1", "worker-1"]
    assert ledger.url_leases.expire(now=NOON) == 2
    assert [lease.host for lease in ledger.hosts.lease("successor", limit=9, seconds=60, now=NOON)] == ["paper.example"]
    again = ledger.claims.claim(first.segment, "successor", seconds=60, now=after(seconds=1))
    assert {claim.id: claim.crashes for claim in again} == {first.id: 1, second.id: 0}
    assert ledger.dead_leases.end(lambda owner: owner != "successor", now=NOON) == []
