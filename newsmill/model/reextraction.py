"""Passes that extract stored documents again from the archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from newsmill.text.sentences import Detail


class Judgement(StrEnum):
    """Whether another extraction improved the text of a document."""

    BETTER = "better"
    WORSE = "worse"  # the stored text stays
    EQUAL = "equal"  # the text is the same, or nothing shows that one of them is better


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement and its reasons. `gain`: the change of the expected F1 over words, -1 to 1."""

    judgement: Judgement
    gain: float = 0.0
    reasons: tuple[Detail, ...] = ()


FAILED = "failed"  # counted beside the judgements: the page cannot be read back


@dataclass(frozen=True, slots=True)
class PassOptions:
    """Which documents a pass extracts. A dry run stores no document."""

    source: str | None = None
    since: datetime | None = None  # fetched at that time or later
    where: tuple[str, ...] = ()  # conditions, as the user wrote them
    limit: int | None = None
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ReextractionPass:
    """A pass: `last_id` is the last document that it has read. `counts`: source → judgement or "failed" → documents."""

    id: int
    options: PassOptions
    started_at: datetime
    ended_at: datetime | None
    total: int
    last_id: str
    changed: int = 0  # documents whose text changes
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """The documents that the pass has read."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def count(self, key: str) -> int:
        """The documents with one judgement, of all sources."""
        return sum(counts.get(key, 0) for counts in self.counts.values())


@dataclass(frozen=True, slots=True)
class ReextractedDocument:
    """A document whose text a pass changed, would change, or left because the new one is worse."""

    document_id: str
    url: str
    title: str | None
    source: str | None
    verdict: Verdict
    is_replaced: bool
    at: datetime
    extractor_before: str
    extractor: str | None  # None: the page gave no document
    words_removed: int
    words_added: int
    diff: tuple[str, ...] = ()  # lines of the text: " ", "-" or "+" and the line; only of some documents per source
