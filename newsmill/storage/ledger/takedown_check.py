"""Whether a page that was read is an article of a takedown: by every key under which it could be stored, or is known. Part of `results`.

A page at a barred URL is refused, and so is its AMP, print or mobile version by the spelling of its URL. A page that only names a barred
URL, as its canonical one or with another parameter, is refused if its text is that of the removed article. Otherwise it is another article,
whose site names one URL for all: it is stored under its own URL. The same holds for a page whose path differs from a barred one in upper
and lower case or the extension. A page at any other URL of the site is refused if it repeats most of the text of the removed article.

A row that has a document has another article than the removed one, whose rows have ended. It keeps its document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import Connection

from newsmill.discovery.url_variants import drop_each_parameter, find_plain_url
from newsmill.exceptions import UrlError
from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.storage.ledger.article_identity import StoredPage
from newsmill.storage.ledger.barred_urls import BarredUrl, bar, find_barred, forget_pages, is_any_barred, make_path_key, make_text_key
from newsmill.storage.ledger.claims import Result
from newsmill.storage.ledger.takedown_evidence import Evidence, list_marks, make_evidence, repeats_removed_article, shows_removed_article
from newsmill.storage.statements import AnyRow
from newsmill.text import urls
from newsmill.text.sentences import Sentence


@dataclass(frozen=True, slots=True)
class PageKeys:
    """The keys of a page. `of_page`: the URLs that show it; `text`: its title and text; `named`: the URLs that it names or resembles, which
    may be another article's; `site`: its site; `urls`: those of `of_page`."""

    of_page: tuple[str, ...]
    text: str
    named: tuple[str, ...]
    site: str
    urls: tuple[str, ...]


def refuse_removed(
    conn: Connection, results: Sequence[Result], rows: Mapping[int, AnyRow], stored: Mapping[str, StoredPage], now: datetime
) -> list[Result]:
    """The results, with the outcome `takedown` in place of removed articles. The URLs of these pages join the takedown.

    `rows`: the locked rows of the ledger; `stored`: the documents by id, with those that the rows have.
    """
    if not results or not is_any_barred(conn):
        return list(results)
    read = {result.claim.id: document for result in results if (document := result.reading.document) and result.retry_at is None}
    keys = {result.claim.id: list_keys(result.claim.url, read[result.claim.id]) for result in results if result.claim.id in read}
    former = {claim_id: rows[claim_id].document_id for claim_id in read}  # the document that a row had, or whose copy it was
    wanted = {key for of_page in keys.values() for key in (*of_page.of_page, of_page.text, *of_page.named, of_page.site)}
    wanted |= {document_id for document_id in former.values() if document_id is not None}
    barred = find_barred(conn, wanted)
    if not barred:
        return list(results)
    repeated = _find_repeated(conn, read, keys, barred)
    owners = _find_owners(former, stored)
    kept: list[Result] = []
    joining: dict[str, BarredUrl] = {}
    for result in results:
        page_id = result.claim.id
        if page_id in owners:
            result = _keep_owned(result, keys[page_id], barred, joining)
        elif (document := read.get(page_id)) is not None:
            result = _check(result, document, keys[page_id], former[page_id], barred, repeated.get(page_id), joining)
        kept.append(result)
    bar(conn, joining, now, now)
    refused = {result.claim.id for result in kept if result.claim.id in read and result.reading.document is None}
    forget_pages(conn, refused - owners, of_documents=refused & owners)
    return kept


def _find_owners(former: Mapping[int, str | None], stored: Mapping[str, StoredPage]) -> set[int]:
    """The rows that have a document of their own."""
    owned = {row_id: stored[document_id] for row_id, document_id in former.items() if document_id is not None and document_id in stored}
    return {row_id for row_id, page in owned.items() if page.ledger_id == row_id}


def list_keys(claimed_url: str, document: Document) -> PageKeys:
    """The keys of a page: of its requested and final URL and their plain spellings; of its canonical URL, and of its URLs with one
    parameter less, as `article_identity.identify` compares them, or without any."""
    shown = [*dict.fromkeys((document.url, document.requested_url, claimed_url))]
    plain = [url for url in map(find_plain_url, shown) if url is not None]
    of_page = _make_keys((*shown, *plain))
    # A site that shows all articles at its homepage with a parameter has no article at the homepage.
    fewer = [url for one in shown if "?" in one for url in (*drop_each_parameter(one).values(), one.partition("?")[0])]
    named = _make_keys(url for url in (document.canonical_url, *fewer) if url is not None and not _is_homepage(url))
    text = make_text_key(document.url, document.content_hash)
    others = tuple(key for key in dict.fromkeys((document.id, *named)) if key not in of_page)
    return PageKeys(tuple(of_page), text, others, make_text_key(document.url, ""), (*shown, *plain))


def _find_repeated(
    conn: Connection, read: Mapping[int, Document], keys: Mapping[int, PageKeys], barred: Mapping[str, BarredUrl]
) -> dict[int, BarredUrl]:
    """The removed articles that pages show again at another URL of their site, by page."""
    shown = {
        page_id: make_evidence([(document.title, document.text)], document.site_name)
        for page_id, document in read.items()
        if keys[page_id].site in barred
    }
    if not shown:
        return {}
    paths = {page_id: [*map(make_path_key, keys[page_id].urls)] for page_id in shown}
    marks = {
        page_id: [make_text_key(read[page_id].url, mark) for mark in list_marks(evidence)]
        for page_id, evidence in shown.items()
        if evidence is not None
    }
    found = find_barred(conn, {key for of_page in (*paths.values(), *marks.values()) for key in of_page})
    repeated: dict[int, BarredUrl] = {}
    for page_id, evidence in shown.items():
        at_path = (found[key] for key in paths[page_id] if key in found)
        alike = (found[key] for key in marks.get(page_id, ()) if key in found)
        if (match := _find_match(read[page_id], evidence, at_path, alike)) is not None:
            repeated[page_id] = match
    return repeated


def _find_match(
    document: Document, evidence: Evidence | None, at_path: Iterable[BarredUrl], alike: Iterable[BarredUrl]
) -> BarredUrl | None:
    """The first removed article that a page shows: of those at its path, and then of those that have marks of its text."""
    for one in at_path:
        if shows_removed_article(document, one.evidence):
            return one
    for one in alike:
        if evidence and one.evidence and repeats_removed_article(evidence, one.evidence):
            return one
    return None


def _check(
    result: Result,
    document: Document,
    keys: PageKeys,
    former: str | None,
    barred: Mapping[str, BarredUrl],
    repeated: BarredUrl | None,
    joining: dict[str, BarredUrl],
) -> Result:
    """The result of a page without a document of its own."""
    found = next((barred[key] for key in (*keys.of_page, keys.text, former or "") if key in barred), None)
    if found is None:
        named = [barred[key] for key in keys.named if key in barred]
        found = next((one for one in named if shows_removed_article(document, one.evidence)), repeated)
    if found is not None:
        joining[urls.make_key(result.claim.url)] = replace(found, url=result.claim.url)
        return _refuse(result, OutcomeRecord(Outcome.TAKEDOWN, found.reason))
    if document.id not in barred:
        return result
    own = replace(document, id=keys.of_page[0], canonical_url=None)  # another article that names the barred URL
    return replace(result, reading=replace(result.reading, document=own))


def _keep_owned(result: Result, keys: PageKeys, barred: Mapping[str, BarredUrl], joining: dict[str, BarredUrl]) -> Result:
    """The result of a row with another document. Where its URL leads to a removed article now, that page replaces nothing and is erased."""
    key = next((key for key in keys.of_page if key in barred), None)
    if key is None:
        return result
    joining[key] = barred[key]
    return _refuse(
        result, OutcomeRecord(Outcome.NOT_ARTICLE, Sentence("the URL leads to a removed article now: {reason}", reason=barred[key].reason))
    )


def _refuse(result: Result, ending: OutcomeRecord) -> Result:
    return replace(result, reading=replace(result.reading, document=None, ending=ending))


def _make_keys(found: Iterable[str]) -> list[str]:
    keys = []
    for url in found:
        try:
            keys.append(urls.make_key(url))
        except UrlError:
            continue
    return [*dict.fromkeys(keys)]


def _is_homepage(url: str) -> bool:
    parts = urlsplit(url)
    return parts.path in ("", "/") and not parts.query
