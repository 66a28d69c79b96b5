"""The list of sources, with the state of each, for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from newsmill.cli.sources.state import describe_health
from newsmill.cli.terminal import now, to_json
from newsmill.context import AppContext
from newsmill.model import Source, State
from newsmill.sources.table_values import format_duration
from newsmill.storage.ledger import Progress
from newsmill.storage.source_health import SourceHealth, SourceHealthReader

COLUMNS = ("source", "state", "schedule", "pages", "stored", "dropped", "failed", "pending pages")


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source in a list, with its state and progress."""

    source: Source
    health: SourceHealth
    progress: Progress


def read_listed(store: AppContext) -> list[ListedSource]:
    """All sources by name. The number of statements does not grow with that of the sources."""
    sources, progress = store.ledger.sources.list_all(), store.ledger.progress.count_by_source()
    health = SourceHealthReader(store.engine).read_all(sources, now=now())
    return [ListedSource(source, health[source.name], progress.get(source.name, Progress(0))) for source in sources]


def to_row(listed: ListedSource) -> list[object]:
    """One row of COLUMNS. The pages are those of the other columns together."""
    source, health, progress = listed.source, listed.health, listed.progress
    return [
        source.name,
        describe_health(health, now()),
        format_schedule(source),
        progress.pages,
        progress.states.get(State.DONE, 0),
        progress.states.get(State.DROPPED, 0),
        progress.states.get(State.FAILED, 0) + progress.states.get(State.QUARANTINED, 0),
        progress.pending_pages,
    ]


def format_schedule(source: Source) -> str:
    """`every 15m`, the cron expression, or `adaptive`."""
    if source.every is None:
        return source.cron or "adaptive"
    return f"every {format_duration(source.every)}"


def to_record(source: Source) -> dict[str, Any]:
    """A source as JSON, with `every` as in sources.toml and the API."""
    record: dict[str, Any] = to_json(source)
    spans = {"every": source.every, "freshness": source.freshness, "max_age": source.max_age}
    return record | {key: None if span is None else format_duration(span) for key, span in spans.items()}
