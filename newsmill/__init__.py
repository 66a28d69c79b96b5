"""Newsmill turns news sites into a clean, deduplicated, explainable corpus.

The functions and types of this module, with the types of `newsmill.model` and `newsmill.exceptions` that they take, return and raise, are
the public Python interface. All other modules are internal and may change in any release.

The functions import what they need, and the types are imported at their first use, so that importing this package does not load Scrapy,
Redis, SQL or lxml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from newsmill.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from typing import Any

    from newsmill.client.corpus import (
        Change,
        Corpus,
        FacetCount,
        FacetCounts,
        QueryCheck,
        Removal,
        SourceSummary,
        TimelineBar,
        UrlOutcome,
    )
    from newsmill.client.search_hits import SearchHit, SearchHits
    from newsmill.model import (
        Capture,
        CopyGroup,
        Document,
        DocumentCopy,
        DocumentMarks,
        Listing,
        NearDuplicate,
        Revision,
        RevisionSummary,
        Story,
        StoryDetail,
        StoryEvent,
        StoryMember,
        SubmissionCounts,
        WarcCounts,
    )
    from newsmill.site_inspection.findings import SiteInspection

# where the types of __all__ are, the module that is loaded fastest first
_TYPE_MODULES = ("newsmill.model", "newsmill.client.search_hits", "newsmill.client.corpus", "newsmill.site_inspection.findings")
_MODULES = frozenset({"batch", "exceptions", "model"})

__all__ = [
    "Capture",
    "Change",
    "CopyGroup",
    "Corpus",
    "Document",
    "DocumentCopy",
    "DocumentMarks",
    "FacetCount",
    "FacetCounts",
    "Listing",
    "NearDuplicate",
    "QueryCheck",
    "Removal",
    "Revision",
    "RevisionSummary",
    "SearchHit",
    "SearchHits",
    "SiteInspection",
    "SourceSummary",
    "Story",
    "StoryDetail",
    "StoryEvent",
    "StoryMember",
    "SubmissionCounts",
    "TimelineBar",
    "UrlOutcome",
    "WarcCounts",
    "__version__",
    "arrow_schema",
    "discover",
    "extract",
    "open",
    "read_warc",
    "submit",
    "submit_warc",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"newsmill.{name}")
    for module in _TYPE_MODULES if name in __all__ else ():
        if (found := getattr(import_module(module), name, None)) is not None:
            return found
    raise AttributeError(f"module 'newsmill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__, *_MODULES})


def extract(html: str | bytes, *, url: str = "", content_type: str | None = None, language: str | None = None) -> Document:
    """Extract the document of one page: its text without boilerplate, its fields, and the origin of each. Fetches and stores nothing.

    Args:
        html: The page. Bytes are decoded as a browser does it: byte order mark, `content_type`, declaration in the page, guess.
        url: The URL of the page, which resolves links and helps to find date and section. Empty if it is not known.
        content_type: The Content-Type header that came with the bytes, such as "text/html; charset=windows-1251".
        language: BCP 47 tag of the site, for texts whose language cannot be detected.

    Raises ExtractionError if the page holds no document; docs/reference/outcomes.md explains its `outcome`.
    The page is read in this process, without limits on time and memory; `newsmill extract` reads each page in a child process under limits.
    """
    from datetime import UTC, datetime

    from newsmill.exceptions import ExtractionError
    from newsmill.extraction.pipeline import read
    from newsmill.model import Page
    from newsmill.text.redaction import redact

    _check_page(html, url=url, content_type=content_type or "", language=language or "")
    if isinstance(html, str):
        html, content_type = html.encode("utf-8", "surrogatepass"), "text/html; charset=utf-8"
    page = Page(url, url, datetime.now(UTC), 200, (("Content-Type", content_type or "text/html"),), html)
    result = read(page, language=language)
    if result.document is None:
        detail = f" ({result.ending.detail})" if result.ending.detail else ""
        raise ExtractionError(f"{redact(url) or 'the page'} holds no document: {result.ending.outcome}{detail}", result.ending.outcome)
    return result.document


def discover(html: str | bytes, url: str, *, content_type: str | None = None) -> Listing:
    """Find the feeds, sitemaps and sections that a homepage names (`listings`), and the articles it links to (`pages`). Fetches nothing.

    Args:
        html: The homepage, as for `extract`.
        url: Its URL, after redirects. Links that lead to other sites are left out.
        content_type: As for `extract`.

    Raises UrlError if `url` is not an http(s) URL, and ListingError if the page is not HTML.
    """
    from newsmill.discovery.homepages import read_homepage
    from newsmill.text.urls import normalize

    _check_page(html, url=url, content_type=content_type or "")
    normalize(url)
    if isinstance(html, str):
        html, content_type = html.encode("utf-8", "surrogatepass"), "text/html; charset=utf-8"
    return read_homepage(html, url, content_type)


def _check_page(html: object, **texts: object) -> None:
    """Raises ConfigError for a path, a response or None instead of a page, and for other values than strings."""
    if not isinstance(html, (str, bytes)):
        from newsmill.exceptions import ConfigError

        raise ConfigError(f"expected a page as str or bytes, not {type(html).__name__}; a file is read with Path(…).read_bytes()")
    for name, value in texts.items():
        if not isinstance(value, str):
            from newsmill.exceptions import ConfigError

            raise ConfigError(f"{name}= expects a string, not {type(value).__name__}")


def submit(
    urls: Iterable[str], *, source: str | None = None, again: bool = False, where: str | os.PathLike[str] | None = None
) -> SubmissionCounts:
    """Queue URLs of pages: a running Newsmill (`newsmill up`) fetches each once and stores its document.

    Args:
        urls: http(s) URLs. Any other string is recorded with the outcome `bad_url`.
        source: The name of the source that the pages belong to.
        again: Also fetch URLs that are known.
        where: A data folder (created if it does not exist) or a database URL. Default: the store of the `newsmill` command in this folder.

    Returns how many URLs were new, known and bad. Raises ConfigError if `source` is unknown, `urls` is one string, or `where` cannot be
    written to.
    """
    from newsmill.intake import url_submission

    return url_submission.submit(urls, source, again, where)


def submit_warc(
    files: Iterable[str | os.PathLike[str]],
    *,
    source: str | None = None,
    again: bool = False,
    own: bool = False,
    in_place: bool = False,
    is_wanted: Callable[[str, datetime], bool] | None = None,
    where: str | os.PathLike[str] | None = None,
) -> WarcCounts:
    """Submit the pages of WARC or WACZ files: a running Newsmill extracts and stores them. Fetches nothing.

    A page counts as fetched at the time of its capture. If a URL has several captures, the newest is stored, even across several calls. You
    may repeat an interrupted call. If workers run and are far behind, the call waits for them.

    Args:
        files: Names or URLs of files, compressed with gzip or zstd or not at all.
        source: The name of the source that the pages belong to.
        again: Also submit captures that are not newer than the stored page of their URL.
        own: The files are yours: a text counts as first seen at the time of its capture. Otherwise it is first seen now.
        in_place: Leave the pages in these files, and read them there. Submit a file again after it was moved.
        is_wanted: Called with the URL and time of each capture; if it returns False, the capture is left out.
        where: As for `submit`.

    Returns the number of records by result. A damaged record is counted and logged, and does not end the call.
    Raises ConfigError if `source` is unknown or a file or `where` cannot be used, and ServiceError if the store cannot be written to.
    """
    from newsmill.intake import warc_submission

    return warc_submission.submit_warc(files, source, again, own, in_place, is_wanted, where)


def read_warc(file: str | os.PathLike[str], *, is_wanted: Callable[[str, datetime], bool] | None = None) -> Iterator[Capture]:
    """Yield a capture for each record of a WARC or WACZ file: its page, or why it gives none. Memory holds one record.

    Args:
        file: The path or URL of a file, compressed with gzip or zstd or not at all. URLs begin with file://, s3://, http:// or https://.
        is_wanted: Called with the URL and time of each capture; if it returns False, the record is not read (`filtered`).

    A damaged record is a capture that says so, and reading resumes at the next record.
    Raises ConfigError if the file cannot be opened, and OSError if a URL cannot be read to its end.
    """
    import os

    from newsmill.intake import capture_filters, warc_files

    return warc_files.read_warc(os.fspath(file), is_wanted or capture_filters.is_any)


def arrow_schema() -> Any:
    """Return the pyarrow schema of documents: columns and types of `newsmill export --format parquet`, and of `Document.to_dict()`.

    Raises ConfigError if pyarrow is not installed.
    """
    from newsmill.exports import parquet

    parquet.require_pyarrow()
    return parquet.arrow_schema()


def open(where: str | os.PathLike[str] | None = None, *, token: str | None = None) -> Corpus:
    """Opens a corpus for reading.

    `where` is a data folder, a database URL (sqlite:///path, postgresql://user:password@host/name) or the URL of a Newsmill server, with
    its `token`. Default: the store that the `newsmill` command uses in the current folder.

    Only `mark` (stars, tags and notes) and `add_source` change the store.
    Raises NewsmillError, with one sentence, if there is nothing to read.
    """
    import os
    from pathlib import Path

    from newsmill.exceptions import ConfigError, NewsmillError

    expected = "expected a data folder, sqlite:///path, postgresql://user:password@host/name or the http(s) URL of a Newsmill server"
    location = _configured_location() if where is None else os.fspath(where)
    scheme, separator, rest = location.partition("://")
    if separator and scheme in ("http", "https"):
        # reading an API needs no SQL, and reading a store no HTTP client
        from newsmill.client.http import HttpCorpus

        return HttpCorpus(location, token)
    if token is not None:
        raise ConfigError("token= belongs to the http(s) URL of a Newsmill server")
    dialect = scheme.partition("+")[0]
    if separator and dialect not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(f"newsmill.open cannot read {scheme}://…; {expected}")
    from newsmill.client.local import LocalCorpus
    from newsmill.storage.private_files import DATABASE

    if separator:
        path = rest.removeprefix("/").partition("?")[0] if dialect == "sqlite" else ""
        if path and not Path(path).exists():
            raise NewsmillError(f"{path} does not exist; {expected}")
        return LocalCorpus(location)
    found = Path(location).expanduser().absolute()
    found = found / DATABASE if found.is_dir() else found
    if not found.is_file():
        raise NewsmillError(f"{Path(location)} has no Newsmill database; {expected}")
    return LocalCorpus(f"sqlite:///{found}")


def _configured_location() -> str:
    from newsmill import settings  # pydantic costs 0.1 s of CPU, which a given location does not need

    found = settings.load()
    return found.database_url or str(found.data.expanduser())
