"""Which document a page is stored as: one id for all URLs of an article, another one for every other article, and one page that owns it.

`Document.id` is a proposal: the key of the canonical URL, or of the URL of the page. A page may name a wrong canonical URL, or none, so
the proposal is compared with the documents that are stored. Part of the commit of `results`, which writes what is decided here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import Connection, bindparam, func, select, text

from newsmill.discovery.url_patterns import drop_each_parameter, find_edition, find_plain_url, is_same_edition
from newsmill.exceptions import UrlError
from newsmill.extraction.document_identity import OtherContent, list_other_content
from newsmill.model import SPIDER, Document, Outcome, OutcomeRecord, is_doubtful
from newsmill.similarity.near_duplicates import MIN_SHINGLES, Shingle, shingles, similarity
from newsmill.storage import fingerprints
from newsmill.storage.columns import make_storable
from newsmill.storage.ledger.claims import Result
from newsmill.storage.schema import documents
from newsmill.storage.statements import AnyRow
from newsmill.text import urls

# ---- two pages compared: no SQL

MIN_SIMILARITY = 0.3  # of the texts before and after an edit; those of two articles share few runs of five words
MIN_COPY_SIMILARITY = 0.7  # of two texts whose URLs only look alike
MIN_CONTAINED = 0.5  # share of the runs of words of the shorter text, such as a preview, that the longer one has too
MAX_PUBLICATION_GAP = timedelta(days=1)  # between two pages of one article, of which one may name only the day
MAX_COMPARED_CHARACTERS = 20_000  # of a text
MIN_SLUG_WORDS = 3  # of the last part of a path that names one article


_NUMBER = re.compile(r"(?<!\d)\d{5,}(?!\d)")
_DATE_NUMBER = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_SLUG = re.compile(rf"[^\W\d_]+(?:[-_][^\W_]+){{{MIN_SLUG_WORDS - 1},}}")
_EXTENSION = re.compile(r"\.\w{2,5}$")
_PART = re.compile(r"(?:[/,._-](?:(?:page|seite|pagina|part|teil|p)[-_/=,.]?)?\d{1,3})?(?:\.\w{2,5})?/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoredPage:
    """The stored document of an id."""

    ledger_id: int
    content_hash: str
    revision: int
    first_seen_at: datetime
    stored_at: datetime
    is_canonical: bool  # its page is the one at the canonical URL; not one that redirects there from another host
    archive_ref: str | None = None
    other_content: OtherContent = ()
    gone_at: datetime | None = None
    title: str | None = None
    text: str = ""
    canonical_url: str | None = None
    url: str = ""
    requested_url: str = ""
    is_foreign: bool = False  # only other sites link to its page
    published_at: datetime | None = None
    published_precision: str | None = None


def list_identities(document: Document) -> set[str]:
    """The ids under which the article of a page may be stored already, by its URLs."""
    found = {document.id}
    for url in (document.url, find_plain_url(document.url), *drop_each_parameter(document.url).values()):
        if url is not None and (key := _make_key(url)) is not None:
            found.add(key)
    return found


def identify(document: Document, claim_id: int, stored: Mapping[str, StoredPage], owned: Mapping[int, str]) -> Document:
    """The document with the id of its article.

    A canonical URL that another article names as well is not believed (a section, or one URL in the template). A row keeps its document
    when the page names another canonical URL and is the same article. A page with the text of a stored article is a copy of it where their
    URLs or their publication times agree too (`_is_copy`). It is a copy as well if another article has the id of its own URL.

    `claim_id`: the ledger row of the page. `stored`: documents by id, with those of `list_identities` and those with a similar text.
    `owned`: the documents of ledger rows that have one.
    """
    own = _make_key(document.url)
    old = stored.get(document.id)
    if old is not None and old.ledger_id != claim_id and own not in (None, document.id) and not _is_version(document, old):
        document = replace(document, id=own or document.id, canonical_url=None)
        old = stored.get(document.id)
    has_lost_id = old is not None and own == document.id and old.ledger_id != claim_id and not old.is_canonical
    if old is not None and not (has_lost_id and displaces_article(document, old)):
        return document
    kept = stored.get(owned.get(claim_id, ""))
    if kept is not None and kept.ledger_id == claim_id and is_same_article(document, kept.title, kept.text):
        return replace(document, id=owned[claim_id])
    return replace(document, id=_find_copied(document, own, claim_id, stored))


def is_same_article(document: Document, title: str | None, text: str) -> bool:
    """Whether a page that has another identity now is still the article with this title and text: a redirect may lead anywhere."""
    if document.title is not None and document.title == title:
        return True
    return similarity(_list_shingles(document.text), _list_shingles(text)) >= MIN_SIMILARITY


def is_placeholder(document: Document, page: StoredPage) -> bool:
    """Whether a page at the URL of an article shows something else for now, such as "We will be right back".

    It is another article by title and text, and shorter and doubtful, or less than half as long. A first report that becomes a full article
    is longer, and a correction has the title or some of the text.
    """
    length = len(document.text)
    is_notice = 2 * length < len(page.text) or (length < len(page.text) and is_doubtful(document.confidence))
    return is_notice and not is_same_article(document, page.title, page.text)


def is_same_text(document: Document, page: StoredPage) -> bool:
    """Whether two pages show one text, with small differences."""
    if document.content_hash == page.content_hash:
        return True
    return similarity(_list_shingles(document.text), _list_shingles(page.text)) >= MIN_COPY_SIMILARITY


def displaces_article(document: Document, page: StoredPage) -> bool:
    """Whether the page of a canonical URL is another article than the one that was stored under it, from a page that named it."""
    # A page without a canonical URL was named by the spelling of its URL, so the title is not enough.
    return not (_is_excerpt(document, page) if page.canonical_url is None else _is_version(document, page))


def _find_copied(document: Document, own: str | None, claim_id: int, stored: Mapping[str, StoredPage]) -> str:
    """The id of the stored article that a page copies; its own id if there is none.

    An AMP, print or mobile version is named by the URL of the plain page, which may be found later.
    """
    if own is not None and own != document.id and own in stored and is_same_text(document, stored[own]):
        return own  # another page named this URL as its canonical one
    name = document.id  # of a new document
    if own == document.id:
        plain = find_plain_url(document.url)
        key = None if plain is None else _make_key(plain)
        if key is not None and key not in stored:
            name = key
        elif key is not None and _is_excerpt(document, stored[key]):
            return key
        keys = (_make_key(url) for url in drop_each_parameter(document.url).values())
        copied = next((key for key in keys if key is not None and key in stored and is_same_text(document, stored[key])), None)
        if copied is not None:
            return copied
    if document.extractor == SPIDER:  # its spider decides what one item is
        return name
    return next((key for key, page in stored.items() if page.ledger_id != claim_id and _is_copy(document, page)), name)


def _is_copy(document: Document, page: StoredPage) -> bool:
    """Whether a page shows a stored article of its site at another URL that no spelling connects with it.

    Either title and text are the same, or the texts are similar, the URLs have one path, slug or article number, and the titles or the
    times of publication are the same. A short text may be on any page.
    """
    has_same_content = document.content_hash == page.content_hash
    is_known = (document.title is not None and document.title == page.title) or _have_same_time(document, page)
    if not (has_same_content or is_known) or not _are_published_together(document, page):  # cheap, and true of nearly all
        return False
    if find_edition(document.url) != find_edition(page.url):
        return False
    if not has_same_content and not _are_related(document.url, page.url):
        return False
    ours = _list_shingles(document.text)
    return len(ours) >= MIN_SHINGLES and (has_same_content or similarity(ours, _list_shingles(page.text)) >= MIN_COPY_SIMILARITY)


def _is_version(document: Document, page: StoredPage) -> bool:
    """Whether two pages that have one canonical URL show one article.

    Articles that name a section or share a notice of a paywall have similar texts, too. So the text decides alone only if one of the pages
    is at the canonical URL, and with the title or the URLs otherwise. Another page of a long article has another text, but the title, the
    day and the path of the first page.
    """
    is_confirmed = page.is_canonical or _make_key(document.url) == document.id
    has_same_content = document.content_hash == page.content_hash
    if is_confirmed and has_same_content:
        return True
    ours, theirs = _list_shingles(document.text), _list_shingles(page.text)
    shared, shorter = len(ours & theirs), min(len(ours), len(theirs))
    if is_confirmed and shorter >= MIN_SHINGLES and shared >= MIN_COPY_SIMILARITY * shorter:
        return True
    if not _are_published_together(document, page):
        return False
    has_title = document.title is not None and document.title == page.title
    is_similar = has_same_content or 0 < MIN_CONTAINED * shorter <= shared or similarity(ours, theirs) >= MIN_SIMILARITY
    if is_similar and (has_title or _are_related(document.url, page.url) or (is_confirmed and _have_same_time(document, page))):
        return True
    whole = document.canonical_url or page.canonical_url or document.url
    return has_title and document.title != document.site_name and _is_part(document.url, whole) and _is_part(page.url, whole)


def _is_excerpt(document: Document, page: StoredPage) -> bool:
    """Whether one text is the other one, or a part of it: a preview, or a version without boxes."""
    if document.content_hash == page.content_hash:
        return True
    ours, theirs = _list_shingles(document.text), _list_shingles(page.text)
    return len(ours & theirs) >= MIN_CONTAINED * min(len(ours), len(theirs))


def _list_shingles(text: str) -> frozenset[Shingle]:
    return shingles(text[:MAX_COMPARED_CHARACTERS])


def _are_published_together(document: Document, page: StoredPage) -> bool:
    """Whether the times of publication allow one article; an unknown time does."""
    if document.published_at is None or page.published_at is None:
        return True
    return abs(document.published_at - page.published_at) <= MAX_PUBLICATION_GAP


def _have_same_time(document: Document, page: StoredPage) -> bool:
    """Whether both pages name one time of publication, and not only the day."""
    is_exact = "day" not in (document.published_precision, page.published_precision)
    return is_exact and document.published_at is not None and document.published_at == page.published_at


def _are_related(one: str, other: str) -> bool:
    """Whether two URLs name one article by their spelling: the same path, slug or article number."""
    first, second = (urlsplit(find_plain_url(url) or url).path.rstrip("/") for url in (one, other))
    if first == second:
        return True
    first, second = (_EXTENSION.sub("", path.rpartition("/")[2]) for path in (first, second))
    if first == second and _SLUG.fullmatch(first) is not None:
        return True
    return bool(_list_numbers(first) & _list_numbers(second))


def _list_numbers(text: str) -> set[str]:
    return {number for number in _NUMBER.findall(text) if _DATE_NUMBER.match(number) is None}


def _is_part(url: str, whole: str) -> bool:
    """Whether a URL is that of an article, or of a version or a further page of it: /story/2, /story?page=2, /story/amp."""
    part, base = urlsplit(find_plain_url(url) or url), urlsplit(whole)
    stem = _EXTENSION.sub("", base.path.rstrip("/"))
    if not stem or part.netloc.removeprefix("www.") != base.netloc.removeprefix("www.") or not part.path.startswith(stem):
        return False
    return _PART.fullmatch(part.path[len(stem) :]) is not None and {*base.query.split("&")} <= {*part.query.split("&"), ""}


def _make_key(url: str) -> str | None:
    try:
        return urls.make_key(url)
    except UrlError:
        return None


# ---- the stored documents, locked and read

# A new document has no row to lock, so Postgres locks a number made of its id. SQLite has one writer at a time.
_LOCK_IDS = text("SELECT pg_advisory_xact_lock(id) FROM (SELECT unnest(CAST(:ids AS bigint[])) AS id ORDER BY 1) AS wanted")
_COLUMNS = select(
    documents.c.id,
    documents.c.ledger_id,
    documents.c.content_hash,
    documents.c.revision,
    documents.c.first_seen_at,
    documents.c.stored_at,
    documents.c.url,
    documents.c.requested_url,
    documents.c.archive_ref,
    documents.c.authors,
    documents.c.live_updates,
    documents.c.gone_at,
    documents.c.canonical_url,
    documents.c.title,
    documents.c.published_at,
    documents.c.published_precision,
    func.substr(documents.c.text, 1, MAX_COMPARED_CHARACTERS).label("text"),
)
_BY_ID = _COLUMNS.where(documents.c.id.in_(bindparam("b_ids", expanding=True)))
_URLS = select(documents.c.id, documents.c.ledger_id, documents.c.url).where(
    documents.c.ledger_id.in_(bindparam("b_pages", expanding=True)),
    documents.c.site.is_not(None),  # items of spiders have none
)


def list_documents(results: Sequence[Result]) -> list[Document]:
    return [result.reading.document for result in results if result.reading.document is not None]


def lock_ids(conn: Connection, ids: Iterable[str]) -> None:
    """Wait for transactions that store or take down documents of these ids, and let others wait for this one."""
    if conn.dialect.name == "postgresql":
        conn.execute(_LOCK_IDS, {"ids": sorted(map(_lock_number, ids))})


def lock_documents(conn: Connection, results: Sequence[Result], owned: Mapping[int, str]) -> dict[str, StoredPage]:
    """Lock the documents that the results may write; those that are stored, and those with a similar text, by id.

    `owned`: the documents that their rows have, by row.
    """
    found = list_documents(results)
    ids = {document_id for document in found for document_id in list_identities(document)} | {*owned.values()}
    if not ids:
        return {}
    # By content too, so that of two copies stored at once the second one finds the first.
    lock_ids(conn, ids | {f"content {document.content_hash}" for document in found})
    stored = {row.id: _stored_page(row) for row in conn.execute(_BY_ID, {"b_ids": sorted(ids)})}
    new = list_documents([result for result in results if result.claim.id not in owned])
    # A page may name the id of another article by mistake.
    unknown = [one for one in new if one.id not in stored or stored[one.id].content_hash != one.content_hash]
    return stored | _find_similar(conn, unknown)


def _find_similar(conn: Connection, found: Sequence[Document]) -> dict[str, StoredPage]:
    """The stored documents that have a similar text on the same site. They are read without a lock: a copy changes nothing of them."""
    similar = zip(found, fingerprints.find_similar_pages(conn, [document.text for document in found]), strict=True)
    wanted = {(page, find_edition(document.url)) for document, pages in similar for page in pages}
    if not wanted:
        return {}
    rows = conn.execute(_URLS, {"b_pages": sorted({page for page, _ in wanted})})
    ids = [row.id for row in rows if (row.ledger_id, find_edition(row.url)) in wanted]
    return {row.id: _stored_page(row) for row in conn.execute(_BY_ID, {"b_ids": ids})} if ids else {}


def _stored_page(row: AnyRow) -> StoredPage:
    authors = [(author["name"],) for author in row.authors]
    updates = [(update.get("title"), update["text"]) for update in row.live_updates]
    return _make_stored_page(row, row.ledger_id, row.stored_at, (*authors, *updates))


def _make_stored_page(document: Document | AnyRow, ledger_id: int, stored_at: datetime, other_content: OtherContent) -> StoredPage:
    """The page of a document, or of its row."""
    return StoredPage(
        ledger_id=ledger_id,
        content_hash=document.content_hash,
        revision=document.revision,
        first_seen_at=document.first_seen_at,
        stored_at=stored_at,
        is_canonical=_is_canonical(document.id, document.url) and is_same_edition(document.requested_url, document.url),
        archive_ref=document.archive_ref,
        other_content=other_content,
        gone_at=document.gone_at,
        title=document.title,
        text=document.text,
        canonical_url=document.canonical_url,
        url=document.url,
        requested_url=document.requested_url,
        published_at=document.published_at,
        published_precision=document.published_precision,
    )


def _lock_number(document_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), signed=True)


def _is_canonical(document_id: str, url: str) -> bool:
    return _make_key(url) == document_id


# ---- the owner of each document: no SQL


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
    discards_history: bool = False  # the revisions before are another host's


def decide(
    results: Sequence[Result], stored: Mapping[str, StoredPage], now: datetime, owned: Mapping[int, str], foreign: Set[int] = frozenset()
) -> list[StoreDecision]:
    """One decision per result, in order; each sees what the earlier ones write.

    `stored`, `owned`: see `identify`. `foreign`: the rows that only other sites link to.
    """
    stored = {key: replace(page, is_foreign=page.ledger_id in foreign) for key, page in stored.items()}
    decisions: dict[int, StoreDecision] = {}
    for result in results:
        decision = _decide_one(result, stored, now, owned, foreign)
        _note(decision, stored, foreign)
        if decision.displaced in decisions:  # by a later result of the same commit: it is not written at all
            earlier = decisions[decision.displaced]
            if decision.extracts_displaced:
                earlier = _decide_one(earlier.result, stored, now, {}, foreign)
                _note(earlier, stored, foreign)
            else:
                earlier = replace(earlier, record=duplicate_of(decision.document_id), document=None)
            decisions[decision.displaced] = earlier
            decision = replace(decision, displaced=None)
        decisions[result.claim.id] = decision
    return list(decisions.values())


def _note(decision: StoreDecision, stored: dict[str, StoredPage], foreign: Set[int]) -> None:
    """Put the document that a decision writes among the stored ones."""
    document = decision.document
    if document is None or decision.stored_at is None:
        return
    row = decision.result.claim.id
    page = _make_stored_page(document, row, decision.stored_at, _list_storable_content(document))
    stored[document.id] = replace(page, is_foreign=row in foreign)


def _list_storable_content(document: Document) -> OtherContent:
    """The authors and the live updates as the database returns them."""
    parts = list_other_content(document)
    return tuple(tuple(None if text is None else make_storable(text) for text in part) for part in parts)


def duplicate_of(document_id: str | None) -> OutcomeRecord:
    return OutcomeRecord(Outcome.DUPLICATE, f"another URL of document {document_id}")


def _decide_one(
    result: Result, stored: Mapping[str, StoredPage], now: datetime, owned: Mapping[int, str], foreign: Set[int]
) -> StoreDecision:
    document, record = result.reading.document, result.reading.ending
    if record.outcome is not Outcome.STORED:
        return StoreDecision(result, record)
    if document is None:
        raise ValueError(f"the result of {result.claim.url} is stored without a document")
    document = replace(document, archive_ref=document.archive_ref or f"{result.claim.segment}@{result.claim.offset}")
    document = identify(document, result.claim.id, stored, owned)
    old = stored.get(document.id)
    if old is None:
        return StoreDecision(result, record, replace(document, revision=1), now, document.id)
    if old.ledger_id == result.claim.id:
        return _update(result, document, old, now)
    if _is_canonical(document.id, document.url) and not old.is_canonical:
        extracts_displaced = displaces_article(document, old)
        if is_same_edition(document.url, old.requested_url):
            decision = replace(_update(result, document, old, now), record=record)
        else:  # whoever writes another host has written neither the first revision nor its date
            decision = StoreDecision(result, record, replace(document, revision=1), now, document.id, discards_history=True)
        return replace(decision, displaced=old.ledger_id, extracts_displaced=extracts_displaced)
    copy_of = old.url if is_same_text(document, old) else None
    if copy_of is not None and old.is_foreign and result.claim.id not in foreign:  # the site itself links to the page, and not to the copy
        return replace(_update(result, document, old, now), record=record, displaced=old.ledger_id)
    return StoreDecision(result, duplicate_of(document.id), document_id=document.id, copy_of=copy_of)


def _update(result: Result, document: Document, old: StoredPage, now: datetime) -> StoreDecision:
    """The document with its new content; a changed content is a new revision."""
    # Extracted again from the same bytes: the outcome UNCHANGED is for a new fetch.
    is_same_fetch = old.archive_ref == f"{result.claim.segment}@{result.claim.offset}"
    changed = document.content_hash != old.content_hash or (not is_same_fetch and _list_storable_content(document) != old.other_content)
    document = replace(
        document,
        revision=old.revision + changed,
        first_seen_at=min(old.first_seen_at, document.first_seen_at),
        gone_at=old.gone_at if is_same_fetch else None,
    )
    record = result.reading.ending if changed or is_same_fetch else OutcomeRecord(Outcome.UNCHANGED)
    is_news = changed or document.gone_at != old.gone_at  # readers of changes see that it is back
    return StoreDecision(result, record, document, now if is_news else old.stored_at, document.id)
