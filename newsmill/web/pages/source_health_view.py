"""The state of a source in the words of a page: its name, why and since when, the evidence, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from newsmill.context import AppContext
from newsmill.health.assessment import weigh
from newsmill.health.cause_texts import ValueFormat, choose_evidence_text, format_values, summarize
from newsmill.health.causes import Finding, HealthState
from newsmill.model import OUTCOMES, Kind, OutcomeRecord, Source, get_refusal
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealth, SourceHealthReader
from newsmill.web.pages.sentence_translations import translate_sentence
from newsmill.web.pages.translations import Translations

MAX_PROBLEMS = 5  # on the home page
MARKS = {
    HealthState.PAUSED: "off",
    HealthState.EMPTY: "failing",
    HealthState.SLOW: "failing",
}  # CSS classes; others without a failure: "on"


@dataclass(frozen=True, slots=True)
class CauseView:
    """A cause: what is wrong and since when, the evidence, what to do, and when it was over."""

    title: str
    evidence: str
    remedy: str
    url: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class HealthView:
    """`mark` is the CSS class of the state, `url` one of the URLs that fail."""

    name: str
    mark: str
    text: str
    url: str | None = None
    causes: tuple[CauseView, ...] = ()


def read_health(context: AppContext, sources: Sequence[Source], words: Translations, now: datetime) -> Mapping[str, HealthView]:
    """The states of sources by their names."""
    healths = SourceHealthReader(context.engine).read_all(sources, now=now)
    return {name: describe_health(name, health, words, now) for name, health in healths.items()}


def list_problems(context: AppContext, words: Translations, now: datetime) -> list[HealthView]:
    """The sources that an administrator should look at, those with a proven cause first."""
    reader = SourceHealthReader(context.engine)
    healths = reader.read_all(context.ledger.sources.list_all({*reader.list_problem_names(), *reader.list_failing_names()}), now=now)
    healths = dict(sorted(healths.items(), key=lambda pair: not pair[1].is_problem))
    return [describe_health(name, health, words, now) for name, health in healths.items() if health.is_problem or health.failure]


def list_past_alarms(context: AppContext, name: str, words: Translations, now: datetime) -> list[CauseView]:
    """The newest alarms of a source that are over."""
    return [
        describe_cause(name, alarm.finding, words, now, alarm.until)
        for alarm in SourceAlarms(context.engine).list_history(name)
        if alarm.until is not None
    ]


def describe_health(name: str, health: SourceHealth, words: Translations, now: datetime) -> HealthView:
    """The state with its mark."""
    state, causes = words(f"health.state.{health.state}"), tuple(describe_cause(name, one, words, now) for one in health.causes)
    if (cause := health.cause) is not None:
        text = summarize(words(f"health.state.{weigh(cause)[1]}"), cause, words(f"health.cause.{cause.cause}"), write_values(words, now))
        text = words("source_health.since", failure=text, at=write_time(words, cause.since, now))
        return HealthView(name, "bad", text, cause.evidence.url or health.url, causes)
    if health.failure is None or health.since is None:
        return HealthView(name, MARKS.get(health.state, "on"), describe_state(health, words))
    failure = describe_failure(health.failure, words)
    if health.kind is Kind.PAGE:
        failure = words("source_health.no_article", failure=failure)
    elif health.failing < health.of:
        failure = words("source_health.some", n=words.number(health.failing), of=words.number(health.of), failure=failure)
    since = words("source_health.since", failure=state, at=write_time(words, health.since, now))
    return HealthView(name, "failing", f"{since}: {failure}", health.url)


def describe_state(health: SourceHealth, words: Translations) -> str:
    """A state without a failure, with its figure."""
    seen = health.seen
    if seen is not None and health.state is HealthState.EMPTY:
        return words.n("source_health.empty", seen.reads)
    if seen is not None and health.state is HealthState.SLOW:
        return words("source_health.slow", n=words.number(round(seen.response_seconds or 0)))
    return words(f"health.state.{health.state}")


def describe_cause(name: str, finding: Finding, words: Translations, now: datetime, until: datetime | None = None) -> CauseView:
    """A cause with its evidence and remedy."""
    state, cause = words(f"health.state.{weigh(finding)[1]}"), words(f"health.cause.{finding.cause}")
    title = words("source_health.since", failure=f"{state}: {cause}", at=write_time(words, finding.since, now))
    evidence = words(f"health.evidence.{choose_evidence_text(finding)}", **format_values(finding.evidence, write_values(words, now)))
    remedy = words(f"health.remedy.{finding.cause}").replace("NAME", name)
    return CauseView(title, evidence, remedy, finding.evidence.url, until)


def write_values(words: Translations, now: datetime) -> ValueFormat:
    """How the reader's language writes values."""
    return ValueFormat(
        words.number,
        lambda share: words.percent(share, 1),
        lambda at: write_time(words, at, now),
        lambda failure: describe_failure(failure, words),
        words("sources.nothing"),
    )


def write_time(words: Translations, at: datetime, now: datetime) -> str:
    """The time of day if it is today, else with the date."""
    return words.clock(at) if at.date() == now.date() else words.short(at)


def describe_failure(failure: OutcomeRecord, words: Translations) -> str:
    """The failure in a few words of the reader's language."""
    if (status := get_refusal(failure)) is not None:
        return words("source_health.blocked", status=status)
    name, facts = words(f"outcome.{failure.outcome}"), OUTCOMES[failure.outcome]
    if not (facts.shows_detail and failure.detail):
        return name
    detail = translate_sentence(failure.detail, words.language) or failure.detail
    return f"{name}: {detail}" if facts.failure else detail
