"""The import rules of docs/developer.md, checked over every import, also those in functions and under TYPE_CHECKING."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from newsmill.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("newsmill", "crawler", "workers")
MODULES = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts)

# Arrows point downwards: a module imports its own package, packages of its own layer, and packages of the layers below.
LAYERS = (
    ("newsmill.cli", "newsmill.__main__"),
    ("crawler", "workers", "newsmill.web", "newsmill.mcp_server", "newsmill.demo"),
    (
        "newsmill.context",
        "newsmill.polling.listing_schedule",
        "newsmill.batch",
        "newsmill.engines",
        "newsmill.intake",
        "newsmill.notifications",
        "newsmill.logs",
        "newsmill.network",
        "newsmill.scrapy",
        "newsmill.scrapy_poet",
        "newsmill",
    ),
    (
        "newsmill.storage",
        "newsmill.search",
        "newsmill.stories",
        "newsmill.archive",
        "newsmill.queue",
        "newsmill.exports",
        "newsmill.client",
        "newsmill.site_inspection",
        "newsmill.sandbox",
        "newsmill.settings",
        "newsmill.sources",
    ),
    (
        "newsmill.extraction",
        "newsmill.discovery",
        "newsmill.similarity",
        "newsmill.polling",
        "newsmill.network.address_guard",
        "newsmill.network.guarded_connection",
        "newsmill.network.http_get",
        "newsmill.network.submitted_urls",
    ),
    (
        "newsmill.text",
        "newsmill.model",
        "newsmill.exceptions",
        "newsmill.version",
        "newsmill.health",
    ),
)
SEPARATE = LAYERS[1]  # packages of one layer that never import one another
PURE = (
    "newsmill.discovery",
    "newsmill.extraction",
    "newsmill.similarity",
    "newsmill.stories",
    "newsmill.polling",
    *LAYERS[-1],
)

# One package each knows a third-party system.
OWNERS = {
    "scrapy": ("crawler", "newsmill.scrapy", "newsmill.intake.scrapy_items", "newsmill.scrapy_poet"),
    "twisted": ("crawler", "newsmill.scrapy"),  # a crawl of others may run without asyncio, so its pipeline waits with Deferreds
    "playwright": ("crawler",),
    "scrapy_playwright": ("crawler",),
    "rq": ("newsmill.queue", "workers"),
    "redis": ("newsmill.queue", "workers"),
    "sqlalchemy": ("newsmill.storage", "newsmill.search"),
    "alembic": ("newsmill.storage",),
    "psycopg": ("newsmill.storage",),
    "fastwarc": ("newsmill.archive",),
    "fsspec": ("newsmill.archive.buckets",),
    "pyarrow": ("newsmill.exports.parquet", "newsmill.exports.parquet_reader", "newsmill.exports.parquet_child"),
    "datatrove": ("newsmill.engines.datatrove",),
    "ray": ("newsmill.engines.ray",),
    "pyspark": ("newsmill.engines.spark",),
    "trafilatura": ("newsmill.extraction", "newsmill.sandbox"),
    "mcp": ("newsmill.mcp_server",),
    "xlsxwriter": ("newsmill.exports.spreadsheet",),
    "pandas": ("newsmill.client",),
    "fastapi": ("newsmill.web",),
    "starlette": ("newsmill.web",),
    "uvicorn": ("newsmill.web",),
    "cryptography": ("newsmill.network",),
    "standardwebhooks": ("newsmill.notifications.channels.http_post",),
    "apprise": ("newsmill.notifications.channels.apprise_child",),
    "smtplib": ("newsmill.notifications.channels.mail",),
    "dns": ("newsmill.web.pages.host_proofs",),
    "typer": ("newsmill.cli",),
    "rich": ("newsmill.cli",),
}
WORLD = ("socket", "ssl", "http", "urllib.request", "asyncio", "subprocess", "sqlite3", "requests", "httpx", "multiprocessing")


def name_of(path: Path) -> str:
    """The dotted name of a module; a package is called without `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


@dataclass(frozen=True, slots=True)
class Module:
    """What the rules need to know of a file. The numbers are lines."""

    imports: tuple[tuple[str, int], ...]  # modules
    passed_modules: tuple[tuple[str, int], ...]  # names of modules that are arguments of a call
    environment_reads: tuple[int, ...]
    clock_reads: tuple[int, ...]


@cache
def parse(path: Path) -> Module:
    """Parse a file of the repository, once for all tests."""
    return parse_source(path, path.read_text(encoding="utf-8"))


def parse_source(path: Path, source: str) -> Module:
    """Parse the source of the file that `path` names."""
    nodes = [*ast.walk(ast.parse(source))]
    modules = module_names(nodes)
    return Module(
        tuple(imports_of(path, nodes)),
        tuple((value.id, value.lineno) for value in arguments_of(nodes) if isinstance(value, ast.Name) and value.id in modules),
        tuple(node.lineno for node in nodes if reads_a_variable(node)),
        tuple(node.lineno for node in nodes if reads_the_clock(node)),
    )


def imports_of(path: Path, nodes: list[ast.AST]) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, with the line. `from a import b` counts as a.b where that is one of our modules, else as a."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            yield from ((full if (full := f"{base}.{alias.name}") in NAMES else base, node.lineno) for alias in node.names)


def is_in(name: str, *packages: str) -> bool:
    """Whether a module is one of the packages, or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def layer_of(name: str) -> int:
    """The index in LAYERS of the longest package name that holds the module. Raises KeyError for a module without a layer."""
    found = [
        (len(package), number) for number, layer in enumerate(LAYERS) for package in layer if is_in(name, package) and package != "newsmill"
    ]
    if not found and name == "newsmill":
        return next(number for number, layer in enumerate(LAYERS) if "newsmill" in layer)
    if not found:
        raise KeyError(name)
    return max(found)[1]


def broken_rule(importer: str, imported: str) -> str | None:
    """The rule that an import breaks, or None."""
    if not is_in(imported, *PACKAGES):
        owners = OWNERS.get(imported.split(".")[0])
        if owners and not is_in(importer, *owners):
            return f"only {', '.join(owners)} may import {imported.split('.')[0]}"
        if is_in(importer, *PURE) and is_in(imported, *WORLD):
            return "a pure package imports nothing that reaches outside the process"
        return None
    if layer_of(imported) < layer_of(importer):
        return "an import points from a higher layer to a lower one"
    own = next((package for package in SEPARATE if is_in(importer, package)), None)
    if own and is_in(imported, *SEPARATE) and not is_in(imported, own):
        return f"{', '.join(SEPARATE)} do not import one another"
    return None


def module_names(nodes: list[ast.AST]) -> set[str]:
    """The names in a file that are bound to modules of the repository."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level:
            found |= {alias.asname or alias.name for alias in node.names if f"{node.module}.{alias.name}" in NAMES}
        elif isinstance(node, ast.Import):
            found |= {alias.asname for alias in node.names if alias.asname and alias.name in NAMES}
    return found


def arguments_of(nodes: list[ast.AST]) -> Iterator[ast.expr]:
    """The arguments of every call."""
    for node in nodes:
        if isinstance(node, ast.Call):
            yield from (*node.args, *(keyword.value for keyword in node.keywords))


def reads_a_variable(node: ast.AST) -> bool:
    """`os.getenv`, `os.environ[…]`, `os.environ.get`; handing all of os.environ to a child process reads no variable."""
    if isinstance(node, ast.Attribute) and node.attr == "getenv":
        return True
    return isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "environ"


def reads_the_clock(node: ast.AST) -> bool:
    """`datetime.now`, `datetime.utcnow`, `date.today`."""
    return isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today") and isinstance(node.value, ast.Name)


def test_imports_follow_the_layers() -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}: {rule}"
        for path in MODULES
        for imported, line in parse(path).imports
        if (rule := broken_rule(name_of(path), imported))
    ]
    assert not broken, "\n".join(broken)


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The names that are part of a circle or lie between two."""
    while leaves := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in leaves}
    # What is left imports a circle or is part of one; modules that nobody left imports only lead to it.
    while roots := {name for name in graph if not any(name in imported for imported in graph.values())}:
        graph = {name: imported for name, imported in graph.items() if name not in roots}
    return sorted(graph)


def test_no_modules_import_each_other_in_a_circle() -> None:
    circle = find_circle(
        {name_of(path): {imported for imported, _ in parse(path).imports if imported in NAMES} - {name_of(path)} for path in MODULES}
    )
    assert not circle, f"circles among {circle}"


def test_no_folders_of_the_crawler_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        if is_in(name_of(path), "crawler"):
            folder = ".".join(name_of(path).split(".")[:2])
            imported = {".".join(name.split(".")[:2]) for name, _ in parse(path).imports if name in NAMES and is_in(name, "crawler")}
            graph.setdefault(folder, set()).update(imported - {folder})
    assert {"crawler.politeness", "crawler.frontier"} <= graph.keys()
    circle = find_circle(graph)
    assert not circle, f"circles among {circle}"


def test_no_module_is_left_over() -> None:
    """Each is imported, or loaded by its name: that of a command, or one in the code, in scrapy.cfg or in the documentation."""
    imported = {name for path in MODULES for name, _ in parse(path).imports if name != name_of(path)}
    commands = {command.target.partition(":")[0] for command in COMMANDS.values()}
    text = "\n".join(path.read_text() for path in (*MODULES, ROOT / "scrapy.cfg", *(ROOT / "docs").rglob("*.md")))
    packages = {name_of(path) for path in MODULES if path.name in ("__init__.py", "__main__.py")}
    left = [name for name in NAMES - imported - commands - packages if not re.search(rf"\b{re.escape(name)}\b", text)]
    assert not left, f"nobody imports or names {', '.join(sorted(left))}"


def test_no_module_is_passed_as_a_value() -> None:
    """A module as an argument hides an import from the rules above."""
    passed = [f"{path.relative_to(ROOT)}:{line} passes the module {name}" for path in MODULES for name, line in parse(path).passed_modules]
    assert not passed, "\n".join(passed)


def test_only_settings_reads_the_environment() -> None:
    # The cli hands the environment on to settings and to its children; the example is a spider of an operator, with a password.
    free = ("newsmill.settings", "newsmill.cli", "crawler.spiders.form_login")
    bound = [path for path in MODULES if not is_in(name_of(path), *free)]
    reads = [f"{path.relative_to(ROOT)}:{line}" for path in bound for line in parse(path).environment_reads]
    assert not reads, f"{', '.join(reads)}: newsmill/settings.py reads the environment, and hands on values"


def test_pure_packages_do_not_read_the_clock() -> None:
    broken = [f"{path.relative_to(ROOT)}:{line}" for path in MODULES if is_in(name_of(path), *PURE) for line in parse(path).clock_reads]
    assert not broken, f"time is an argument: {broken}"


# What unpacks, decodes or parses bytes of other people takes seconds for a hostile body.
BODY_READERS = {"decode_body", "to_utf8", "to_text", "tell_body_kind", "read_feed", "read_homepage", "read_section", "SitemapReader"}
NOT_ON_THE_LOOP = {"crawler.listings.reader", "crawler.inspection.site_inspector"}  # a child process, and a program that fetches one site


def calls(tree: ast.AST) -> set[str]:
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def test_the_crawlers_event_loop_reads_no_body() -> None:
    """A function that does is only handed to a thread by its name, never called."""
    readers, wrong = set(), []
    for path in MODULES:
        if not is_in(name_of(path), "crawler") or name_of(path) in NOT_ON_THE_LOOP:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and calls(node) & BODY_READERS}
        others = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in own)]
        wrong += [f"{name_of(path)}: {sorted(called)}" for node in others if (called := calls(node) & (BODY_READERS | own))]
        readers |= own
    assert not wrong
    assert {"_decode", "_response_of_page"} <= readers


def test_the_rules_see_what_they_forbid() -> None:
    assert broken_rule("newsmill.discovery.feeds", "newsmill.storage.ledger")
    assert broken_rule("newsmill.storage.ledger", "newsmill.context")
    assert broken_rule("crawler.process", "workers.jobs")
    assert broken_rule("newsmill.sandbox.parent", "newsmill.cli.main")
    assert broken_rule("newsmill.extraction.pipeline", "redis")
    assert broken_rule("newsmill.discovery.robots", "socket")
    assert broken_rule("newsmill.exports.formats", "sqlalchemy")
    assert broken_rule("newsmill.text.urls", "newsmill.discovery.feeds")
    assert broken_rule("newsmill.extraction.pipeline", "newsmill.text.urls") is None
    assert broken_rule("workers.jobs", "newsmill.sandbox.parent") is None


def test_a_package_is_called_without_init() -> None:
    assert name_of(ROOT / "newsmill" / "storage" / "__init__.py") == "newsmill.storage"


def test_the_rules_see_what_a_file_does(tmp_path: Path) -> None:
    source = """import redis
import newsmill.text.urls as addresses
from newsmill.extraction import pipeline
def run(): return read(pipeline, urls=addresses), os.environ["A"], os.getenv("B"), datetime.now()
"""
    assert parse_source(ROOT / "newsmill" / "example.py", source) == Module(
        imports=(("redis", 1), ("newsmill.text.urls", 2), ("newsmill.extraction.pipeline", 3)),
        passed_modules=(("pipeline", 4), ("addresses", 4)),
        environment_reads=(4, 4),
        clock_reads=(4,),
    )
