"""The folder of a corpus of the past is deleted with it, and with the next one if its process was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from newsmill.storage.past_folder import PREFIX, PastFolder

HOLD = "import time; from newsmill.storage.past_folder import PastFolder; one = PastFolder(); print(one.path, flush=True); time.sleep(60)"


def test_the_folder_of_a_killed_process_is_deleted_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"{PREFIX}new").mkdir()  # another process is making it
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / f"{PREFIX}new")
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        (held / "store.db").write_text("documents")
        own = PastFolder()
        assert held.exists()
        process.kill()
        process.wait()
    other = PastFolder()
    assert not held.exists() and own.path.exists()
    for folder in (own, other):
        folder.close()
    assert {path.name for path in tmp_path.iterdir()} == {f"{PREFIX}new", f"{PREFIX}link"}
