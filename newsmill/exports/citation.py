"""The name of a corpus: one line with query, time, counts and a digest, which can be verified later."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

from newsmill.exceptions import ConfigError
from newsmill.model import Document
from newsmill.storage.frozen_stores import format_time, parse_time

_LINE = re.compile(
    r'Newsmill corpus; query (?P<query>"(?:[^"\\]|\\.)*"); as of (?P<at>\S+);'
    r" (?P<documents>[\d,]+) documents? of (?P<sources>[\d,]+) sources?;"
    r" SHA-256 (?P<digest>[0-9a-f]{64}); newsmill (?P<newsmill>[^;,]+); extractors(?: (?P<extractors>.*))?"
)


@dataclass(frozen=True, slots=True)
class Citation:
    """`digest`: SHA-256 of a line for each document, in the order of the ids: id, revision and content hash, separated by spaces."""

    query: str
    at: datetime
    documents: int
    sources: int
    digest: str
    newsmill: str  # the version of the program that cites
    extractors: str  # the versions that read the pages

    def __str__(self) -> str:
        documents = f"{self.documents:,} document{'' if self.documents == 1 else 's'}"
        sources = f"{self.sources:,} source{'' if self.sources == 1 else 's'}"
        return (
            f"Newsmill corpus; query {_quote(self.query)}; as of {format_time(self.at)}; {documents} of {sources};"
            f" SHA-256 {self.digest}; newsmill {self.newsmill}; extractors {self.extractors}"
        ).rstrip()  # without documents

    @classmethod
    def parse(cls, line: str) -> Citation:
        """The citation of a line, also where it was broken into several. Raises ConfigError."""
        found = _LINE.fullmatch(" ".join(line.split()))
        try:
            if found is None:
                raise ValueError
            query = json.loads(found["query"])
            documents, sources = (int(found[name].replace(",", "")) for name in ("documents", "sources"))
        except ValueError:
            raise ConfigError("the line is not a citation; expected the whole line that `newsmill cite` prints") from None
        at = parse_time(found["at"])
        return cls(query, at, documents, sources, found["digest"], found["newsmill"], found["extractors"] or "")


def _quote(query: str) -> str:
    r"""The query as a JSON string. Characters that a terminal or a page may lose are escaped.

    >>> print(_quote("caf\u00e9 \u200c"))
    "café \u200c"
    """
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in json.dumps(query, ensure_ascii=False))


def cite(documents: Iterable[Document], query: str, at: datetime, version: str) -> Citation:
    """The citation of documents in any order; about 100 bytes of memory for each."""
    lines, sources, extractors = list[str](), set[str | None](), set[str]()
    for document in documents:
        lines.append(f"{document.id} {document.revision} {document.content_hash}\n")
        sources.add(document.source)
        extractors.add(document.extractor)
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode())
    return Citation(query, at, len(lines), len(sources), digest.hexdigest(), version, ", ".join(sorted(extractors)))


def list_differences(cited: Citation, found: Citation) -> list[str]:
    """What of the content differs, in sentences; the program that cites may be another version."""
    names = [field.name for field in fields(Citation) if field.name in ("documents", "sources", "extractors", "digest")]
    return [
        f"{name}: {getattr(cited, name)} cited, {getattr(found, name)} found"
        for name in names
        if getattr(cited, name) != getattr(found, name)
    ]
