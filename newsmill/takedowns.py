"""Takedowns: an article is removed at somebody's demand from the database, the search index and the archive, and stays away.

The database forgets it in one commit. The archive is searched behind that: nothing else names the pages of all earlier fetches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from newsmill import urls
from newsmill.context import AppContext
from newsmill.exceptions import ArchiveDamaged, UrlError
from newsmill.storage.ledger.takedowns import TakedownResult


@dataclass(frozen=True, slots=True)
class Erasure:
    """What a search of the archive has erased. `unreadable`: the files that could not be searched, each with its reason."""

    pages: int = 0
    files: int = 0
    searched: int = 0
    unreadable: tuple[str, ...] = ()


def take_down(context: AppContext, urls_or_ids: Sequence[str], reason: str) -> TakedownResult:
    """Remove the documents of URLs or document IDs from the database, and bar their URLs.

    Raises UrlError for an argument that is neither, ConfigError for the URL of a listing, ServiceError.
    """
    return context.takedowns.add(dict(_resolve(context, one) for one in urls_or_ids), reason, now=context.now())


def _resolve(context: AppContext, url_or_id: str) -> tuple[str, str]:
    """(key, URL) of a URL or of the document with this ID."""
    document = context.documents.get(url_or_id)
    if document is not None and document.id == url_or_id:
        return document.id, document.canonical_url or document.url
    url = urls.normalize(url_or_id)
    return urls.make_key(url), url


def erase_archived_pages(context: AppContext, advance: Callable[[int], None] = lambda done: None) -> Erasure:
    """Erase the pages of all takedowns from the archive, where that is still to be done. `advance` takes the number of files searched.

    May be stopped and repeated. A takedown stays open while a file cannot be read, or while a fetch may still bring its page.
    Raises ServiceError.
    """
    since, wanted = context.now(), context.takedowns.find_keys_to_erase()
    if not wanted:
        return Erasure()
    erased: Counter[str] = Counter()

    def is_wanted(of_page: Iterable[str]) -> bool:
        return bool(_make_keys(of_page) & wanted)

    def erase(of_page: Iterable[str]) -> bool:
        found = _make_keys(of_page) & wanted
        erased.update(sorted(found)[:1])  # a page counts for one of its URLs
        return bool(found)

    files = searched = 0
    unreadable: list[str] = []
    for path in context.archive.list_files():
        try:
            if context.archive.count_pages(path, is_wanted):
                with context.takedowns.lock_archive():
                    files += bool(context.archive.erase_pages(path, erase, now=since))
        except ArchiveDamaged as error:
            unreadable.append(str(error))
        searched += 1
        advance(1)
    context.takedowns.record_erased({key: erased[key] for key in wanted}, is_complete=not unreadable, since=since)
    return Erasure(erased.total(), files, searched, tuple(unreadable))


def _make_keys(of_page: Iterable[str]) -> set[str]:
    keys = set()
    for url in of_page:
        with suppress(UrlError):
            keys.add(urls.make_key(url))
    return keys
