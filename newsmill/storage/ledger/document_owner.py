"""Which page owns a document, and what is written for each result. Pure; `results` locks the rows, asks here, and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsmill import urls
from newsmill.discovery.url_variants import drop_each_parameter, find_plain_url
from newsmill.exceptions import UrlError
from newsmill.model import Document, Outcome, OutcomeRecord
from newsmill.near_duplicates import shingles, similarity
from newsmill.storage.columns import make_storable
from newsmill.storage.ledger.records import Result

MIN_SIMILARITY = 0.3  # of the texts before and after an edit; those of two articles share few runs of five words
MIN_COPY_SIMILARITY = 0.7  # of two texts whose URLs only look alike
OtherContent = tuple[tuple[str | None, ...], ...]  # what a reader sees beside title and text


@dataclass(frozen=True, slots=True)
class StoredPage:
    """The stored document of an id."""

    ledger_id: int
    content_hash: str
    revision: int
    first_seen_at: datetime
    stored_at: datetime
    is_canonical: bool  # the URL of its page is the canonical one
    archive_ref: str | None = None
    other_content: OtherContent = ()
    gone_at: datetime | None = None
    title: str | None = None
    text: str = ""
    canonical_url: str | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class StoreDecision:
    """The rows to write for one result."""

    result: Result
    record: OutcomeRecord
    document: Document | None = None  # written if not None
    stored_at: datetime | None = None
    document_id: str | None = None  # of a duplicate: the document that its page repeats
    displaced: int | None = None  # the ledger row that owned the document before
    copy_of: str | None = None  # of a duplicate with the same text: the URL of the document
    extracts_displaced: bool = False  # the page of that row is another article, and gets a document of its own


def decide(
    results: Sequence[Result],
    stored: Mapping[str, StoredPage],
    is_canonical: Callable[[Document], bool],
    now: datetime,
    owned: Mapping[int, str] | None = None,
) -> list[StoreDecision]:
    """One decision per result, in order; each sees what the earlier ones write.

    `stored`: the stored documents by id, with those of `list_identities`. `owned`: the documents of ledger rows that have one.
    """
    stored = dict(stored)
    decisions: dict[int, StoreDecision] = {}
    for result in results:
        decision = _decide_one(result, stored, is_canonical, now, owned or {})
        _note(decision, stored, is_canonical)
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            if decision.extracts_displaced:
                earlier = _decide_one(earlier.result, stored, is_canonical, now, {})
                _note(earlier, stored, is_canonical)
            else:
                earlier = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decisions[decision.displaced] = earlier
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def _note(decision: StoreDecision, stored: dict[str, StoredPage], is_canonical: Callable[[Document], bool]) -> None:
    """Put the document that a decision writes among the stored ones."""
    document = decision.document
    if document is None or decision.stored_at is None:
        return
    stored[document.id] = StoredPage(
        ledger_id=decision.result.claim.id,
        content_hash=document.content_hash,
        revision=document.revision,
        first_seen_at=document.first_seen_at,
        stored_at=decision.stored_at,
        is_canonical=is_canonical(document),
        archive_ref=document.archive_ref,
        other_content=list_other_content(document),
        gone_at=document.gone_at,
        title=document.title,
        text=document.text,
        canonical_url=document.canonical_url,
        url=document.url,
    )


def list_other_content(document: Document) -> OtherContent:
    """The authors and the live updates: changed by a new fetch, they make a revision, as title and text do."""
    authors = [(make_storable(author.name),) for author in document.authors]
    updates = [
        (None if update.title is None else make_storable(update.title), make_storable(update.text)) for update in document.live_updates
    ]
    return (*authors, *updates)


def is_same_article(document: Document, title: str | None, text: str) -> bool:
    """Whether a page that has another identity now is still the article with this title and text: a redirect may lead anywhere."""
    if document.title is not None and document.title == title:
        return True
    return similarity(shingles(document.text), shingles(text)) >= MIN_SIMILARITY


def duplicate_of(document_id: str | None) -> OutcomeRecord:
    return OutcomeRecord(Outcome.DUPLICATE, f"another URL of document {document_id}")


# ---- identity


def list_identities(document: Document) -> set[str]:
    """The ids under which the article of a page may be stored already."""
    found = {document.id}
    for url in (document.url, find_plain_url(document.url), *drop_each_parameter(document.url).values()):
        if url is not None and (key := _make_key(url)) is not None:
            found.add(key)
    return found


def _identify(document: Document, claim_id: int, stored: Mapping[str, StoredPage], owned: Mapping[int, str]) -> Document:
    """The document with the id of its article. `Document.id` is a proposal: the key of the canonical URL or of the URL.

    A canonical URL that another article names as well is not believed (a section, or one URL in the template). A row keeps its document
    when the page names another canonical URL and is the same article. A page whose own URL is all that is known of it may be a copy of a
    stored article.
    """
    own = _make_key(document.url)
    old = stored.get(document.id)
    if (
        old is not None
        and old.ledger_id != claim_id
        and own not in (None, document.id)
        and not is_same_article(document, old.title, old.text)
    ):
        document = replace(document, id=own or document.id, canonical_url=None)
        old = stored.get(document.id)
    if old is not None:
        return document
    kept = stored.get(owned.get(claim_id, ""))
    if kept is not None and kept.ledger_id == claim_id and is_same_article(document, kept.title, kept.text):
        return replace(document, id=owned[claim_id])
    return replace(document, id=_find_copied(document, stored)) if own == document.id else document


def _find_copied(document: Document, stored: Mapping[str, StoredPage]) -> str:
    """The id of the article that a page without a canonical URL copies; its own id if there is none.

    An AMP, print or mobile version is named by the URL of the plain page, which may be found later.
    """
    plain = find_plain_url(document.url)
    key = None if plain is None else _make_key(plain)
    if key is not None and (key not in stored or _is_same_text(document, stored[key])):
        return key
    keys = (_make_key(url) for url in drop_each_parameter(document.url).values())
    return next((key for key in keys if key is not None and key in stored and _is_same_text(document, stored[key])), document.id)


def _is_same_text(document: Document, page: StoredPage) -> bool:
    return document.content_hash == page.content_hash or similarity(shingles(document.text), shingles(page.text)) >= MIN_COPY_SIMILARITY


def _make_key(url: str) -> str | None:
    try:
        return urls.make_key(url)
    except UrlError:
        return None


# ---- decisions


def _decide_one(
    result: Result,
    stored: Mapping[str, StoredPage],
    is_canonical: Callable[[Document], bool],
    now: datetime,
    owned: Mapping[int, str],
) -> StoreDecision:
    document, record = result.reading.document, result.reading.ending
    if record.outcome is not Outcome.STORED:
        return StoreDecision(result, record)
    if document is None:
        raise ValueError(f"the result of {result.claim.url} is stored without a document")
    document = replace(document, archive_ref=document.archive_ref or f"{result.claim.segment}@{result.claim.offset}")
    document = _identify(document, result.claim.id, stored, owned)
    old = stored.get(document.id)
    if old is None:
        return StoreDecision(result, record, replace(document, revision=1), now, document.id)
    if old.ledger_id == result.claim.id:
        return _update(result, document, old, now)
    if is_canonical(document) and not old.is_canonical:
        # A page without a canonical URL was named by the spelling of its URL, so the title of the site is not enough.
        is_same = _is_same_text(document, old) or (old.canonical_url is not None and is_same_article(document, old.title, old.text))
        return replace(_update(result, document, old, now), record=record, displaced=old.ledger_id, extracts_displaced=not is_same)
    copy_of = old.url if _is_same_text(document, old) else None
    return StoreDecision(result, duplicate_of(document.id), document_id=document.id, copy_of=copy_of)


def _update(result: Result, document: Document, old: StoredPage, now: datetime) -> StoreDecision:
    """The document with its new content; a changed content is a new revision."""
    # Extracted again from the same bytes: the outcome UNCHANGED is for a new fetch.
    is_same_fetch = old.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    changed = document.content_hash != old.content_hash or (not is_same_fetch and list_other_content(document) != old.other_content)
    document = replace(
        document,
        revision=old.revision + changed,
        first_seen_at=min(old.first_seen_at, document.first_seen_at),
        gone_at=old.gone_at if is_same_fetch else None,
    )
    record = result.reading.ending if changed or is_same_fetch else OutcomeRecord(Outcome.UNCHANGED)
    is_news = changed or document.gone_at != old.gone_at  # readers of changes see that it is back
    return StoreDecision(result, record, document, now if is_news else old.stored_at, document.id)
