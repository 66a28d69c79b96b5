"""`newsmill show`: one document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import print_json, print_table, printable
from newsmill.exceptions import NewsmillError
from newsmill.exports.records import to_record
from newsmill.model import Author, Document

Json = Annotated[bool, typer.Option("--json", help="Print JSON with the fields of `newsmill export`.")]


def show(document: Annotated[str, typer.Argument(metavar="URL|ID", help="URL or id of the document.")], as_json: Json = False) -> None:
    """Show one document: its fields, their provenance and its text."""
    with context.open_context(configuration.load()) as store:
        found = store.documents.get(document)
        if found is None:
            raise NewsmillError(f"No document has the URL or id {document}; run `newsmill trace URL` to see what happened to a URL")
    print_json(to_record(found)) if as_json else print_document(found)


SHOWN_FIELDS = (
    "url",
    "source",
    "site_name",
    "authors",
    "published_at",
    "modified_at",
    "fetched_at",
    "language",
    "section",
    "tags",
    "word_count",
    "confidence",
    "doubtful",
    "is_free",
    "revision",
    "warnings",
    "archive_ref",
    "id",
)


def print_document(document: Document) -> None:
    """Print the title, the known fields with their provenance, and the text."""
    lines = [printable(document.title or "(no title)"), ""]
    for name in SHOWN_FIELDS:
        if (value := format_value(getattr(document, name))) is not None:
            origin = document.provenance.get(name)
            lines.append(f"{name:<13} {printable(value)}{f'   ({origin})' if origin else ''}")
    typer.echo("\n".join([*lines, "", printable(document.text)]))


def format_value(value: object) -> str | None:
    """The value of a field as text; None if it is empty."""
    if value is None or value == ():
        return None
    if isinstance(value, tuple):
        return ", ".join(item.name if isinstance(item, Author) else str(item) for item in value)
    return str(value)


def print_documents(documents: Iterable[Document]) -> None:
    """Print a table of documents."""
    rows = [
        [document.published_at, document.language, document.word_count, f"{document.title or '(no title)'}\n{document.url}"]
        for document in documents
    ]
    if rows:
        print_table(("published", "lang", "words", "title and URL"), rows)
