"""`Corpus`, the interface of `newsmill.open`, with the types that it returns besides documents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self

from newsmill.client.arguments import check_range
from newsmill.client.search_hits import SearchHits
from newsmill.exceptions import ConfigError
from newsmill.exports.cells import CSV_COLUMNS
from newsmill.exports.sampling import sample_documents
from newsmill.model import (
    CopyGroup,
    Document,
    DocumentMarks,
    NearDuplicate,
    Outcome,
    Revision,
    RevisionSummary,
    State,
    Story,
    StoryDetail,
)
from newsmill.model.document_fields import BY_NAME, FieldType, list_fields_of
from newsmill.version import install_hint

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # comes with the extra `pandas`, without type hints

    from newsmill.site_inspection.findings import SiteInspection


@dataclass(frozen=True, slots=True)
class Change:
    """A document that was stored or whose content changed. `stream(since=cursor)` resumes after it."""

    document: Document
    cursor: str


@dataclass(frozen=True, slots=True)
class Removal:
    """A document that was removed, with its source. `changes(since=cursor)` resumes after it."""

    id: str
    source: str | None
    removed_at: datetime
    cursor: str


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """A source with its number of documents."""

    name: str
    documents: int
    homepage: str | None = None
    enabled: bool | None = None  # None: documents have this source, but it is not followed


@dataclass(frozen=True, slots=True)
class UrlOutcome:
    """What happened to a URL. docs/reference/outcomes.md explains each `outcome`; it is None while the URL is pending."""

    url: str  # as Newsmill fetches it
    state: State
    outcome: Outcome | None
    detail: str | None
    document_id: str | None

    @classmethod
    def of(cls, url: str, state: State, outcome: Outcome | None, detail: str | None, document_id: str | None) -> Self:
        """The outcome of a ledger row. A pending row may still have the outcome of its last fetch, which does not count."""
        is_pending = state in PENDING_STATES
        return cls(url, state, None if is_pending else outcome, None if is_pending else detail, document_id)


@dataclass(frozen=True, slots=True)
class QueryCheck:
    """The mistakes in a query, in sentences. If the query finds nothing, `suggestion` is a spelling that the index has."""

    notes: tuple[str, ...]
    suggestion: str | None


@dataclass(frozen=True, slots=True)
class FacetCount:
    """How many matches have one language, source, section, author, type or site."""

    facet: str
    value: str
    n: int
    filter: str | None  # added to the query, it selects these documents; None where no filter can express the value


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """The most frequent values of each facet."""

    counts: tuple[FacetCount, ...]
    counted: int  # the newest matches, whose values were counted
    is_complete: bool  # all matches were counted, so that every `n` is exact; otherwise it means "at least"


@dataclass(frozen=True, slots=True)
class TimelineBar:
    """The documents from `start` on and before `end`. Times are aware and UTC. A number that takes too long to count is None."""

    start: datetime
    end: datetime
    n: int | None
    all_documents: int | None
    share: float | None  # `n` divided by `all_documents`


PENDING_STATES = frozenset({State.DUE, State.FETCHING, State.FETCHED, State.PROCESSING})
Order = Literal["relevance", "newest"]
StoryOrder = Literal["newest", "biggest"]
TimelineStep = Literal["day", "week", "month", "year"]
# pandas' types that know missing values
FRAME_TYPES = {
    **dict.fromkeys((FieldType.TEXT, FieldType.URL, FieldType.DAY), "string"),
    FieldType.NUMBER: "Int64",
    FieldType.FRACTION: "float64",
    FieldType.FLAG: "boolean",
}


class Corpus(ABC):
    """Documents to read, search, mark and follow. A context manager.

    Every method may raise ServiceError, ConfigError for a bad argument, and CursorError for a string that is not the cursor of a `Change`.
    """

    @abstractmethod
    def documents(self, query: str = "", *, since: datetime | str | None = None, fold: bool = False) -> Iterator[Document]:
        """Yields every document that matches, in the order of storage. Memory use does not depend on their number.

        `query` is a search query; by default all documents match. `since` is an aware time or the cursor of a `Change`; only documents
        stored later are yielded. Over an API, the documents of a query come newest first. With `fold`, the first match of each group of
        copies stands for all of them.
        """

    def sample(self, size: int, query: str = "", *, seed: int = 0, since: datetime | str | None = None) -> list[Document]:
        """Returns `size` matching documents at random, in random order; all matches if there are fewer.

        The same store, query and `seed` give the same sample, and the first 100 of a sample of 500 are the sample of 100. All matches are
        read, and `size` documents are in memory.
        """
        check_range("size", size, 1)
        check_range("seed", seed, 0)
        return sample_documents(self.documents(query, since=since), size, seed)

    @abstractmethod
    def search(self, query: str = "", *, limit: int | None = 20, order: Order = "relevance", fold: bool = False) -> SearchHits:
        """Returns the best or the newest matches, at most `limit`; None: all of them.

        The result is used like a list. Its pages of 200 matches are read when they are used. With `fold`, the first match of each group of
        copies stands for all of them.
        """

    @abstractmethod
    def check_query(self, query: str) -> QueryCheck:
        """Explains the mistakes in a query. Every input is a valid query; a mistake, such as a date that does not exist, finds nothing."""

    @abstractmethod
    def facets(self, query: str = "", *, limit: int = 10, fold: bool = False) -> FacetCounts:
        """Counts the matches by language, source, section, author, type and site; returns `limit` values of each, largest first.

        With `fold`, the first match of each group of copies is counted.
        """

    @abstractmethod
    def timeline(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step: TimelineStep | None = None,
        fold: bool = False,
    ) -> list[TimelineBar]:
        """Counts the dated matches per day, week (from Monday), month or year, oldest first, including bars of zero.

        The period is given by aware times, else by the query's after: and before:, else from the first to the last match. Without `step`,
        there are at most 60 bars; a step of more than 400 bars becomes the next longer one. With `fold`, the first match of each group of
        copies is counted.
        """

    def stream(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change]:
        """Yields documents as they are stored or changed, about two seconds later.

        With `since` (an aware time or a cursor), it begins with documents stored later; by default, with documents stored from now on.
        It never ends unless `wait` is given: it then ends when no document has come for `wait` seconds; 0 reads only stored documents.
        """
        return (change for change in self.changes(since, wait=wait) if isinstance(change, Change))

    @abstractmethod
    def changes(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change | Removal]:
        """Yields the changes of `stream` and, in the same order, removed documents, so a program can keep a copy of the corpus.

        Raises CursorError for a cursor that is ahead of the store, because an older backup was restored: start again without a cursor.
        """

    @abstractmethod
    def document(self, id_or_url: str) -> Document | None:
        """Returns a document by its id or by any URL that led to it, or None."""

    @abstractmethod
    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        """Returns the documents with nearly the same text as one, most similar first; at most 100.

        `least` is the lowest similarity, 0 to 1: the number of five-word runs that both texts have, divided by the number that at least one
        has. Newsmill finds 92 % of the pairs at 0.7, and fewer of less similar pairs. A text of fewer than 34 words has no near duplicates,
        nor has an unknown document.
        """

    @abstractmethod
    def copies(self, id_or_url: str) -> CopyGroup | None:
        """Returns the group of copies that a document is in, or None for an unknown document.

        Exact and near copies of one text are a group, whatever their source. The group has at most 100 documents in chronological order,
        each with the number of words that it adds to the first one and leaves out. A document without copies is alone in its group.
        """

    @abstractmethod
    def stories(
        self, query: str = "", *, since: datetime | None = None, order: StoryOrder = "newest", pairs: bool = False, limit: int = 20
    ) -> list[Story]:
        """Returns stories, documents that tell the same news: those with the newest document first, or those of the most sources.

        With a search query, only the stories of its newest 1,000 matches; with `since`, an aware time, only those with a later document.
        Stories of two documents of one site are left out, unless `pairs`.
        """

    @abstractmethod
    def story(self, story_id: int) -> StoryDetail | None:
        """Returns a story by its ID, or None if it does not exist. The ID of a merged story leads to the one that has its documents.

        It has at most 100 documents in the order in which they were seen, each with what it added and the evidence that it belongs to
        the story. It has at most 5 of a site, and counts the others.
        """

    @abstractmethod
    def story_of(self, id_or_url: str) -> Story | None:
        """Returns the story that a document tells, or None if no other document tells it."""

    @abstractmethod
    def revisions(self, id_or_url: str) -> list[RevisionSummary]:
        """Returns a document's revisions, the current one first; an unknown document has none.

        Each revision has its cause and is compared with the kept revision before it: changed fields, words added and removed. A document
        keeps its first revision and the newest ones, but no revisions that an older program replaced.
        """

    @abstractmethod
    def revision(self, id_or_url: str, number: int) -> Revision | None:
        """Returns the content that a document had at one revision, or None if it is not kept."""

    @abstractmethod
    def marks(self, ids: Iterable[str]) -> dict[str, DocumentMarks]:
        """Returns the stars, tags and notes of documents by id, at most 200. Documents without marks are left out.

        Over an API, the marks belong to the token's name; in a store, to the user without a token.
        """

    @abstractmethod
    def mark(
        self,
        ids: Iterable[str],
        *,
        starred: bool | None = None,
        read: bool | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        note: str | None = None,
    ) -> int:
        """Changes the marks of documents, at most 200, and returns how many of them exist. A note of "" removes the note.

        Raises ConfigError for a bad tag or note.
        """

    @abstractmethod
    def tags(self) -> dict[str, int]:
        """Returns the tags that you have given, with the number of documents, the most frequent first."""

    @abstractmethod
    def outcome(self, url: str) -> UrlOutcome | None:
        """Returns what happened to a URL, in any spelling; None if Newsmill has not seen the URL."""

    @abstractmethod
    def sources(self) -> list[SourceSummary]:
        """Returns every source that is followed or has documents, by name."""

    @abstractmethod
    def inspect_site(self, url: str) -> SiteInspection:
        """Inspects the site of a homepage, section, feed or sitemap, and adds nothing. Takes 5 to 60 s.

        Returns its listings, robots.txt, three articles, and the `plan` to follow it. A site that cannot be followed has an `obstacle`
        and `can_follow` is false. Over an API, the server fetches the pages, and the token needs the scope write; otherwise this machine
        fetches them in a separate process. Raises UrlError or ConfigError for a URL that cannot be fetched.
        """

    @abstractmethod
    def add_source(self, table: Mapping[str, Any], *, name: str | None = None) -> SourceSummary:
        """Adds a source, which a running Newsmill (`newsmill up`) then follows.

        `table` has the keys of a table in sources.toml, such as {"homepage": "https://www.example.org/", "every": "30m"}, or is the
        `plan` of an inspection. `name`: default the host of the homepage, such as example-org. Over an API the token needs the scope
        write. Raises ConfigError for a wrong key or value, and if a source has this name or follows one of the URLs.
        """

    @abstractmethod
    def as_of(self, at: datetime) -> Corpus:
        """Returns the corpus as it was at an aware time, to read and search; `taken_down` lists what was taken down since.

        The documents of that time are copied to a temporary folder and indexed, 11 ms per document; `close` deletes the folder. Marks,
        stories, earlier revisions and URL outcomes are not part of the past. A query cannot have a date that depends on today. After a
        takedown, each call raises ServiceError: call `as_of` again. Raises ConfigError for a time of which the store knows nothing, and
        over an API.
        """

    @property
    def taken_down(self) -> Mapping[str, str]:
        """The reasons by id of documents of a past time that were taken down since; empty for the corpus of today."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Closes connections. Reading again opens them again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frame(self, query: str = "", *, since: datetime | str | None = None, limit: int | None = None) -> pandas.DataFrame:
        """Returns documents as a pandas DataFrame with a typed column for each field: text, whole numbers and Booleans that may be missing,
        and UTC timestamps. Authors are lists of names, as in a CSV file. `images`, `live_updates` and `rights` are lists of dictionaries as
        in a Parquet file, so that the frame can be written to Parquet and Feather.

        `blocks` and `provenance` are left out. Raises ConfigError if pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ConfigError(f"frame() needs pandas: {install_hint('pandas')}") from None
        if limit is not None:
            check_range("limit", limit, 0)
        names = list(CSV_COLUMNS)
        documents = islice(self.documents(query, since=since), limit)
        rows = [{name: _frame_value(document, name) for name in names} for document in documents]
        frame = pandas.DataFrame(rows, columns=names)
        for name in list_fields_of(FieldType.TIME):
            frame[name] = pandas.to_datetime(frame[name], utc=True)
        return frame.astype({name: FRAME_TYPES[kind] for name in names if (kind := BY_NAME[name].type) in FRAME_TYPES})


def _frame_value(document: Document, name: str) -> Any:
    value = getattr(document, name)
    match BY_NAME[name].type:
        case FieldType.AUTHORS:
            return [author.name for author in value]
        case FieldType.TEXTS:
            return list(value)
        case FieldType.IMAGES | FieldType.UPDATES:
            return [asdict(item) for item in value]
        case FieldType.PAIRS:
            return document.list_pairs(name)
    return value
