"""`newsmill --help` is fast and complete; every command and option has a help text."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
import typer
from command_result import Newsmill

from newsmill.cli.commands import COMMANDS, LazyCommands
from newsmill.cli.main import app

HEAVY = ("scrapy", "twisted", "sqlalchemy", "rq", "redis", "trafilatura", "lxml", "pydantic", "rich", "tldextract", "fastwarc")
HEAVY_FOR_COMMANDS = ("scrapy", "twisted", "fastapi", "trafilatura", "numpy", "pyarrow", "mcp")
HEAVY_FOR_SERVER = ("scrapy", "twisted", "trafilatura", "numpy")  # pages are read in child processes
PRINT_HELPS = f"""
import sys
from newsmill.cli import main
for command in sys.argv[1:]:
    try:
        main.app([command, "--help"], prog_name="newsmill")
    except SystemExit:
        pass
    loaded = [name for name in {HEAVY_FOR_COMMANDS!r} if name in sys.modules]
    if loaded:
        sys.exit(f"the help of {{command}} loads {{loaded}}")
import newsmill.web.server
loaded = [name for name in {HEAVY_FOR_SERVER!r} if name in sys.modules]
sys.exit(f"the web server loads {{loaded}}" if loaded else 0)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "newsmill.cli.main", *arguments], capture_output=True, text=True, timeout=60)


def test_help_loads_nothing_heavy() -> None:
    code = f"""
import sys
from newsmill.cli import main
try:
    main.app(["--help"], prog_name="newsmill")
except SystemExit:
    pass
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"newsmill --help loads {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_neither_the_help_of_a_command_nor_the_server_loads_a_page_reader() -> None:
    """Each of these costs more CPU than all else that a command's help needs (0.5 s). One process shows the help of every command."""
    done = subprocess.run([sys.executable, "-c", PRINT_HELPS, *COMMANDS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: newsmill") == len(COMMANDS)


def test_the_summary_of_a_command_is_the_first_sentence_of_its_help() -> None:
    table = {name: command.summary for name, command in COMMANDS.items()}
    helps = {name: command.help.split("\n\n")[0].split(". ")[0].rstrip(".") for name, command in LazyCommands().items()}
    assert table == helps


def test_help_takes_less_than_300_ms_of_cpu() -> None:
    best = 10.0
    for _ in range(3):  # the first run may compile byte code
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert best < 0.3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("newsmill sources re", ["resume", "remove", "rename"]),
        ("newsmill crawl --li", ["--limit"]),
        ("newsmill export --format js", ["jsonl", "jsonld"]),
        ("newsmill export --format wa", ["warc"]),
        ("newsmill export --as ne", ["news-please"]),
        ("newsmill retry --outcome soft", ["soft_404"]),
        ("newsmill token add x --scope w", ["write"]),
        ("newsmill health sc", ["scheduler"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(
    newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch, words: str, expected: list[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    monkeypatch.setenv("_NEWSMILL_COMPLETE", "complete_bash")
    assert newsmill().out.split() == expected


def test_the_program_completes_and_prints_its_completion() -> None:
    environ = os.environ | {"COMP_WORDS": "newsmill sou", "COMP_CWORD": "1", "_NEWSMILL_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-m", "newsmill.cli.main"], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["sources"]
    # the program asks which shell has started it; bash would replace itself by a last command
    shell = ["bash", "-c", '"$0" -m newsmill.cli.main --show-completion; true', sys.executable]
    assert "_newsmill_completion" in subprocess.run(shell, capture_output=True, text=True, timeout=60).stdout


def test_help_lists_every_command() -> None:
    shown = run("--help").stdout
    missing = [name for name in COMMANDS if f"\n  {name} " not in shown]
    assert not missing
    assert [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")] == [
        "Options:",
        *(f"{heading}:" for heading in dict.fromkeys(command.heading for command in COMMANDS.values())),
    ]


def commands() -> list[list[str]]:
    group = typer.main.get_command(app)
    found: list[list[str]] = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found.append([name])
        found += [[name, sub] for sub in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_and_option_has_a_help_text(words: list[str]) -> None:
    command: object = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    assert command.help, words  # type: ignore[attr-defined]
    undocumented = [parameter.name for parameter in command.params if not parameter.help and not parameter.hidden]  # type: ignore[attr-defined]
    assert not undocumented, f"{words} does not document {undocumented}"


@pytest.mark.parametrize(
    "words", [["sorces"], ["crawl"], ["crawl", "--no-such"], ["add"], ["submit"], ["retry"], ["crawl", "x", "--processes", "0"]]
)
def test_wrong_usage_exits_with_2_and_no_traceback(words: list[str], newsmill: Newsmill) -> None:
    done = newsmill(*words)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.err.strip()


def test_a_bad_setting_exits_with_2_in_one_sentence(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    done = newsmill("status")
    assert (done.code, done.err) == (2, "newsmill: LOG_LEVEL: expected DEBUG, INFO, WARNING or ERROR, not 'loud'\n")


def test_version() -> None:
    assert run("--version").stdout.startswith("newsmill ")


def test_the_package_can_be_run() -> None:
    """For a shell that has the Python of a virtual environment, but not its folder of programs, on PATH."""
    done = subprocess.run([sys.executable, "-m", "newsmill", "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout == run("--help").stdout
