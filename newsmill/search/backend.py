"""The search index in the two databases, behind one interface: what a search asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from newsmill.search.parsed_query import Node
from newsmill.search.positions import IndexPosition, Span

GroupedTime = tuple[int, int, int]  # copy_group, copy_place and moment of a match in a group of copies
FACET_COLUMNS = ("moment", "document_id", "source", "language", "section", "authors", "type", "site", "copy_group")


class StatementTimeoutError(Exception):
    """Raised when a statement takes longer than it may."""


class Backend(ABC):
    """Stateless. `match` is an expression of the database's own query language, from `format_query`; None stands for every document.

    Methods with `seconds` raise StatementTimeoutError where the database can stop a statement and it takes longer.
    """

    is_ordered: bool  # whether matches come in the order of time, so that reading the newest does not read all
    first_chunk_documents: int  # the number of documents that a scan looks at first

    @abstractmethod
    def clock(self) -> float:
        """Seconds, as time limits are measured."""

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
    def newest(self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None) -> list[IndexPosition]:
        """The newest matches, newest first."""

    @abstractmethod
    def filter_positions(self, conn: Connection, match: str, positions: Sequence[IndexPosition]) -> set[IndexPosition]:
        """The positions that match."""

    @abstractmethod
    def count_each(self, conn: Connection, matches: Sequence[str], span: Span) -> list[int]:
        """How many documents of a span match each of some expressions."""

    @abstractmethod
    def read_codes(self, conn: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
        """The words of documents as codes: (document_id, lemmatizer, codes). Documents that wait to be indexed may be missing."""

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
    def grouped(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[Row[Any]]:
        """The matches that are in a group of copies: (moment, document_id, source, copy_group, copy_place)."""

    @abstractmethod
    def grouped_times(self, conn: Connection, match: str | None, span: Span, seconds: float | None = None) -> Sequence[GroupedTime]:
        """The matches that are in a group of copies. Up to all documents, so they are plain tuples."""

    @abstractmethod
    def newest_facets(
        self, conn: Connection, match: str | None, span: Span, limit: int, seconds: float | None = None
    ) -> Sequence[Row[Any]]:
        """The newest matches, newest first, with the values that facets count: FACET_COLUMNS."""
