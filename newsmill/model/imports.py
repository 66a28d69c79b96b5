"""Documents that are imported from files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What became of the rows of Parquet files. Every row counts once."""

    stored: int = 0  # new documents
    changed: int = 0  # stored documents with a new revision
    known: int = 0  # the store has this content or a later one of the document, or an outcome of the URL
    duplicate: int = 0  # other URLs of stored documents
    refused: int = 0  # by a takedown, because the page is on another site than its URL, or because the URL is a listing's
    failed: int = 0  # pages that gave no document; the ledger has their outcomes
    other: int = 0  # records of WARC files that hold no page
    invalid: int = 0  # rows that hold no document
