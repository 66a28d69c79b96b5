"""What the code weighs: `python tests/house.py` prints the size of the code and how far it keeps the rules of the layout."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("newsmill", "crawler", "workers")
MAX_LINES, USUAL_LINES = 500, 300  # of a file
MAX_COMPLEXITY = 20  # of a function; radon ranks 21 and more as D
_BANNER = re.compile(r"^\s*# -{4,}", re.MULTILINE)
_MONTHS = re.compile(r"\bjanuar[iy]?\b.*\bfebruar", re.IGNORECASE | re.DOTALL)


def list_modules() -> dict[Path, str]:
    """The text of each module of the product, without the migrations."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return {file: file.read_text(encoding="utf-8") for file in files if "migrations" not in file.parts}


def find_constructors(modules: dict[Path, str]) -> Iterator[tuple[int, str]]:
    """The number of arguments of each written `__init__`, with its class."""
    for text in modules.values():
        for parent in ast.walk(ast.parse(text)):
            if isinstance(parent, ast.ClassDef):
                for child in parent.body:
                    if isinstance(child, ast.FunctionDef) and child.name == "__init__":
                        yield len(child.args.args) + len(child.args.kwonlyargs) - 1, parent.name


def find_functions(modules: dict[Path, str]) -> Iterator[tuple[int, str]]:
    """The cyclomatic complexity of each function, with its name."""
    for file, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield 1 + sum(map(_count_branches, ast.walk(node))), f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"


def _count_branches(node: ast.AST) -> int:
    """As radon counts them: https://radon.readthedocs.io/en/latest/intro.html#cyclomatic-complexity."""
    match node:
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
        case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler() | ast.Assert():
            return 1
    return 0


def list_outboxes() -> list[str]:
    """The tables whose rows wait for the next try to send something; those of the ledger wait to be fetched."""
    from newsmill.storage.schema import metadata

    return sorted(
        table.name for table in metadata.tables.values() if table.name != "ledger" and {"attempts", "next_at"} <= set(table.columns.keys())
    )


def count_decisions() -> int:
    """The records under docs/decisions."""
    return sum(text.count("\n## ") for file in (ROOT / "docs/decisions").glob("*.md") if (text := file.read_text(encoding="utf-8")))


def list_figures() -> dict[str, object]:
    """Each figure by what it counts."""
    modules = list_modules()
    lines = {file: text.count("\n") for file, text in modules.items()}
    constructors = sorted(find_constructors(modules), reverse=True)
    return {
        "lines of newsmill, crawler, workers": sum(lines.values()),
        "files": len(modules),
        "banners in files": sum(len(_BANNER.findall(text)) for text in modules.values()),
        f"files over {USUAL_LINES} lines": sum(n > USUAL_LINES for n in lines.values()),
        f"files over {MAX_LINES} lines": sum(n > MAX_LINES for n in lines.values()),
        "modules directly in newsmill/": len([file for file in (ROOT / "newsmill").glob("*.py") if not file.stem.startswith("__")]),
        "tables of messages to send": len(list_outboxes()),
        "modules with the names of months": sum(bool(_MONTHS.search(text)) for text in modules.values()),
        f"functions of complexity over {MAX_COMPLEXITY}": sum(n > MAX_COMPLEXITY for n, _ in find_functions(modules)),
        "arguments of the largest constructor": f"{constructors[0][0]} ({constructors[0][1]})",
        "constructors with more than 8 arguments": sum(n > 8 for n, _ in constructors),
        "benchmark files": len(list((ROOT / "benchmarks").glob("*.py"))),
        "bytes of CHANGELOG.md": (ROOT / "CHANGELOG.md").stat().st_size,
        "decision records": count_decisions(),
    }


if __name__ == "__main__":
    if "--functions" in sys.argv:
        for complexity, function in sorted(find_functions(list_modules()), reverse=True)[:60]:
            print(f"{complexity:>10}  {function}")
    for name, figure in list_figures().items():
        print(f"{figure!s:>10}  {name}")
