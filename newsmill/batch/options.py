"""What a call of the batch function is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from os import PathLike, fspath
from typing import Any

UNREADABLE = "unreadable"  # the outcome of a file that cannot be opened or read to its end


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Which captures of a file are extracted, and how. A capture that a filter leaves out has the outcome `filtered`."""

    hosts: Collection[str] = ()  # these and the hosts below them; empty: all
    statuses: Collection[int] = ()  # HTTP statuses; empty: all. Only a page with status 200 can have a document
    since: datetime | None = None  # of the capture; aware
    until: datetime | None = None  # the capture is older
    urls: Collection[str] | None = None  # only these URLs
    is_wanted: Callable[[str, datetime], bool] | None = None  # called with the URL and the time of each capture
    languages: Collection[str] = ()  # BCP 47, of documents; "de" is also "de-AT"; empty: all
    language: str | None = None  # default language of pages whose language cannot be detected
    profiles: str | PathLike[str] | None = None  # path or URL of the file of `learn_profiles`; the same profiles may be in another file

    def describe(self) -> dict[str, Any]:
        """The options as JSON, for the folder: parts that other options made do not belong there.

        Raises ConfigError if the site profiles cannot be read.
        """
        urls = None if self.urls is None else blake2b("\n".join(sorted(self.urls)).encode("utf-8", "replace"), digest_size=8).hexdigest()
        wanted = self.is_wanted
        profiles = None
        if self.profiles is not None:
            from newsmill.batch.profile_file import read_digest  # its JSON costs 0.1 s of CPU, which other options need not spend

            profiles = read_digest(fspath(self.profiles))
        return {
            "hosts": sorted(self.hosts),
            "statuses": sorted(self.statuses),
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "urls": urls,
            "is_wanted": None if wanted is None else getattr(wanted, "__qualname__", type(wanted).__qualname__),
            "languages": sorted(self.languages),
            "language": self.language,
            "profiles": profiles,
        }


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What became of the records of one file: the number of documents, and of all other records by outcome."""

    source: str
    documents: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """Whether the file could be read to its end; damaged records do not end it."""
        return UNREADABLE not in self.outcomes
