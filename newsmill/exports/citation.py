"""The name of a corpus: one line with query, time, counts and a digest, which can be verified later.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import to_json

from newsmill.exceptions import ConfigError
from newsmill.model import Document
from newsmill.storage.frozen_stores import format_time, parse_time
from newsmill.text.urls import find_site

_LINE = re.compile(
    r'Newsmill corpus; query (?P<query>"(?:[^"\\]|\\.)*"); as of (?P<at>\S+);'
    r" (?P<documents>[\d,]+) documents? of (?P<sites>[\d,]+) (?:site|source)s?;"
    r" SHA-256(?:/(?P<version>\d{1,9}))? (?P<digest>[0-9a-f]{64}); newsmill (?P<newsmill>[^;,]+); extractors(?: (?P<extractors>.*))?"
)
# What a digest of version 2 covers. A change of this list, or of what a field holds, needs another version.
COVERED = (
    *("id", "revision", "url", "requested_url", "canonical_url", "source", "title", "text", "live_updates", "authors"),
    *("published_at", "published_day", "modified_at", "first_seen_at", "fetched_at"),
)
VERSION = 2


@dataclass(frozen=True, slots=True)
class Citation:
    """`digest`: SHA-256 of a line for each document, in the order of the lines.

    The line of version 2 is the SHA-256 of the fields in COVERED as a JSON array. That of version 1, which older programs cited, is the id,
    the revision and the content hash, separated by spaces.
    """

    query: str
    at: datetime
    documents: int
    sites: int  # a line of an older program has its number of sources here
    digest: str
    newsmill: str  # the version of the program that cites
    extractors: str  # the versions that read the pages
    version: int = VERSION  # of the digest

    def __str__(self) -> str:
        documents = f"{self.documents:,} document{'' if self.documents == 1 else 's'}"
        sites = f"{self.sites:,} site{'' if self.sites == 1 else 's'}"
        algorithm = "SHA-256" if self.version == 1 else f"SHA-256/{self.version}"
        return (
            f"Newsmill corpus; query {_quote(self.query)}; as of {format_time(self.at)}; {documents} of {sites};"
            f" {algorithm} {self.digest}; newsmill {self.newsmill}; extractors {self.extractors}"
        ).rstrip()  # without documents

    @classmethod
    def parse(cls, line: str) -> Citation:
        """The citation of a line, also where it was broken into several. Raises ConfigError."""
        found = _LINE.fullmatch(" ".join(line.split()))
        try:
            if found is None:
                raise ValueError
            query = json.loads(found["query"])
            documents, sites = (int(found[name].replace(",", "")) for name in ("documents", "sites"))
        except ValueError:
            raise ConfigError("the line is not a citation; expected the whole line that `newsmill cite` prints") from None
        version = int(found["version"] or 1)
        if version not in _LINES:
            raise ConfigError(f"the citation has a digest of version {version}; install newsmill {found['newsmill']}, which cited it")
        at = parse_time(found["at"])
        return cls(query, at, documents, sites, found["digest"], found["newsmill"], found["extractors"] or "", version)


def _quote(query: str) -> str:
    r"""The query as a JSON string. Characters that a terminal or a page may lose are escaped.

    >>> print(_quote("caf\u00e9 \u200c"))
    "café \u200c"
    """
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in json.dumps(query, ensure_ascii=False))


def _format_fields(document: Document) -> str:
    return hashlib.sha256(to_json([getattr(document, name) for name in COVERED])).hexdigest()


def _format_content(document: Document) -> str:
    return f"{document.id} {document.revision} {document.content_hash}"


_LINES: Mapping[int, Callable[[Document], str]] = {1: _format_content, VERSION: _format_fields}


def cite(documents: Iterable[Document], query: str, at: datetime, newsmill: str, version: int = VERSION) -> Citation:
    """The citation of documents in any order; about 100 bytes of memory for each. `newsmill`: the version of the program."""
    lines, sites, extractors = list[str](), set[str | None](), set[str]()
    for document in documents:
        lines.append(f"{_LINES[version](document)}\n")
        sites.add(find_site(document.url))
        extractors.add(document.extractor)
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode())
    return Citation(query, at, len(lines), len(sites), digest.hexdigest(), newsmill, ", ".join(sorted(extractors)), version)


def list_differences(cited: Citation, found: Citation) -> list[str]:
    """What of the content differs, in sentences; the program that cites may be another version. The digest covers the sites."""
    names = ("documents", "extractors", "digest")
    return [
        f"{name}: {getattr(cited, name)} cited, {getattr(found, name)} found"
        for name in names
        if getattr(cited, name) != getattr(found, name)
    ]
