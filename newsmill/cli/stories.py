"""`newsmill stories`: documents that tell the same news."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.commands import QueryCommand
from newsmill.cli.terminal import Json, format_count, note, print_json, print_table, printable
from newsmill.exceptions import NewsmillError
from newsmill.model import Story, StoryDetail, StoryEvent, StoryEventKind, StoryMember
from newsmill.storage.stories import Stories, StoryOrder
from newsmill.storage.story_edits import StoryEdits

stories = typer.Typer(no_args_is_help=True, help="List and show stories, and merge, split and pin them for good.")

DAY, MINUTE = "%Y-%m-%d", "%Y-%m-%d %H:%M"
MAX_SITES = 20  # that have more documents, of a story

StoryId = Annotated[int, typer.Argument(metavar="ID", help="ID of the story, as in `newsmill stories list`.")]


@stories.command("list", cls=QueryCommand)
def list_stories(
    query: Annotated[list[str] | None, typer.Argument(metavar="[QUERY]…", help="Only stories of its newest 1,000 matches.")] = None,
    biggest: Annotated[bool, typer.Option("--biggest", help="Those of the most sources first, not the newest.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only with a document from then on (UTC): 2026-11-30, yesterday, 24h.")
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also stories of two documents of one site.")] = False,
    source: Annotated[str | None, typer.Option("--source", help="Only with a document of this source.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Maximum number of stories.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest or the biggest stories. Exits with 1 if there are none."""
    # the search costs 0.2 s of CPU, which the other commands here need not spend
    from newsmill.cli.export_options import read_since
    from newsmill.search.facets import format_filter
    from newsmill.search.story_search import find_stories

    words = [*(query or ()), *([] if source is None else [format_filter("source", source) or f'source:"{source}"'])]
    from_time = read_since(since, datetime.now(UTC))
    with context.open_context(configuration.load()) as store:
        order: StoryOrder = "biggest" if biggest else "newest"
        found, _ = find_stories(store.engine, " ".join(words), since=from_time, order=order, pairs=pairs, limit=limit)
    if as_json:
        for story in found:
            print_json(story)
    elif found:
        print_table(("id", "first", "last", "documents", "texts", "sources", "title"), map(to_row, found))
    if not found:
        note("no story was found; the scheduler finds new stories within a minute, and `--pairs` lists those of two documents of one site")
        raise typer.Exit(1)


@stories.command("show")
def show_story(story: StoryId, as_json: Json = False) -> None:
    """Show a story: its documents in the order in which they were seen, what each added, and why it belongs to the story."""
    with context.open_context(configuration.load()) as store:
        found = Stories(store.engine).get(story)
    if found is None:
        raise NewsmillError(f"story {story} does not exist; `newsmill stories list` lists stories")
    if as_json:
        print_json(found)
    else:
        typer.echo(printable("\n".join(format_story(found))))


@stories.command("merge")
def merge_stories(story: StoryId, others: Annotated[list[int], typer.Argument(metavar="OTHER…", help="IDs of other stories.")]) -> None:
    """Make one story of several, for good. The oldest ID stays, and the others lead to it."""
    with _edits() as (edits, now):
        note(f"story {edits.merge([story, *others], now=now)} has the documents of all")


@stories.command("split")
def split_story(
    story: StoryId, documents: Annotated[list[str], typer.Argument(metavar="DOCUMENT…", help="IDs of documents that tell other news.")]
) -> None:
    """Make a story of its own of some documents, for good. Their copies go with them."""
    with _edits() as (edits, now):
        made = edits.split(story, documents, now=now)
    note(f"story {made} has the documents" if made != story else "the document tells no story now")


@stories.command("pin")
def pin_story(story: StoryId, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False) -> None:
    """Keep the documents of a story together, for good. Later documents can still join it."""
    with _edits() as (edits, now):
        pinned = edits.pin(story, now=now, pinned=not off)
    note(f"story {pinned} is {'no longer pinned' if off else 'pinned'}")


@contextmanager
def _edits() -> Iterator[tuple[StoryEdits, datetime]]:
    with context.open_context(configuration.load()) as store:
        yield StoryEdits(store.engine), store.now()


def to_row(story: Story) -> list[object]:
    """A story as a row of the list."""
    return [story.id, *format_days(story), story.documents, story.texts, story.sources, printable(story.title or "(no title)")]


def format_days(story: Story) -> list[str]:
    """The first and the last day: a document may state no time."""
    return [f"{at:{DAY}}" for at in (story.first_at, story.last_at)]


def format_story(detail: StoryDetail) -> Iterator[str]:
    """The lines that show a story. They have texts of pages, which `printable` is for."""
    story = detail.story
    counts = (format_count(story.documents, "document"), format_count(story.texts, "text"), format_count(story.sources, "source"))
    yield f"{story.id}  {story.title or '(no title)'}"
    yield f"{', '.join(counts)}, {' to '.join(format_days(story))}{' (pinned)' if detail.is_pinned else ''}"
    for member in detail.members:
        yield ""
        time = f"{member.at:{DAY if member.is_dated_by_day else MINUTE}}"
        yield f"{time}  {member.source or member.site_name or '-'}: {member.title or '(no title)'}"
        yield f"  {member.url}  ({member.id})"
        yield f"  {describe_evidence(member)}"
        yield from (f"  + {sentence}" for sentence in member.added)
    if detail.more:
        yield ""
        yield from (f"and {format_count(more.documents, 'more document')} of {more.site}" for more in detail.more[:MAX_SITES])
        if others := detail.more[MAX_SITES:]:
            yield f"and {format_count(sum(more.documents for more in others), 'more document')} of {len(others)} other sites"
    if detail.events:
        yield ""
        yield from (f"{event.at:%Y-%m-%d %H:%M}  {describe_event(event, story.id)}" for event in detail.events)


def describe_evidence(member: StoryMember) -> str:
    """Why a document belongs to its story."""
    if member.duplicate_of is not None:
        return f"copy of {member.duplicate_of}"
    return f"shares {', '.join(member.shared_terms) or 'no rare term'}"


def describe_event(event: StoryEvent, story_id: int) -> str:
    """What happened to the story, and who decided it."""
    match event.kind:
        case StoryEventKind.MERGED:
            done = f"story {event.other_id} was merged into story {event.story_id}"
        case StoryEventKind.SPLIT:
            done = f"story {event.other_id} was split off story {event.story_id}"
        case StoryEventKind.PINNED:
            done = f"story {story_id} was pinned"
        case _:
            done = f"story {story_id} was no longer pinned"
    return done if event.user is None else f"{done} by {event.user or 'a person'}"
