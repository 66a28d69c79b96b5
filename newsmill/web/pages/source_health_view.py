"""The state of a source in the words of a page: "active", "paused", or what fails and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from newsmill.context import AppContext
from newsmill.failures import get_refusal
from newsmill.model import Kind, Outcome, OutcomeRecord, Source
from newsmill.storage.source_health import HealthState, SourceHealth, SourceHealthReader
from newsmill.web.pages.messages import translate_message
from newsmill.web.pages.translations import Translations

MAX_PROBLEMS = 5  # on the home page


@dataclass(frozen=True, slots=True)
class HealthView:
    """`mark` is the CSS class of the state, `url` one of the URLs that fail."""

    name: str
    mark: str
    text: str
    url: str | None = None


def read_health(context: AppContext, sources: Sequence[Source], words: Translations, now: datetime) -> Mapping[str, HealthView]:
    """The states of sources by their names."""
    healths = SourceHealthReader(context.engine).read_all(sources)
    return {name: describe_health(name, health, words, now) for name, health in healths.items()}


def list_problems(context: AppContext, words: Translations, now: datetime) -> list[HealthView]:
    """The sources that an administrator should look at."""
    reader = SourceHealthReader(context.engine)
    named = (context.ledger.source(name) for name in reader.list_failing_names())
    healths = reader.read_all([source for source in named if source is not None])
    return [describe_health(name, health, words, now) for name, health in healths.items() if health.is_problem]


def describe_health(name: str, health: SourceHealth, words: Translations, now: datetime) -> HealthView:
    """The state with its mark."""
    if health.failure is None:
        mark = "off" if health.state is HealthState.PAUSED else "on"
        texts = {HealthState.PAUSED: words("sources.off"), HealthState.UNREAD: words("sources.unread")}
        return HealthView(name, mark, texts.get(health.state, words("sources.on")))
    text = describe_failure(health.failure, words)
    if health.since is not None:
        is_today = health.since.date() == now.date()
        text = words("source_health.since", failure=text, at=words.clock(health.since) if is_today else words.short(health.since))
    if health.kind is Kind.PAGE:
        text = words("source_health.pages", failure=text) if health.since else words("source_health.no_documents", failure=text)
    elif health.failing < health.of:
        text = words("source_health.some", n=words.number(health.failing), of=words.number(health.of), failure=text)
    return HealthView(name, "bad" if health.state is HealthState.FAILING else "doubtful", text, health.url)


def describe_failure(failure: OutcomeRecord, words: Translations) -> str:
    """The failure in a few words of the reader's language."""
    if (status := get_refusal(failure)) is not None:
        return words("source_health.blocked", status=status)
    if failure.outcome is Outcome.HTTP_ERROR and failure.detail:
        return translate_message(failure.detail, words.language) or failure.detail
    return words(f"outcome.{failure.outcome}")
