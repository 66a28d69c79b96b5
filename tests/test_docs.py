"""The docs name everything there is. `python tests/test_docs.py` prints the table of outcomes as docs/reference.md should have it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from newsmill.model import DOUBTFUL_CONFIDENCE, OUTCOMES

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def rows(heading: str) -> list[str]:
    """The table rows of one chapter of the reference."""
    chapter = REFERENCE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in chapter.splitlines() if line.startswith("|") and not line.startswith(("|---", "| ---"))][1:]


def names(heading: str) -> list[str]:
    """What stands first in each row."""
    return [match[1] for row in rows(heading) if (match := re.match(r"\| `([^`]+)`", row))]


def same(documented: list[str], real: list[str]) -> None:
    """Both ways: nothing missing, nothing that is no more."""
    missing, stale = sorted(set(real) - set(documented)), sorted(set(documented) - set(real))
    assert not missing, f"docs/reference.md does not name {', '.join(missing)}"
    assert not stale, f"docs/reference.md names {', '.join(stale)}, which there is not"


def test_every_command() -> None:
    from newsmill.cli.main import app

    real = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        real += [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]
    subs = {name.partition(" ")[0] for name in real if " " in name}
    documented = []
    for text in names("Commands"):
        words = text.removeprefix("newsmill ").split()
        documented.append(" ".join(words[:2]) if words[0] in subs else words[0])
    same(documented, real)


def test_every_setting() -> None:
    from newsmill.settings import Settings

    same(names("Settings"), [str(field.alias) for field in Settings.model_fields.values()])


def test_every_key_of_sources_toml() -> None:
    from newsmill.sources import SUBTABLES, SourceTable

    same(names("sources.toml"), list(SourceTable.model_fields))
    text = "\n".join(rows("sources.toml"))
    missing = [key for table in SUBTABLES.values() for key in table.model_fields if f"`{key}`" not in text]
    assert not missing, f"docs/reference.md does not name {missing}"
    example = (ROOT / "config" / "sources.example.toml").read_text(encoding="utf-8")
    unused = [key for key in SourceTable.model_fields if key != "name" and not re.search(rf"^(# )?{key} =|\.{key}\]", example, re.M)]
    assert not unused, f"config/sources.example.toml does not show {unused}"


def test_every_queue() -> None:
    from newsmill.keep.queues import Queue

    same(names("Queues"), list(Queue.__init__.__defaults__ or ()))


def test_every_outcome_with_its_meaning() -> None:
    assert rows("Outcomes") == outcome_rows(), "docs/reference.md, Outcomes: paste what `python tests/test_docs.py` prints"


def outcome_rows() -> list[str]:
    return [f"| `{outcome}` | {state} | {meaning} |" for outcome, (state, meaning) in OUTCOMES.items()]


def test_the_bound_of_doubtful_documents() -> None:
    assert f"| `doubtful` | true where `confidence` is below {DOUBTFUL_CONFIDENCE}:" in (ROOT / "docs" / "user.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    broken = [link for link in targets if not (page.parent / link.partition("#")[0]).exists()]
    assert not broken, f"{page.name}: {broken}"
    for link in targets:
        file, _, anchor = link.partition("#")
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (page.parent / file).read_text(encoding="utf-8"), re.M)
            assert anchor in [heading.lower().replace(" ", "-").replace(".", "") for heading in headings], f"{page.name}: {link}"


def test_every_command_named_in_the_docs_exists() -> None:
    from newsmill.cli.main import app

    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:`|^    |/)newsmill ([a-z]+)", text, re.M))
        assert named <= commands, f"{page.name} names {named - commands}"


if __name__ == "__main__":
    print("\n".join(outcome_rows()))
