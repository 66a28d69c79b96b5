"""`Corpus`: what can be asked, whoever answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from itertools import islice
from typing import Any, Literal, Self

from newsmill.corpus.records import Change, Hit, SourceSeen
from newsmill.exceptions import ConfigError
from newsmill.model import Document, NearDuplicate

Order = Literal["relevance", "newest"]
TIMES = ("published_at", "modified_at", "first_seen_at", "fetched_at")
NOT_IN_FRAME = ("blocks", "provenance")  # the text in parts, and where fields came from: ask the document


class Corpus(ABC):
    """Documents to read, search and follow. A context manager. Every method may raise ServiceError."""

    patience: float = 0.0  # the least `wait` for which a stream shows all that is there already

    @abstractmethod
    def documents(self, query: str = "", *, since: datetime | str | None = None) -> Iterator[Document]:
        """Every document that matches, in the order they were stored. Streamed: memory stays flat.

        `query`: words, "phrases", -without, this OR that, source: lang: author: section: after: before: is_free:; all documents unless
        said. `since`: a time (aware), or the cursor of a `Change`; only what was stored later. Over an API the documents of a query come
        the newest first.
        """

    @abstractmethod
    def search(self, query: str = "", *, limit: int = 20, order: Order = "relevance") -> list[Hit]:
        """The best or the newest matches."""

    @abstractmethod
    def stream(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change]:
        """Documents as they are stored or changed, about two seconds after; those behind `since` (a cursor or a time) first, and without it
        only what comes from now on. Goes on for ever; with `wait` until nothing has come for so many seconds."""

    @abstractmethod
    def document(self, id_or_url: str) -> Document | None:
        """By id, or by any address that led to it."""

    @abstractmethod
    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        """Documents with (nearly) the same text as one, the most similar first; at most 100.

        `least`: how similar, 0 to 1: runs of five words that both texts have, of those that either has. Of pairs at 0.7, 92 % are found,
        below it fewer. None for a text of fewer than 34 words, or where there is no such document.
        """

    @abstractmethod
    def sources(self) -> list[SourceSeen]:
        """Every source that is followed or has documents, by name."""

    @abstractmethod
    def close(self) -> None:
        """Give connections back. Reading again opens them again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frame(self, query: str = "", *, since: datetime | str | None = None, limit: int | None = None) -> Any:
        """Documents as a pandas DataFrame, a column for each field; times as UTC timestamps, authors as lists of names.

        Raises ConfigError where pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped]  # comes with the extra `pandas`; its hints are a package of their own
        except ImportError:
            raise ConfigError("frame() needs pandas: pip install 'newsmill[pandas]'") from None
        names = [*(field.name for field in fields(Document) if field.name not in NOT_IN_FRAME), "doubtful"]
        rows = [_row(document, names) for document in islice(self.documents(query, since=since), limit)]
        frame = pandas.DataFrame(rows, columns=names)
        for name in TIMES:
            frame[name] = pandas.to_datetime(frame[name], utc=True)
        return frame


def _row(document: Document, names: list[str]) -> dict[str, Any]:
    row = {name: getattr(document, name) for name in names}
    return row | {"authors": [author.name for author in document.authors], "tags": list(document.tags)}
