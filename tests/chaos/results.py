"""The result of a run, compared with the truth: nothing lost, nothing stored twice, nothing pending. And what the run cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import quantiles

from chaos.installation import Installation
from chaos.killer import Strike
from chaos.site import World, requests, token
from newsmill.model import Kind, Outcome, State
from newsmill.storage.doctor import Doctor
from newsmill.storage.ledger import Trace

OPEN = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING)


@dataclass
class RunResult:
    """Counts of articles, and lists of what is wrong."""

    expected: int
    stored: int = 0
    duplicates: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)  # "why", one entry per article
    innocent: int = 0  # good articles in quarantine: struck three times while in progress
    tried_too_often: int = 0
    revised: int = 0  # extracted again after the site profile was learned, with another text
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # stored with another text than was served; or poison that was stored
    findings: list[str] = field(default_factory=list)  # what `newsmill doctor --deep` says
    requests: int = 0
    repeated: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicates or self.pending or self.wrong or self.tried_too_often or self.findings)

    def lines(self) -> Iterator[str]:
        reasons = Counter(self.quarantined)
        why = ", ".join(f"{reason}: {n}" for reason, n in reasons.most_common())
        yield (
            f"expected {self.expected}, stored {self.stored}, lost {len(self.lost)}, duplicates {len(self.duplicates)}, "
            f"pending {len(self.pending)}, quarantined {len(self.quarantined)}{f' ({why})' if why else ''}"
        )
        if self.innocent:
            yield f"  of those in quarantine {self.innocent} are good articles that were struck three times while they were read"
        if self.revised:
            yield f"  {self.revised} have a second revision: extracted again with a newer profile of their site"
        share = self.repeated / max(1, self.requests - self.repeated)
        yield f"requests {self.requests}, repeated {self.repeated} ({share:.1%})"
        for name in ("lost", "duplicates", "pending", "wrong", "findings"):
            yield from (f"  {name}: {line}" for line in getattr(self, name)[:10])
        if self.tried_too_often:
            yield f"  {self.tried_too_often} poisonous articles were tried more than three times"


def check_run(installation: Installation) -> RunResult:
    """Check everything once the installation is idle."""
    world = installation.world
    rows = {trace.url: trace for trace in _traces(installation) if trace.kind is Kind.PAGE}
    found: Counter[int] = Counter()
    result = RunResult(world.pages)
    numbers = world.urls
    for document in installation.documents.iterate():
        number = numbers.get(document.url)
        if number is None or token(number) not in document.text:
            result.wrong.append(f"{document.url} does not contain its own text")
        else:
            found[number] += 1
            result.revised += document.revision > 1
    for url, number in numbers.items():
        _check_article(result, world, number, rows.get(url), found[number])
    now = datetime.now(UTC)
    findings = Doctor(installation.engine, installation.ledger, installation.archive).examine(now=now, deep=True)
    result.findings = [f"{finding.check}: {finding.count}, {finding.says} ({', '.join(finding.examples)})" for finding in findings]
    request_counts = requests(installation.requests)
    result.requests, result.repeated = request_counts.total(), request_counts.total() - len(request_counts)
    return result


def _check_article(result: RunResult, world: World, number: int, row: Trace | None, documents: int) -> None:
    url = world.url(number)
    result.stored += documents > 0
    if documents > 1:
        result.duplicates.append(f"{url} is {documents} documents")
    if row is None:
        result.lost.append(f"{url} is not in the ledger")
    elif row.state in OPEN:
        result.pending.append(f"{url} is {row.state} since {row.fetched_at}")
    elif row.state is State.QUARANTINED:
        result.quarantined.append(f"{row.stage}, {_short(row.detail)}")
        result.innocent += world.order(number) is None
        result.tried_too_often += row.crashes > 3
    elif world.order(number) is not None:
        result.wrong.append(f"{url} is poison ({world.order(number)}) and ended {row.outcome}")
    elif row.outcome is not Outcome.STORED or not documents:
        result.lost.append(f"{url} ended {row.outcome} ({row.detail}) with {documents} documents")


def _short(detail: str | None) -> str:
    return (detail or "").partition(" (reader.py")[0]


def _traces(installation: Installation) -> Iterator[Trace]:
    after = 0
    while rows := installation.ledger.traces.list_all(limit=2000, after=after):
        yield from rows
        after = rows[-1].id


def back_to_progress(strikes: Sequence[Strike], stored: Sequence[tuple[float, int]]) -> list[float]:
    """Seconds from each strike (an outage's end) to the next stored document; strikes after the last document are left out."""
    waits = []
    for strike in strikes:
        before = max((n for at, n in stored if at <= strike.over), default=0)
        after = next((at for at, n in stored if at > strike.over and n > before), None)
        if after is not None:
            waits.append(after - strike.over)
    return sorted(waits)


def drained(strikes: Sequence[Strike], waiting: Sequence[tuple[float, int]]) -> list[str]:
    """For each outage, how long after its end the backlog was as before."""
    lines = []
    for strike in strikes:
        lasted = strike.over - strike.at
        if lasted < 1:
            continue
        before = max((n for at, n in waiting if at <= strike.at), default=0)
        most = max((n for at, n in waiting if at >= strike.at), default=0)
        when = next((at for at, n in waiting if at >= strike.over and n <= before), None)
        took = "never" if when is None else f"{when - strike.over:.1f} s after its end"
        lines.append(f"{strike.target} of {lasted:.0f} s: backlog at most {before} segments before, {most} after; as before {took}")
    return lines


def spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return ", ".join(f"{wait:.1f} s" for wait in seconds) or "nothing to measure"
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"p50 {cuts[49]:.1f} s, p99 {cuts[98]:.1f} s, max {seconds[-1]:.1f} s"
