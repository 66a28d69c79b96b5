"""`newsmill searches`: saved searches."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.commands import QueryCommand
from newsmill.cli.terminal import Json, note, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.storage.saved_searches import ANYONE, SavedSearch, SavedSearches

searches = typer.Typer(no_args_is_help=True, help="List, add, rename and remove saved searches.")

User = Annotated[str, typer.Option("--user", help="Owner: the name of a token; default: the user without a token.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the saved search.")]


@searches.command("list")
def list_searches(as_json: Json = False) -> None:
    """List the saved searches of all users, with the number of new documents since the user last looked."""
    with context.open_context(configuration.load()) as store:
        found = SavedSearches(store.engine).list_all()
    if as_json:
        print_json([search_record(search) for search in found])
    elif found:
        columns = ("name", "user", "query", "stories of", "new", "since saved", "looked")
        print_table(columns, [[*list_terms(one), one.new, one.matches, one.looked_at] for one in found])
    else:
        note("no search is saved; run `newsmill searches add NAME QUERY`")


@searches.command("add", cls=QueryCommand)
def add_search(
    name: Name,
    query: Annotated[list[str] | None, typer.Argument(metavar="QUERY", help="As for `newsmill search`.")] = None,
    user: User = ANYONE,
    story_sources: Annotated[
        int | None, typer.Option("--stories", metavar="N", help="Match stories that at least N sources carry, instead of documents.")
    ] = None,
) -> None:
    """Save a search. Documents stored or changed from now on are matched while `newsmill up` or `newsmill web` runs.

    With --stories, QUERY may be missing; else a document of the story must match it.
    """
    # the search costs 0.2 s of CPU, which the other commands here and `status` need not spend
    from newsmill.cli.documents import print_notes
    from newsmill.search.check import check_saved_query

    text = " ".join(query or ())
    with context.open_context(configuration.load()) as store:
        if text and (reason := store.search.find_useless(text)):
            raise ConfigError(f"QUERY: {reason}")
        saved = SavedSearches(store.engine).add(user, name, text, now=store.now(), story_sources=story_sources)
    print_notes(check_saved_query(text))
    what = "documents" if story_sources is None else "stories"
    note(f"saved {saved.name!r}; run `newsmill alerts add` to be notified of new {what}")


@searches.command("rename")
def rename_search(name: Name, new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")], user: User = ANYONE) -> None:
    """Rename a saved search."""
    with context.open_context(configuration.load()) as store:
        SavedSearches(store.engine).rename(find_search(store, user, name), new)
    note(f"renamed {name!r} to {new!r}")


@searches.command("remove")
def remove_search(name: Name, user: User = ANYONE) -> None:
    """Remove a saved search with its alerts."""
    with context.open_context(configuration.load()) as store:
        SavedSearches(store.engine).remove(find_search(store, user, name).id)
    note(f"removed {name!r}")


def find_search(store: AppContext, user: str, name: str) -> SavedSearch:
    """The search. Raises ConfigError if the user has none with this name."""
    found = SavedSearches(store.engine).find(user, name)
    if found is None:
        names = ", ".join(repr(search.name) for search in SavedSearches(store.engine).list_all(user)) or "none"
        owner = user or "the user without a token"
        raise ConfigError(
            f"{owner} has no saved search {name[:80]!r} (there are: {names}); `newsmill searches list` shows those of all users"
        )
    return found


def list_terms(search: SavedSearch) -> list[str]:
    """What a search matches, as cells of a table."""
    sources = "-" if search.story_sources is None else f"{search.story_sources} sources"
    return [search.name, search.user or "-", search.query or "-", sources]


def search_record(search: SavedSearch) -> dict[str, Any]:
    """A search as JSON."""
    names = ("id", "user", "name", "query", "story_sources", "created_at", "matches", "new", "looked_at")
    return {name: getattr(search, name) for name in names}
