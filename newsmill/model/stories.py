"""Stories: documents that tell the same news."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsmill.model.display import format_line


class StoryEventKind(StrEnum):
    """What happened to a story."""

    MERGED = "merged"  # another story was merged into it
    SPLIT = "split"  # another story was split off
    PINNED = "pinned"  # a person keeps its documents together
    UNPINNED = "unpinned"


@dataclass(frozen=True, slots=True, repr=False)
class Story:
    """A story with its counts. `first_at`: of the document that Newsmill saw first. `last_at`: the latest of all."""

    id: int
    title: str | None
    first_at: datetime
    last_at: datetime
    documents: int
    texts: int  # documents without copies
    sources: int  # sites: a registered domain counts once

    def __repr__(self) -> str:
        return format_line("Story", self.title, self._list_facts())

    def _list_facts(self) -> tuple[str, ...]:
        days = dict.fromkeys(f"{at:%Y-%m-%d}" for at in (self.first_at, self.last_at))
        return " to ".join(days), f"{self.documents} documents", f"{self.sources} sources", f"id {self.id}"


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """A merge, a split, or the decision of a person. `user`: None if it followed from the documents."""

    at: datetime
    kind: StoryEventKind
    story_id: int
    other_id: int | None
    user: str | None


@dataclass(frozen=True, slots=True)
class StoryMember:
    """A document of a story, with the evidence that it tells the same news."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    published_at: datetime | None
    published_precision: str | None
    first_seen_at: datetime
    at: datetime  # that the document states; else when Newsmill first saw it
    duplicate_of: str | None  # the ID of the earlier document of which it is a copy
    shared_terms: tuple[str, ...]  # with the other texts, as its text writes them, the weightiest first
    added: tuple[str, ...]  # its first sentences that no earlier document has

    @property
    def is_dated_by_day(self) -> bool:
        """Whether it states a day without a time: `at` is the end of that day in UTC."""
        return self.published_at is not None and self.published_precision == "day"


@dataclass(frozen=True, slots=True)
class StoryLead:
    """The document whose image and description show a story."""

    document_id: str
    description: str | None
    language: str | None
    has_image: bool


@dataclass(frozen=True, slots=True)
class MoreOfSite:
    """How many documents of a site, a registered domain, a story has beside those that it lists."""

    site: str
    documents: int


@dataclass(frozen=True, slots=True, repr=False)
class StoryDetail:
    """A story with its documents in the order in which Newsmill saw them, and with what happened to it, the newest first.

    It lists at most 100 documents, and at most 5 of a site; `more` counts the others. A story that was merged is the one that has its
    documents now.
    """

    story: Story
    is_pinned: bool
    members: tuple[StoryMember, ...]
    events: tuple[StoryEvent, ...]
    more: tuple[MoreOfSite, ...] = ()

    def __repr__(self) -> str:
        return format_line("StoryDetail", self.story.title, (*self.story._list_facts(), "pinned" if self.is_pinned else None))
