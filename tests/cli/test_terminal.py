"""Tables stay readable at 60 columns, and numbers agree with their nouns."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from newsmill.cli.progress import format_seconds
from newsmill.cli.sources.listed import COLUMNS
from newsmill.cli.terminal import _wrap_table, format_blocks, format_count, format_lines, needed_width, program_name

ROWS = [["example-org", "blocked: HTTP 403 since 13:33 UTC", "every 15m", 120, 80, 30, 10, 0], ["other", "ok", "every 2h", 1, 1, 0, 0, 0]]


def test_a_wide_table_becomes_blocks_at_60_columns() -> None:
    assert needed_width(COLUMNS, ROWS) > 60
    blocks = format_blocks(COLUMNS, ROWS, 60)
    assert max(map(len, blocks.splitlines())) <= 60
    assert blocks.startswith("source         example-org\nstate          blocked: HTTP 403 since 13:33 UTC\n")
    assert needed_width(("pages", "outcome"), [[1, "stored"]]) <= 60


@pytest.mark.parametrize("rows", [ROWS, [], [["日本", "é"] + [-1.5, 2] * 3], [["e\u0301", "x" * 200, *ROWS[0][2:]]]])
def test_a_table_of_short_lines_looks_as_one_with_wrapped_cells(rows: list[list[object]]) -> None:
    numbers = [bool(rows) and isinstance(cell, int | float) for cell in (rows or ROWS)[0]]
    cells = [[str(cell) for cell in row] for row in rows]
    written = format_lines(COLUMNS, cells, numbers, 400)
    lines = [line.rstrip() for line in _wrap_table(COLUMNS, cells, numbers, 400).splitlines()]
    assert written is not None and [line.rstrip() for line in written.splitlines()] == lines
    assert format_lines(COLUMNS, cells, numbers, 60) is None or not rows
    assert format_lines(("a",), [["two\nlines"]], [False], 60) is None


def test_a_terminal_of_60_columns_breaks_no_word() -> None:
    code = f"from newsmill.cli.terminal import print_table; print_table({COLUMNS!r}, {ROWS!r})"
    parent, child = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdout=child, env=os.environ | {"COLUMNS": "60"}) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError:  # the terminal closes with the process
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0
    os.close(parent)
    lines = shown.decode().replace("\r\n", "\n").splitlines()
    assert max(map(len, lines)) <= 60
    assert "state          blocked: HTTP 403 since 13:33 UTC" in lines


@pytest.mark.parametrize(("seconds", "text"), [(99, "99 s"), (720, "12 min"), (108_000, "30 h"), (287_556, "3 days")])
def test_a_span_has_one_unit(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 pages"), (1, "1 page"), (2000, "2,000 pages")])
def test_numbers_agree_with_their_nouns(count: int, text: str) -> None:
    assert format_count(count, "page") == text


def test_the_program_is_called_by_its_name_where_the_shell_or_the_environment_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "env" / "bin" / "newsmill"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    names = []
    for path, active in (("/nowhere", ""), (str(program.parent), ""), ("/nowhere", str(tmp_path / "env"))):
        monkeypatch.setattr(sys, "argv", [str(program)])
        monkeypatch.setenv("PATH", path)
        monkeypatch.setenv("VIRTUAL_ENV", active)
        names.append(program_name())
    assert names == [str(program), "newsmill", "newsmill"]


def test_a_closed_standard_output_is_the_null_device(tmp_path: Path) -> None:
    """Python has None for it, and a database would get its descriptor."""
    code = "from newsmill.cli.main import main; main()"
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" keys list --json >&-', sys.executable, code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_locale_without_unicode_escapes_what_it_lacks(tmp_path: Path) -> None:
    def run(*words: str) -> bytes:
        command = [sys.executable, "-c", "from newsmill.cli.main import main; main()", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "latin-1"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert b"https://example.org/\xfc\\u20ac" in run("add", "--no-check", "https://example.org/ü€")
    assert json.loads(run("sources", "list", "--json"))[0]["source"]["homepage"] == "https://example.org/ü€"
