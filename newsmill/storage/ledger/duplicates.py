"""Whose document is it? Decided purely; `stored.py` locks, asks here, and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill.model import Document, Ending, Outcome
from newsmill.storage.ledger.records import Result


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds under a document id."""

    ledger_id: int
    content_hash: str
    revision: int
    first_seen_at: datetime
    stored_at: datetime
    at_home: bool  # its page's own address is the canonical one
    archive_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write for one result."""

    result: Result
    ending: Ending
    document: Document | None = None  # to be written
    stored_at: datetime | None = None
    document_id: str | None = None  # also of a duplicate: the document it is another address of
    displaced: int | None = None  # the ledger row whose document this was until now


def decide(results: Sequence[Result], held: Mapping[str, Held], at_home: Callable[[Document], bool], now: datetime) -> list[Decision]:
    """One decision per result, in order, each seeing what the ones before it wrote. `held`: by document id, before all of them."""
    held = dict(held)
    decisions: dict[int, Decision] = {}
    for result in results:
        decision = _decide(result, held, at_home, now)
        document = decision.document
        if document is not None and decision.stored_at is not None:
            held[document.id] = Held(
                result.claim.id,
                document.content_hash,
                document.revision,
                document.first_seen_at,
                decision.stored_at,
                at_home(document),
                document.archive_ref,
            )
        if decision.displaced in decisions:  # by its own neighbour: it is a duplicate before it was ever written
            earlier = decisions[decision.displaced]
            decisions[decision.displaced] = replace(earlier, ending=duplicate_of(decision.document_id), document=None)
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def duplicate_of(document_id: str | None) -> Ending:
    return Ending(Outcome.DUPLICATE, f"the same canonical address as document {document_id}")


def _decide(result: Result, held: Mapping[str, Held], at_home: Callable[[Document], bool], now: datetime) -> Decision:
    document, ending = result.reading.document, result.reading.ending
    if ending.outcome is not Outcome.STORED:
        return Decision(result, ending)
    if document is None:
        raise ValueError(f"a reading of {result.claim.url} ended stored without a document")
    document = replace(document, archive_ref=document.archive_ref or f"{result.claim.segment}@{result.claim.offset}")
    before = held.get(document.id)
    if before is None:
        return Decision(result, ending, replace(document, revision=1), now, document.id)
    if before.ledger_id == result.claim.id:
        return _again(result, document, before, now)
    if at_home(document) and not before.at_home:
        return replace(_again(result, document, before, now), ending=ending, displaced=before.ledger_id)
    return Decision(result, duplicate_of(document.id), document_id=document.id)


def _again(result: Result, document: Document, before: Held, now: datetime) -> Decision:
    """The document as it is now, one revision on when its content changed."""
    changed = document.content_hash != before.content_hash
    document = replace(
        document,
        revision=before.revision + changed,
        first_seen_at=min(before.first_seen_at, document.first_seen_at),
    )
    # The same bytes: nothing was fetched that could be unchanged.
    cleaned_again = before.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    ending = result.reading.ending if changed or cleaned_again else Ending(Outcome.UNCHANGED)
    return Decision(result, ending, document, now if changed else before.stored_at, document.id)
