"""Writes the generated parts of the documentation from the code: `python docs/generate.py`; with --check only says what is out of date.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`. Everything else on a page is written by hand.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DOCS = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = 100  # columns of the help texts


def commands() -> dict[tuple[str, ...], Any]:
    """The words of every command, subcommands included, with the command itself."""
    import typer

    from newsmill.cli.main import app

    group: Any = typer.main.get_command(app)
    context: Any = SimpleNamespace(obj=None)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            found |= {(name, subcommand): command.get_command(context, subcommand) for subcommand in command.list_commands(context)}
        else:
            found[name,] = command
    return found


def cli() -> str:
    """A heading and the help text for each command."""
    from typer.testing import CliRunner

    from newsmill.cli.main import app

    runner, parts = CliRunner(), []
    for words in sorted(commands()):
        shown = runner.invoke(app, [*words, "--help"], prog_name="newsmill", env={"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH)})
        if shown.exit_code:
            raise RuntimeError(f"newsmill {' '.join(words)} --help ended with {shown.exit_code}: {shown.output}")
        text = "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
        parts.append(f"## newsmill {' '.join(words)}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def settings() -> str:
    """A table for each group of settings, with one row per environment variable."""
    from newsmill.settings import Settings, group_settings

    parts = []
    for heading, names in group_settings().items():
        rows = [setting_row(Settings.model_fields[name]) for name in names]
        parts.append(f"## {heading}\n\n" + table("variable", "default", "meaning", "value", rows=rows))
    return "\n".join(parts)


def setting_row(field: Any) -> str:
    """The row of one environment variable."""
    value = str(field.default).lower() if field.default in (True, False) else field.default
    default = "" if field.default in (None, (), "") else f"`{value}`"
    return f"| `{field.alias}` | {default} | {field.title} | {code(field.description or '')} |"


def outcomes() -> str:
    """One row per outcome."""
    from newsmill.model import OUTCOMES

    rows = [f"| `{outcome}` | {facts.state} | {facts.meaning} |" for outcome, facts in OUTCOMES.items()]
    return table("outcome", "state", "meaning", rows=rows)


def document_fields() -> str:
    """One row per field of a document."""
    from newsmill.model.document_fields import DOCUMENT_FIELDS

    rows = [
        f"| `{field.name}` | {field.type}{' or null' if field.is_nullable else ''} | {field.meaning[0].upper()}{field.meaning[1:]} |"
        for field in DOCUMENT_FIELDS
    ]
    return table("field", "type", "content", rows=rows)


def scrapy_protected() -> str:
    """One row per Scrapy setting that an administrator cannot change."""
    from crawler.user_settings.protection import CRAWL_PROTECTED, PROTECTED

    parts = (("every spider", PROTECTED), ("the continuous crawl", CRAWL_PROTECTED))
    rows = [f"| `{item.name}` | {where} | {item.reason} | {item.remedy} |" for where, items in parts for item in items]
    return table("setting", "in", "reason", "instead", rows=rows)


def scrapy_middlewares() -> str:
    """One row per Scrapy setting that brings a middleware."""
    from crawler.user_settings.components import MIDDLEWARES

    rows = [f"| `{name}` | `{path.rpartition('.')[2]}` | {number} |" for name, (path, number) in MIDDLEWARES.items()]
    return table("setting", "middleware", "priority", rows=rows)


def routes() -> str:
    """One row per operation of the HTTP API, from its OpenAPI schema."""
    from newsmill.web.server import create_app

    schema = create_app(SimpleNamespace()).openapi()  # type: ignore[arg-type]  # the schema needs no open store
    rows = [
        f"| `{method.upper()}` | `{path}` | {first_sentence(operation.get('description', ''))} | {parameters(operation, schema)} |"
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]
    return table("method", "path", "what it does", "parameters", rows=rows)


def parameters(operation: dict[str, Any], schema: dict[str, Any]) -> str:
    """The names of the query parameters and of the keys of the request body."""
    names = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if reference := media["schema"].get("$ref"):  # a file has no keys
            names += schema["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))  # `source` of pages is in the query or in the body


def python() -> str:
    """Signature and docstring of every public function, and the fields of what it returns."""
    import newsmill
    from newsmill import batch, exceptions
    from newsmill.client import corpus
    from newsmill.client.corpus import Corpus
    from newsmill.client.search_hits import SearchHit
    from newsmill.model import (
        Capture,
        CopyGroup,
        DocumentCopy,
        DocumentMarks,
        MoreOfSite,
        NearDuplicate,
        Revision,
        RevisionSummary,
        Story,
        StoryDetail,
        StoryEvent,
        StoryMember,
    )
    from newsmill.site_inspection.findings import FoundListing, SampleArticle, SiteInspection

    functions = [item for name, item in vars(newsmill).items() if inspect.isfunction(item) and not name.startswith("_")]
    parts = [described(f"newsmill.{item.__name__}", item) for item in functions]
    parts += [described(f"newsmill.batch.{name}", item) for name in batch.__all__ if inspect.isfunction(item := getattr(batch, name))]
    parts += [
        described(f"corpus.{name}", item) for name, item in vars(Corpus).items() if inspect.isfunction(item) and not name.startswith("_")
    ]
    returned = [batch.BatchOptions, batch.FileCounts, Capture]
    returned += [SearchHit, corpus.QueryCheck, corpus.FacetCounts, corpus.FacetCount, corpus.TimelineBar]
    returned += [corpus.Change, corpus.Removal, corpus.SourceSummary, corpus.UrlOutcome]
    returned += [
        NearDuplicate,
        CopyGroup,
        DocumentCopy,
        Story,
        StoryDetail,
        StoryMember,
        MoreOfSite,
        StoryEvent,
        RevisionSummary,
        Revision,
        DocumentMarks,
        SiteInspection,
        FoundListing,
        SampleArticle,
    ]
    parts += [f"## {shape.__name__}\n\n{shape.__doc__}\n\n{fields(shape)}" for shape in returned]
    tree = [item for item in vars(exceptions).values() if inspect.isclass(item) and issubclass(item, exceptions.NewsmillError)]
    parts.append("## Errors\n\n" + table("error", "raised when", rows=[f"| `{e.__name__}` | {unraised(e.__doc__ or '')} |" for e in tree]))
    return "\n".join(parts)


def described(name: str, item: Callable[..., Any]) -> str:
    """A heading, the signature and the docstring of one function."""
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(item))).replace("(self, ", "(").replace("(self)", "()")
    paragraphs = inspect.getdoc(item) or ""
    return f"## {name}\n\n```text\n{name}{signature}\n```\n\n{paragraphs}\n"


def fields(shape: Any) -> str:
    """The fields of a dataclass."""
    return table(
        "field", "type", rows=[f"| `{field.name}` | `{str(field.type).replace(' | ', ' or ')}` |" for field in dataclasses.fields(shape)]
    )


def decisions() -> str:
    """One row per decision record, by page."""
    rows = []
    for path in sorted((DOCS / "decisions").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for title, day in re.findall(r"^## (.+)\n\n\*(\d{4}-\d\d-\d\d)\*$", text, re.MULTILINE):
            rows.append(f"| {day} | [{title}]({path.name}#{anchor(title)}) | {text.partition('# ')[2].partition(chr(10))[0]} |")
    return table("date", "decision", "about", rows=rows)


def table(*head: str, rows: list[str]) -> str:
    """A Markdown table."""
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows, ""])


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    line = " ".join(text.split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", line, maxsplit=1)[0].replace("|", "\\|")


def anchor(heading: str) -> str:
    """The anchor that MkDocs and GitHub give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def unraised(text: str) -> str:
    """A docstring "Raised when it rains" as "it rains"."""
    return " ".join(text.split()).removeprefix("Raised when ").replace("|", "\\|")


def code(text: str) -> str:
    """A description safe in a table cell."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("[", "\\[")


GENERATORS: dict[str, Callable[[], str]] = {
    "cli": cli,
    "settings": settings,
    "outcomes": outcomes,
    "document-fields": document_fields,
    "routes": routes,
    "python": python,
    "decisions": decisions,
    "scrapy-protected": scrapy_protected,
    "scrapy-middlewares": scrapy_middlewares,
}


def current(page: str) -> str:
    """A page with its generated parts made anew."""
    return PART.sub(lambda match: f"{match[1]}\n{GENERATORS[match[2]]().strip()}\n\n{match[3]}", page)


def main() -> int:
    stale = []
    for path in sorted(DOCS.rglob("*.md")):
        old = path.read_text(encoding="utf-8")
        if (new := current(old)) != old:
            stale.append(str(path.relative_to(DOCS)))
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    print("\n".join(stale) or "every generated part is current")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
