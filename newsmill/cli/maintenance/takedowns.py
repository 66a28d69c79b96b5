"""`newsmill takedowns`: articles that are removed at somebody's demand, and stay away."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.progress import count_progress
from newsmill.cli.sources.commands import confirm
from newsmill.cli.terminal import Json, format_count, note, print_json, print_table, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.site_inspection.processes import add_scheme
from newsmill.storage.ledger.takedown_demands import TakedownResult
from newsmill.storage.ledger.takedowns import Erasure
from newsmill.text.urls import make_key

app = typer.Typer(
    no_args_is_help=True, help="Remove articles at somebody's demand from database, search index and archive, and list the barred URLs."
)
MAX_REASON_CHARACTERS = 1_000
OUTSIDE = "was submitted with --in-place: Newsmill does not change the file, and does not read the barred pages in it again"


@app.command("add")
def add_takedown(
    articles: Annotated[list[str], typer.Argument(metavar="URL|ID…", help="URLs of articles, or IDs of documents.")],
    reason: Annotated[str, typer.Option("--reason", help="Who demanded it and why, such as a file number. It is stored.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove articles and all their revisions from database, search index and archive, and their images. This cannot be undone.

    Their URLs are not fetched or stored again, whatever feed, program or file brings them. Readers of changes (`export --since-last`, the
    stream) learn that the documents were removed. Earlier exports and backups are not changed.

    Safe while Newsmill runs; safe to run again. Exits with 1 if a file of the archive could not be searched.
    """
    if not reason.strip() or len(reason) > MAX_REASON_CHARACTERS:
        raise ConfigError(f"--reason: expected 1 to {MAX_REASON_CHARACTERS:,} characters")
    with context.open_context(configuration.load()) as store:
        named = [one if store.documents.get(one) else add_scheme(one) for one in articles]
        if not yes:
            for one in named:
                note(printable(f"  {describe_article(store, one)}"))
            confirm(f"Remove {'this article' if len(named) == 1 else f'these {len(named):,} articles'}?")
        near = list_near_duplicates(store, named)
        result = store.takedowns.add(named, reason.strip(), now=store.now())
        erasure = erase(store)
        waiting, machines = store.takedowns.count_to_erase(), find_machines(store)
    if as_json:
        removed = {"documents": result.documents, "urls": result.urls, "similar": near}
        print_json(removed | {"erasure": erasure, "not_erased": waiting, "machines": machines})
    else:
        print_result(result, near)
        print_erasure(erasure, waiting)
        print_machines(machines)
    require_readable(erasure)


def describe_article(store: AppContext, one: str) -> str:
    """What is removed: a title, or a URL without a document."""
    document = store.documents.get(one)
    return f"{document.title!r} ({document.url})" if document is not None else f"{one}, which has no document"


def list_near_duplicates(store: AppContext, named: list[str]) -> list[str]:
    """The URLs of other documents with nearly the same text."""
    ids = {document.id for one in named if (document := store.documents.get(one)) is not None}
    found = {near.url for document_id in ids for near in store.near_duplicates.of(document_id) or () if near.id not in ids}
    return sorted(found)


def erase(store: AppContext) -> Erasure:
    """Erase the pages and words of takedowns, with a progress bar, and the files of this machine before."""
    if images := context.find_derived_files(store).erase():
        note(f"{format_count(images, 'image')} deleted")
    with count_progress("archive files", total=None) as advance:
        return store.takedowns.erase(store.archive, now=store.now(), advance=advance)


def print_result(result: TakedownResult, near: list[str]) -> None:
    """Say what was removed from the database."""
    if result.documents:
        columns = ("document", "title", "URL", "revisions")
        print_table(columns, [[one.id, one.title, one.url, one.revisions] for one in result.documents])
    note(f"{format_count(len(result.documents), 'document')} removed, {format_count(len(result.urls), 'URL')} barred")
    if near:
        note(f"{format_count(len(near), 'other document')} with nearly the same text:")
        for url in near:
            note(printable(f"  {url}"))


def print_erasure(erasure: Erasure, waiting: int) -> None:
    """Say what was erased from the archive, and what was not."""
    note(
        f"{format_count(erasure.pages, 'page')} erased from {format_count(erasure.files, 'file')}"
        f" of the archive; {format_count(erasure.searched, 'file')} searched"
    )
    for file in erasure.outside:
        note(printable(f"{file} {OUTSIDE}"))
    for reason in erasure.unreadable:
        note(f"not searched: {reason}")
    if waiting:
        note(f"{format_count(waiting, 'URL')} may still have pages in the archive; run `newsmill takedowns erase` in 15 minutes")


def find_machines(store: AppContext) -> dict[str, bool] | None:
    """The machines with a live process, each with whether all takedowns are applied to its files; None: the database is of this machine."""
    return None if store.settings.database_url is None else store.takedowns.list_machines(now=store.now())


def print_machines(machines: dict[str, bool] | None) -> None:
    """Say what is known of the stores of past times and the images on the machines that share a database."""
    if machines is None:
        return
    for is_erased, text in ((True, "erased by the processes of"), (False, "not erased yet by the processes of")):
        if names := [name for name in machines if machines[name] is is_erased]:
            note(f"files of past times and images: {text} {', '.join(names)}")
    note("a machine erases its files of past times and images within a minute, and without a process when one starts")


def require_readable(erasure: Erasure) -> None:
    """Raises NewsmillError if a file of the archive could not be searched."""
    if erasure.unreadable:
        count = format_count(len(erasure.unreadable), "file")
        raise NewsmillError(f"{count} of the archive could not be searched; restore or remove them, then run `newsmill takedowns erase`")


@app.command("list")
def list_takedowns(as_json: Json = False) -> None:
    """List the barred URLs, with reasons, and whether their pages are erased from the archive."""
    with context.open_context(configuration.load()) as store:
        found, machines = store.takedowns.list(store.archive), find_machines(store)
    if as_json:
        print_json(found)
    elif found:
        rows: list[list[Any]] = [
            [one.created_at, one.url, one.reason, one.erased_pages, "yes" if one.erase_after is None else "no"] for one in found
        ]
        print_table(("since", "URL", "reason", "erased pages", "archive searched"), rows)
        for file in sorted({file for one in found for file in one.files}):
            note(printable(f"{file} {OUTSIDE}; it has {', '.join(one.url for one in found if file in one.files)}"))
        print_machines(machines)
    else:
        note("no URL is barred")


@app.command("erase")
def erase_pages(as_json: Json = False) -> None:
    """Search the archive for remaining pages of takedowns, and erase them with their words in the search index and their images.

    Exits with 1 if a file of the archive could not be searched.
    """
    with context.open_context(configuration.load()) as store:
        erasure = erase(store)
        waiting, machines = store.takedowns.count_to_erase(), find_machines(store)
    if as_json:
        print_json({"erasure": erasure, "not_erased": waiting, "machines": machines})
    else:
        if erasure.searched or waiting:
            print_erasure(erasure, waiting)
        else:
            note("no takedown waits; nothing is searched")
        print_machines(machines)
    require_readable(erasure)


@app.command("remove")
def remove_takedown(
    urls: Annotated[list[str], typer.Argument(metavar="URL…", help="URLs as `newsmill takedowns list` shows them.")],
) -> None:
    """Permit URLs again. They are fetched anew if the ledger knows them; removed documents do not come back."""
    with context.open_context(configuration.load()) as store:
        removed = store.takedowns.remove({make_key(add_scheme(url)) for url in urls}, store.archive, now=store.now())
    note(f"{format_count(removed, 'URL')} permitted again" if removed else "none of the URLs is barred; run `newsmill takedowns list`")
    if removed < len(urls):
        raise typer.Exit(1)
