"""The revisions of a document: `newsmill revisions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.terminal import Json, note, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.model import Document, Revision, RevisionCause, RevisionSummary
from newsmill.similarity.revision_comparison import ChangeKind, ParagraphChange, compare_texts, compare_words
from newsmill.storage.revisions import Revisions

CAUSES = {RevisionCause.FETCH: "new fetch", RevisionCause.EXTRACTION: "new extraction of the same page"}
MARKS = {ChangeKind.KEPT: "{}", ChangeKind.REMOVED: "[-{}-]", ChangeKind.ADDED: "{{+{}+}}"}  # as of wdiff


def revisions(
    document: Annotated[str, typer.Argument(metavar="URL|ID", help="URL or id of the document.")],
    show: Annotated[int | None, typer.Option("--show", metavar="N", min=1, help="Print the title and the text of revision N.")] = None,
    changes: Annotated[
        int | None,
        typer.Option("--changes", metavar="N", min=1, help="Print what revision N changed: [-removed-] and {+added+} words."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List a document's revisions, or show one revision or its changes.

    The current revision comes first. With --json, a list has one line for each revision, --show prints the fields of revision N, and
    --changes its paragraphs with the pieces that were kept, removed and added.
    """
    if show is not None and changes is not None:
        raise ConfigError("--show and --changes exclude each other")
    with context.open_context(configuration.load()) as store:
        found = store.documents.get(document)
        if found is None:
            raise NewsmillError(f"No document has the URL or id {document}; run `newsmill trace URL` to see what happened to a URL")
        if show is not None:
            print_revision(find_revision(store, found, show), as_json=as_json)
        elif changes is not None:
            print_changes(store, found, changes, as_json=as_json)
        else:
            print_list(found, Revisions(store.engine).list(found.id) or (), as_json=as_json)


def find_revision(store: AppContext, document: Document, number: int) -> Revision:
    """One revision of a document. Raises NewsmillError if it is not kept."""
    found = Revisions(store.engine).get(document.id, number)
    if found is None:
        raise NewsmillError(f"Revision {number} of {document.url} is not kept; run `newsmill revisions URL` to list the kept revisions")
    return found


def print_list(document: Document, listed: Sequence[RevisionSummary], *, as_json: bool) -> None:
    """Print a table or JSON lines of revisions."""
    if as_json:
        for one in listed:
            print_json(one)
        return
    rows = [
        [one.revision, f"{one.stored_at:%Y-%m-%d %H:%M}", one.word_count, describe_change(one), printable(one.title or "(no title)")]
        for one in listed
    ]
    print_table(("revision", "stored", "words", "change", "title"), rows)
    if missing := document.revision - len(listed):
        note(f"{missing:,} of {document.revision:,} revisions are not kept")


def describe_change(one: RevisionSummary) -> str:
    """What a revision changed and why: "title, text +12 −3 (new fetch)"."""
    if one.cause is None:
        return "first that is kept"
    fields = ", ".join(f"text +{one.words_added:,} −{one.words_removed:,}" if name == "text" else name for name in one.changed)
    return f"{fields or 'nothing visible'} ({CAUSES[one.cause]})".replace("live_updates", "live updates")


def print_revision(revision: Revision, *, as_json: bool) -> None:
    """Print a revision as JSON, or its title and its text."""
    if as_json:
        print_json(revision)
        return
    typer.echo(f"{printable(revision.title or '(no title)')}\n\n{printable(revision.text)}")


def print_changes(store: AppContext, document: Document, number: int, *, as_json: bool) -> None:
    """Print the difference between a revision and the kept one before it. Raises NewsmillError without one."""
    listed = {one.revision: one for one in Revisions(store.engine).list(document.id) or ()}
    new = find_revision(store, document, number)
    previous = listed[number].previous if number in listed else None
    if previous is None:
        raise NewsmillError(f"Revision {number} of {document.url} is the first that is kept: there is nothing to compare it with")
    old = find_revision(store, document, previous)
    title = compare_words(old.title or "", new.title or "")
    paragraphs = compare_texts(old.text, new.text)
    if as_json:
        print_json({"revision": number, "previous": previous, "changed": listed[number].changed, "title": title, "paragraphs": paragraphs})
        return
    authors = [", ".join(author.name for author in one.authors) for one in (old, new)]
    heading = ParagraphChange(ChangeKind.CHANGED, title)
    byline = ParagraphChange(ChangeKind.CHANGED, compare_words(*authors))
    typer.echo("\n\n".join(line for part in (heading, byline, *paragraphs) if (line := format_paragraph(part))))


def format_paragraph(change: ParagraphChange) -> str:
    """A paragraph in the form of wdiff. The marks stand inside its lines."""
    return "".join(MARKS[piece.kind].format(printable(piece.text)) for piece in change.pieces if piece.text)
