"""Who may import whom (docs/developer.md). Walks every import statement, those inside functions too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path for folder in ("newsmill", "crawler", "workers") for path in (ROOT / folder).rglob("*.py"))
WINGS = ("newsmill.find", "newsmill.read", "newsmill.relate", "newsmill.export", "newsmill.keep")
DOORS = ("crawler", "workers", "newsmill.web", "newsmill.cli")
PURE = ("newsmill.find", "newsmill.read", "newsmill.relate", "newsmill.export")
NOUNS = (
    "newsmill",
    "newsmill.model",
    "newsmill.exceptions",
    "newsmill.charset",
    "newsmill.web_codecs",
    "newsmill.language_tags",
    "newsmill.redaction",
)

# One file each knows a third-party system; a folder's name stands for all its files.
OWNERS = {
    "scrapy": ("crawler",),
    "twisted": ("crawler",),
    "rq": ("newsmill.keep.queues", "workers"),
    "redis": ("newsmill.keep.queues", "newsmill.keep.embedded", "workers"),
    "sqlalchemy": ("newsmill.keep",),
    "alembic": ("newsmill.keep",),
    "psycopg": ("newsmill.keep",),
    "fastwarc": ("newsmill.keep.archive", "newsmill.keep.warc"),
    "fsspec": ("newsmill.keep",),
    "pyarrow": ("newsmill.export.columns",),
    "trafilatura": ("newsmill.read", "newsmill.sandbox"),
    "mcp": ("newsmill.corpus.agents",),
    "pandas": ("newsmill.corpus.reader",),
    "fastapi": ("newsmill.web",),
    "starlette": ("newsmill.web",),
    "uvicorn": ("newsmill.web",),
    "typer": ("newsmill.cli",),
    "rich": ("newsmill.cli",),
}
WORLD = ("socket", "ssl", "http", "urllib.request", "asyncio", "subprocess", "sqlite3", "requests", "httpx", "multiprocessing")


def name_of(path: Path) -> str:
    """`newsmill/find/urls.py` → `newsmill.find.urls`; a package is called without `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every module a file imports, with the line. `from a import b` counts as a.b where that is a module of ours, else as a."""
    ours = {name_of(module) for module in MODULES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            yield from ((full if (full := f"{base}.{alias.name}") in ours else base, node.lineno) for alias in node.names)


def under(name: str, *roots: str) -> bool:
    """Whether `name` is one of the modules `roots`, or inside one."""
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def refusal(importer: str, imported: str) -> str | None:
    """The rule that an import breaks, or None."""
    if not under(imported, "newsmill", "crawler", "workers"):
        owners = OWNERS.get(imported.split(".")[0])
        if owners and not under(importer, *owners):
            return f"only {', '.join(owners)} may know {imported.split('.')[0]}"
        if under(importer, *PURE) and under(imported, *WORLD):
            return "find, read, relate and export are pure"
        return None
    if under(importer, "newsmill.cli"):
        return None
    door = next((door for door in DOORS if under(importer, door)), None)
    if (other := next((door for door in DOORS if under(imported, door)), None)) and other != door:
        return "doors lead into the house, never into one another; nobody but the cli imports the cli"
    wing = next((wing for wing in WINGS if under(importer, wing)), None)
    if wing is None or under(imported, wing) or imported in NOUNS:
        return None
    if wing == "newsmill.read" and under(imported, "newsmill.find.urls", "newsmill.find.tracking"):
        return None
    return f"{wing} may import newsmill.model and newsmill.exceptions, and gets everything else as a value"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_follow_the_rule(path: Path) -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}: {rule}"
        for imported, line in imports_of(path)
        if (rule := refusal(name_of(path), imported))
    ]
    assert not broken, "\n".join(broken)


def reads_a_variable(node: ast.AST) -> bool:
    """`os.getenv`, `os.environ[…]`, `os.environ.get`; handing all of os.environ to a child process is none."""
    if isinstance(node, ast.Attribute) and node.attr == "getenv":
        return True
    return isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "environ"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_settings_reads_the_environment(path: Path) -> None:
    if under(name_of(path), "newsmill.settings", "newsmill.cli"):  # the cli hands the environment on to settings and to its children
        return
    reads = [node.lineno for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if reads_a_variable(node)]
    assert not reads, f"{path.relative_to(ROOT)}: line {reads} reads the environment; newsmill/settings.py does that, and hands on values"


def test_the_pure_rooms_do_not_ask_the_clock() -> None:
    broken = []
    for path in MODULES:
        if not under(name_of(path), *PURE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today") and isinstance(node.value, ast.Name):
                broken.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not broken, f"time is an argument: {broken}"


def test_the_rule_sees_what_it_forbids() -> None:
    assert refusal("newsmill.find.urls", "newsmill.keep.ledger")
    assert refusal("newsmill.keep.ledger", "newsmill.settings")
    assert refusal("crawler.process", "workers.jobs")
    assert refusal("newsmill.sandbox", "newsmill.cli.main")
    assert refusal("newsmill.read.reader", "newsmill.find.feeds")
    assert refusal("newsmill.read.reader", "redis")
    assert refusal("newsmill.find.urls", "socket")
    assert refusal("newsmill.export.formats", "newsmill.keep.documents")
    assert refusal("newsmill.read.reader", "newsmill.find.urls") is None
    assert refusal("workers.jobs", "newsmill.sandbox") is None


def test_a_package_is_called_without_init() -> None:
    path = ROOT / "newsmill" / "find" / "__init__.py"
    assert name_of(path) == "newsmill.find"
