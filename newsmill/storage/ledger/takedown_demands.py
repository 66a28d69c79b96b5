"""A demand to remove articles, carried out in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from sqlalchemy import Connection, Select, bindparam, or_, select, update

from newsmill.discovery.article_pages import list_first_pages
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import OUTCOMES, Kind, Outcome
from newsmill.search.erasure import forget_words
from newsmill.storage import past_documents, story_decisions
from newsmill.storage.changes import remove
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.documents import Documents
from newsmill.storage.ledger.barred_urls import FORGOTTEN, BarredUrl, bar, make_path_key, make_text_key
from newsmill.storage.ledger.stored_pages import lock_ids
from newsmill.storage.ledger.takedown_evidence import list_marks, make_evidence, merge_evidence
from newsmill.storage.private_files import make_image_name
from newsmill.storage.schema import documents, ledger, revisions
from newsmill.storage.statements import FREE, NOW, AnyRow, state_is
from newsmill.storage.webhooks import remove_from_deliveries
from newsmill.storage.websub import empty_pushes
from newsmill.text import urls

MAX_FETCH_TIME = timedelta(minutes=15)  # after which a fetch that was running at the takedown has ended and its page is in the archive

KEYS: Any = bindparam("b_keys", expanding=True)
IDS: Any = bindparam("b_ids", expanding=True)
_ROW_IDS: Any = bindparam("b_rows", expanding=True)
_NAMED = select(ledger.c.url_key, ledger.c.document_id).where(ledger.c.url_key.in_(KEYS), ledger.c.document_id.is_not(None))
_DIVIDED = select(ledger.c.document_id, ledger.c.parts).where(
    ledger.c.url_key.in_(KEYS), ledger.c.document_id.is_not(None), ledger.c.parts.is_not(None)
)
_DOCUMENTS = (
    select(
        *(documents.c[name] for name in ("id", "ledger_id", "url", "requested_url", "canonical_url")),
        *(documents.c[name] for name in ("title", "description", "text", "content_hash", "site_name", "source", "image")),
    )
    .where(documents.c.id.in_(IDS))
    .order_by(documents.c.id)
)
_DOCUMENTS_LOCKED = _DOCUMENTS.with_for_update()
_REVISIONS = (
    select(revisions.c.document_id, revisions.c.title, revisions.c.text, revisions.c.content_hash)
    .where(revisions.c.document_id.in_(IDS))
    .order_by(revisions.c.document_id, revisions.c.revision.desc())
)
ROW_COLUMNS = tuple(
    ledger.c[name]
    for name in ("id", "url_key", "url", "final_url", "source", "kind", "state", "outcome", "ended_at", "document_id", "parts")
)
_IS_COPY = state_is("dropped") & ledger.c.document_id.in_(IDS)  # the condition of ix_ledger_dropped
_PAGES = select(*ROW_COLUMNS).where(or_(ledger.c.id.in_(_ROW_IDS), _IS_COPY))
_ROWS = (
    select(*ROW_COLUMNS).where(or_(ledger.c.url_key.in_(KEYS), ledger.c.id.in_(_ROW_IDS), _IS_COPY)).order_by(ledger.c.id).with_for_update()
)
_OTHERS = select(documents.c.ledger_id).where(documents.c.ledger_id.in_(_ROW_IDS), documents.c.id.not_in(IDS))
_END = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **FREE,
        **FORGOTTEN,
        state=OUTCOMES[Outcome.TAKEDOWN].state.value,
        outcome=Outcome.TAKEDOWN.value,
        detail=bindparam("b_reason"),
        ended_at=NOW,
        fence=ledger.c.fence + 1,
    )
)


@dataclass(frozen=True, slots=True)
class TakedownDocument:
    """A document that was removed."""

    id: str
    url: str
    title: str | None
    source: str | None
    revisions: int


@dataclass(frozen=True, slots=True)
class TakedownResult:
    """What a takedown removed from the database, and the URLs that are not stored any more."""

    documents: tuple[TakedownDocument, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Demand:
    """What a person named: URLs by key, and the ids of the documents that they lead to."""

    urls: Mapping[str, str]
    ids: frozenset[str]


def resolve_demand(found: Documents, urls_or_ids: Sequence[str]) -> _Demand:
    """Raises UrlError."""
    named, ids = dict[str, str](), set[str]()
    for one in urls_or_ids:
        document = found.get(one)
        if document is not None:
            ids.add(document.id)
        if document is None or document.id != one:
            url = urls.normalize(one)
            named[urls.make_key(url)] = url
    return _Demand(named, frozenset(ids))


def make_keys(of_page: Iterable[str]) -> set[str]:
    keys = set()
    for url in of_page:
        with suppress(UrlError):
            keys.add(urls.make_key(url))
    return keys


def bar_demand(conn: Connection, demand: _Demand, reason: str, now: datetime) -> TakedownResult:
    ids = _find_ids(conn, demand)
    # A page of the article that is being stored is stored before the takedown, which then finds it, or behind it, and is refused.
    lock_ids(conn, {*ids, *_list_urls(demand, *_read(conn, _DOCUMENTS, ids))})
    found, pages = _read(conn, _DOCUMENTS_LOCKED, _find_ids(conn, demand))
    ids, owned = [document.id for document in found], {document.ledger_id: document.id for document in found}
    of_article = _list_urls(demand, found, pages)
    rows = conn.execute(_ROWS, {"b_keys": sorted(of_article), "b_rows": sorted(owned), "b_ids": ids}).all()
    _refuse_listings(demand, rows)
    others = {*conn.execute(_OTHERS, {"b_rows": [row.id for row in rows], "b_ids": ids}).scalars()} - owned.keys()
    for row in rows:
        if row.kind != Kind.PAGE or row.id in others:  # the page names it by mistake
            of_article.pop(row.url_key, None)
    rows = [row for row in rows if row.url_key in of_article]
    erase_after = now + MAX_FETCH_TIME if any(row.state == "fetching" for row in rows) else now
    versions, texts = _read_versions(conn, found)
    _bar_article(conn, of_article, found, versions, texts, reason, erase_after, now)
    remove_from_deliveries(conn, ids)
    empty_pushes(conn)
    remove(conn, ids, now)
    story_decisions.forget(conn, sorted(owned))
    past_documents.take_down(conn, ids, {*of_article, *demand.urls, *ids}, reason)
    _forget_words(conn, found, versions.values())
    _end_rows(conn, [row for row in rows if row.outcome != Outcome.TAKEDOWN], reason, now)
    return TakedownResult(
        tuple(TakedownDocument(one.id, one.url, one.title, one.source, len(versions[one.id])) for one in found),
        tuple(sorted({url for url, _ in of_article.values()})),
    )


def _refuse_listings(demand: _Demand, rows: Iterable[AnyRow]) -> None:
    """Raises ConfigError if the demand names a listing."""
    for row in rows:
        if row.kind != Kind.PAGE and row.url_key in demand.urls:
            raise ConfigError(f"{row.url} is a {row.kind} of source {row.source}, not an article; change or remove the source")


def _read_versions(conn: Connection, found: Sequence[AnyRow]) -> tuple[dict[str, list[tuple[str | None, str]]], set[tuple[str, str]]]:
    """The versions (title, text) of documents by id, the current one first; and the id and content hash of each version."""
    versions: dict[str, list[tuple[str | None, str]]] = {document.id: [(document.title, document.text)] for document in found}
    texts = {(document.id, document.content_hash) for document in found}
    for revision in conn.execute(_REVISIONS, {"b_ids": [*versions]}):
        versions[revision.document_id].append((revision.title, revision.text))
        texts.add((revision.document_id, revision.content_hash))
    return versions, texts


def _forget_words(conn: Connection, found: Sequence[AnyRow], versions: Iterable[Sequence[tuple[str | None, str]]]) -> None:
    """Delete the search words that only the removed documents had."""
    forget_words(conn, [text for of_document in versions for version in of_document for text in version if text])
    forget_words(conn, [document.description for document in found if document.description])


def _find_ids(conn: Connection, demand: _Demand) -> list[str]:
    """The documents that the demand names, as far as they are stored by now."""
    named = {row.url_key: row.document_id for row in conn.execute(_NAMED, {"b_keys": sorted(demand.urls)})}
    return sorted({*demand.ids, *(named.get(key, key) for key in demand.urls), *_find_divided(conn, demand)})


def _find_divided(conn: Connection, demand: _Demand) -> set[str]:
    """The documents of which a demanded URL is a further page."""
    firsts = make_keys(first for url in demand.urls.values() for first in list_first_pages(url))
    rows = conn.execute(_DIVIDED, {"b_keys": sorted(firsts)}).all() if firsts else []
    return {row.document_id for row in rows if demand.urls.keys() & make_keys(row.parts)}


def _read(conn: Connection, statement: Select[Any], ids: Sequence[str]) -> tuple[Sequence[AnyRow], Sequence[AnyRow]]:
    """The documents, and the rows of their pages and copies."""
    found = conn.execute(statement, {"b_ids": ids}).all()
    owners = sorted(document.ledger_id for document in found)
    return found, conn.execute(_PAGES, {"b_rows": owners, "b_ids": [document.id for document in found]}).all()


def _list_urls(demand: _Demand, found: Sequence[AnyRow], pages: Sequence[AnyRow]) -> dict[str, tuple[str, frozenset[str]]]:
    """All URLs of the articles by key, each with the ids of its documents: the canonical one may be that of several."""
    owners = {document.ledger_id: document.id for document in found}
    named: list[tuple[str, str | None]] = [
        (document.id, url) for document in found for url in (document.canonical_url, document.url, document.requested_url)
    ]
    named += [(owners.get(row.id) or row.document_id, url) for row in pages for url in (row.url, row.final_url, *(row.parts or ()))]
    keyed = [(key, url, document_id) for document_id, url in named if url is not None for key in make_keys([url])]
    keyed += [(row.url_key, row.url, owners.get(row.id) or row.document_id) for row in pages]  # which may leave out parameters
    keyed += [(document.id, document.url, document.id) for document in found]  # the canonical URL that the page named first
    of_article: dict[str, tuple[str, frozenset[str]]] = {key: (url, frozenset()) for key, url in demand.urls.items()}
    for key, url, document_id in keyed:
        known, ids = of_article.get(key, (url, frozenset[str]()))
        of_article[key] = (known, ids | {document_id})
    return of_article


def _bar_article(
    conn: Connection,
    of_article: Mapping[str, tuple[str, frozenset[str]]],
    found: Sequence[AnyRow],
    versions: Mapping[str, Sequence[tuple[str | None, str]]],
    texts: Iterable[tuple[str, str]],
    reason: str,
    erase_after: datetime,
    now: datetime,
) -> None:
    """Bar the URLs, and the texts of articles (document id and content hash) that are long enough to be told from others."""
    known = {
        document.id: BarredUrl(
            document.url,
            reason,
            document.id,
            make_evidence(versions[document.id], document.site_name),
            None if document.image is None else make_image_name(document.image),
        )
        for document in found
    }
    site_names = {document.id: document.site_name for document in found}
    barred: dict[str, BarredUrl] = {}
    for key, (url, ids) in of_article.items():
        articles = [known[document_id] for document_id in sorted(ids)]
        evidence = reduce(merge_evidence, (article.evidence for article in articles)) if articles else None
        barred[key] = replace(articles[0], url=url, evidence=evidence) if articles else BarredUrl(url, reason)
        if evidence is not None:
            _add(barred, make_path_key(url), replace(articles[0], url=url, evidence=evidence))
    for document_id, content_hash in texts:
        article = known[document_id]
        if article.evidence is not None:
            barred[make_text_key(article.url, content_hash)] = article
    for article in known.values():
        if article.evidence is not None and article.document_id is not None:
            barred[make_text_key(article.url, "")] = BarredUrl(article.url, reason)
            for title, text in versions[article.document_id]:
                version = make_evidence([(title, text)], site_names[article.document_id])
                for mark in () if version is None else list_marks(version):
                    _add(barred, make_text_key(article.url, mark), replace(article, evidence=version))
    bar(conn, barred, erase_after, now)


def _add(barred: dict[str, BarredUrl], key: str, article: BarredUrl) -> None:
    known = barred.get(key)
    barred[key] = article if known is None else replace(known, evidence=merge_evidence(known.evidence, article.evidence))


def _end_rows(conn: Connection, rows: Sequence[AnyRow], reason: str, now: datetime) -> None:
    if rows:
        conn.execute(_END, [{"b_id": row.id, "b_reason": reason, "b_now": now} for row in rows])
    counters = CounterUpdates()
    for row in rows:
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
        counters.add(now, row.source, row.kind, Outcome.TAKEDOWN.value)
    counters.write(conn)
