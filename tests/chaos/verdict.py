"""What came of it, held against the truth: nothing lost, nothing doubled, nothing in limbo. And what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import quantiles

from chaos.killer import Strike
from chaos.site import World, requests, token
from chaos.stack import Stack
from newsmill.model import Kind, Outcome, State
from newsmill.storage.doctor import Doctor
from newsmill.storage.ledger import Trace

OPEN = (State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING)


@dataclass
class Verdict:
    """Counts of articles, and lists of what is wrong."""

    expected: int
    stored: int = 0
    duplicates: list[str] = field(default_factory=list)
    limbo: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)  # "why", one entry per article
    innocent: int = 0  # good articles in quarantine: struck three times while in hand
    tried_too_often: int = 0
    revised: int = 0  # cleaned again after the site was learnt, with another text
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # stored, but not what was served; or poison that was stored
    findings: list[str] = field(default_factory=list)  # what `newsmill doctor --deep` says
    requests: int = 0
    repeated: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicates or self.limbo or self.wrong or self.tried_too_often or self.findings)

    def lines(self) -> Iterator[str]:
        reasons = Counter(self.quarantined)
        why = ", ".join(f"{reason}: {n}" for reason, n in reasons.most_common())
        yield (
            f"expected {self.expected}, stored {self.stored}, lost {len(self.lost)}, duplicates {len(self.duplicates)}, "
            f"in limbo {len(self.limbo)}, quarantined {len(self.quarantined)}{f' ({why})' if why else ''}"
        )
        if self.innocent:
            yield f"  of those in quarantine {self.innocent} are good articles that were struck three times while they were read"
        if self.revised:
            yield f"  {self.revised} have a second revision: cleaned again when their site was better known"
        share = self.repeated / max(1, self.requests - self.repeated)
        yield f"requests {self.requests}, repeated {self.repeated} ({share:.1%})"
        for name in ("lost", "duplicates", "limbo", "wrong", "findings"):
            yield from (f"  {name}: {line}" for line in getattr(self, name)[:10])
        if self.tried_too_often:
            yield f"  {self.tried_too_often} poisonous articles were tried more than three times"


def judge(stack: Stack) -> Verdict:
    """Look at everything once the stack is at rest."""
    world = stack.world
    rows = {trace.url: trace for trace in _traces(stack) if trace.kind is Kind.PAGE}
    found: Counter[int] = Counter()
    verdict = Verdict(world.pages)
    numbers = world.urls
    for document in stack.documents.iterate():
        number = numbers.get(document.url)
        if number is None or token(number) not in document.text:
            verdict.wrong.append(f"{document.url} does not hold its own text")
        else:
            found[number] += 1
            verdict.revised += document.revision > 1
    for url, number in numbers.items():
        _judge_one(verdict, world, number, rows.get(url), found[number])
    now = datetime.now(UTC)
    findings = Doctor(stack.engine, stack.ledger, stack.archive).examine(now=now, deep=True)
    verdict.findings = [f"{finding.check}: {finding.count}, {finding.says} ({', '.join(finding.examples)})" for finding in findings]
    asked = requests(stack.requests)
    verdict.requests, verdict.repeated = asked.total(), asked.total() - len(asked)
    return verdict


def _judge_one(verdict: Verdict, world: World, number: int, row: Trace | None, documents: int) -> None:
    url = world.url(number)
    verdict.stored += documents > 0
    if documents > 1:
        verdict.duplicates.append(f"{url} is {documents} documents")
    if row is None:
        verdict.lost.append(f"{url} is not in the ledger")
    elif row.state in OPEN:
        verdict.limbo.append(f"{url} is {row.state} since {row.fetched_at}")
    elif row.state is State.QUARANTINED:
        verdict.quarantined.append(f"{row.stage}, {_short(row.detail)}")
        verdict.innocent += world.order(number) is None
        verdict.tried_too_often += row.crashes > 3
    elif world.order(number) is not None:
        verdict.wrong.append(f"{url} is poison ({world.order(number)}) and ended {row.outcome}")
    elif row.outcome is not Outcome.STORED or not documents:
        verdict.lost.append(f"{url} ended {row.outcome} ({row.detail}) with {documents} documents")


def _short(detail: str | None) -> str:
    return (detail or "").partition(" (reader.py")[0]


def _traces(stack: Stack) -> Iterator[Trace]:
    after = 0
    while rows := stack.ledger.traces(limit=2000, after=after):
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
    """For each outage, how long after its end the backlog was what it had been before."""
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
