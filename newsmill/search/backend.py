"""The two databases behind one interface: what a search asks of an index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from newsmill.search.entry import IndexPosition, Span
from newsmill.search.parsed_query import Node
from newsmill.search.ranking import MatchQuality

FACET_COLUMNS = ("moment", "document_id", "source", "language", "section", "authors", "type", "site")


class Backend(ABC):
    """Stateless. `match` is an expression of the database's own query language, from `format_query`; None stands for every document.

    Methods with `seconds` raise ScanTimeoutError where the database can stop a statement and it takes longer.
    """

    is_ordered: bool  # whether matches come in the order of time, so that reading the newest does not read all

    @abstractmethod
    def clock(self) -> float:
        """Seconds, as time limits are measured."""

    @abstractmethod
    def first_chunk_documents(self) -> int:
        """The number of documents that a scan looks at first."""

    @abstractmethod
    def format_query(self, node: Node) -> str:
        """The query as a match expression."""

    @abstractmethod
    def end_positions(self, conn: Connection, span: Span) -> tuple[IndexPosition, IndexPosition] | None:
        """The newest and the oldest document of a span; None if it is empty."""

    @abstractmethod
    def nth_position(self, conn: Connection, span: Span, n: int) -> IndexPosition | None:
        """The n-th newest document of a span; None if it has fewer."""

    @abstractmethod
    def estimate_documents(self, conn: Connection) -> int:
        """About how many documents the index has; -1 where the database does not know."""

    @abstractmethod
    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        """The newest matches, newest first."""

    @abstractmethod
    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """The positions that match."""

    @abstractmethod
    def compare_matches(
        self, conn: Connection, lead: str, title: str, exact: str | None, positions: Sequence[IndexPosition]
    ) -> MatchQuality:
        """Which of some matches, newest first, also match `lead`, which of those match `title`, and which match `exact` (None: all)."""

    @abstractmethod
    def count(self, conn: Connection, match: str | None, span: Span, max_count: int, seconds: float | None = None) -> int:
        """How many match; `max_count + 1` if more than `max_count` do."""

    @abstractmethod
    def count_per_bucket(
        self, conn: Connection, match: str | None, span: Span, bucket: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        """Matches per time bucket of `bucket` units, in order: (bucket number, n)."""

    @abstractmethod
    def count_per_source(self, conn: Connection, match: str | None, span: Span) -> Sequence[Row[Any]]:
        """Matches per source: (source or None, n)."""

    @abstractmethod
    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        """The newest matches, newest first, with the values that facets count: FACET_COLUMNS."""
