"""The documentation names everything there is. What docs/generate.py writes is checked in tests/docs/test_generated.py."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import generate

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def rows(page: str, heading: str | None = None) -> list[str]:
    """The table rows of one page of the reference, or of one chapter of it."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| `")]


def names(page: str, heading: str | None = None) -> list[str]:
    """What stands first in each row; a cell may name several."""
    return [name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def same(page: str, documented: list[str], real: list[str]) -> None:
    """In both directions: nothing is missing, and nothing outdated is named."""
    missing, stale = sorted(set(real) - set(documented)), sorted(set(documented) - set(real))
    assert not missing, f"docs/reference/{page} does not name {', '.join(missing)}"
    assert not stale, f"docs/reference/{page} names {', '.join(stale)}, which does not exist"


def test_every_command() -> None:
    documented = re.findall(r"^## (newsmill .+)$", (REFERENCE / "cli.md").read_text(encoding="utf-8"), re.M)
    same("cli.md", documented, [f"newsmill {' '.join(words)}" for words in generate.commands()])


def test_every_setting() -> None:
    from newsmill.settings import Settings

    real = [str(field.alias) for field in Settings.model_fields.values()]
    same("settings.md", [name for name in names("settings.md") if name.isupper()], real)
    unexplained = [field.alias for field in Settings.model_fields.values() if not field.title or not field.description]
    assert not unexplained, f"newsmill/settings.py: no title or description for {unexplained}"


def test_containers_get_settings_that_exist() -> None:
    from newsmill.settings import Settings

    real = {str(field.alias) for field in Settings.model_fields.values()} | {"NEWSMILL_IMAGE", "NEWSMILL_WEB_PUBLISH"}
    for file in ("docker-compose.yml", ".env.example", "Dockerfile"):
        named = set(re.findall(r"NEWSMILL_[A-Z_]+", (ROOT / file).read_text(encoding="utf-8")))
        assert named <= real, f"{file} names {sorted(named - real)}"


def test_every_message_of_the_troubleshooting_page_exists() -> None:
    code = "".join(path.read_text(encoding="utf-8") for name in ("newsmill", "crawler", "workers") for path in (ROOT / name).rglob("*.py"))
    messages = chapters((ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8"))["Messages"]
    cells = [line.split(" | ")[0] for line in messages.splitlines() if line.startswith("| ")]
    shown = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    parts = [part.strip() for message in shown for part in re.split(r"…|worker-1|\d+|: |\(", message)]
    assert len(parts) > 10
    ours = {part for part in parts if len(part) > 3} - {"database is locked"}  # SQLite's
    assert not (missing := sorted(part for part in ours if part not in code)), f"nothing says {missing}"


def test_every_key_of_sources_toml() -> None:
    from newsmill.sources.table import SUBTABLES, SourceTable

    same("sources-toml.md", names("sources-toml.md", "Keys"), list(SourceTable.model_fields))
    text = "\n".join(rows("sources-toml.md"))
    missing = [key for table in SUBTABLES.values() for key in table.model_fields if f"`{key}`" not in text]
    assert not missing, f"docs/reference/sources-toml.md does not name {missing}"
    example = (ROOT / "config" / "sources.example.toml").read_text(encoding="utf-8")
    unused = [key for key in SourceTable.model_fields if key != "name" and not re.search(rf"^(# )?{key} =|\.{key}\]", example, re.M)]
    assert not unused, f"config/sources.example.toml does not show {unused}"


def test_every_queue() -> None:
    from newsmill.queue.queue import Queue

    same("settings.md", names("settings.md", "Queues"), list(Queue.__init__.__defaults__ or ()))


def test_every_finding_of_the_doctor() -> None:
    from newsmill.storage import doctor

    others = re.findall(r'inding\("([a-z_]+)"', Path(doctor.__file__).read_text(encoding="utf-8"))
    real = {question.check for question in doctor.CHECKS} | set(others)
    missing = real - set(names("store-checks.md"))
    assert not missing, f"docs/reference/store-checks.md does not name {sorted(missing)}"


def command_lines() -> list[tuple[str, list[str]]]:
    """(page, words) of every `newsmill …` in a code block or in backticks of the documentation."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [
            line for block in re.findall(r"^```(?:sh|text)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) for line in block.splitlines()
        ]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
        for line in lines:
            start = re.search(r"(?:^|&& |\| )(?:\w+=\S+ )*newsmill (?=[a-z])", line)
            if start and "Usage" not in line:
                words = shlex.split(re.split(r" [>|&]+ ?|  +", line[start.end() :])[0], comments=True)
                found.append((page.name, words))
    return found


def test_every_option_named_in_the_docs_exists() -> None:
    commands, lines = generate.commands(), command_lines()
    assert len(lines) > 200
    groups = {words[0] for words in commands if len(words) > 1}
    for page, words in lines:
        if len(words) == 1 and words[0] in groups:
            continue
        count = 1 if (words[0],) in commands else 2
        assert tuple(words[:count]) in commands, f"{page}: newsmill {' '.join(words)} does not exist"
        known = {
            option
            for parameter in commands[tuple(words[:count])].params
            for option in (*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ()))
        }
        options = words[count : words.index("--")] if "--" in words else words[count:]
        unknown = {word for word in options if word.startswith("-")} - known - {"-", "--help"}
        assert not unknown, f"{page}: newsmill {' '.join(words)} has no {unknown}"


def test_every_command_named_in_the_docs_exists() -> None:
    commands = {words[0] for words in generate.commands()}
    for page in PAGES:
        named = set(re.findall(r"(?:`|^    |^|bin/|&& )newsmill ([a-z]+)", page.read_text(encoding="utf-8"), re.M))
        assert named <= commands, f"{page.name} names {named - commands}"


def test_the_path_of_a_page_is_short_and_exists() -> None:
    section = (ROOT / "docs" / "developer.md").read_text(encoding="utf-8").partition("## The path of a page")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| [^|]+ \| `([\w/.]+)` \| `(\w+)` \|$", section, re.M)
    assert 10 <= len(steps) <= 25
    for file, name in steps:
        defined = {node.name for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body if hasattr(node, "name")}
        assert name in defined, f"{file} does not define {name}"


def chapters(text: str) -> dict[str, str]:
    """The text below each heading of a page, without code blocks."""
    parts = re.split(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_measurement_has_a_date_and_a_commit() -> None:
    for heading, text in chapters((ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")).items():
        if re.search(r"^\|.*\d", text, re.MULTILINE):
            assert re.search(r"\b20\d\d-\d\d-\d\d\b", text), f"benchmarks/README.md: {heading} has no date"
            assert re.search(r"\b[\da-f]{7}\b", text), f"benchmarks/README.md: {heading} has no commit"
