"""The URLs of taken-down articles, by key: what every transaction that adds a URL or stores a page asks. `takedowns` bars them.

Titles and texts of the articles, and the folded paths of their URLs, have keys as well, so that an article does not come back at a URL that
nothing connects with it. A site with such keys has one of its own: pages of other sites are not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select, update

from newsmill.discovery.url_variants import fold_path
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger.takedown_evidence import Evidence, merge_evidence
from newsmill.storage.schema import ledger, takedowns
from newsmill.text import urls
from newsmill.text.urls import make_key

TEXT_KEY = "text "  # the beginning of such a key; a URL's key is a hash
BATCH_SIZE = 500  # keys per statement: below every driver's limit on parameters

_KEYS: Any = bindparam("b_keys", expanding=True)
_BARRED = select(
    *(takedowns.c[name] for name in ("url_key", "url", "reason", "document_id", "evidence", "image")),
).where(takedowns.c.url_key.in_(_KEYS))
_ANY = select(takedowns.c.url_key).limit(1)
_BARRED_LOCKED = _BARRED.order_by(takedowns.c.url_key).with_for_update()
_ADD = Upsert(takedowns, ("url_key",), lambda new: {"erase_after": new.erase_after, "evidence": new.evidence, "image": new.image})

# Of a row whose page is erased: what the ledger knows of this page. The second is for a row without a document.
_PAGE = dict.fromkeys(("segment", "offset", "etag", "last_modified", "final_url", "status", "fetched_at", "rendering", "parts"))
FORGOTTEN: dict[str, Any] = {**_PAGE, **dict.fromkeys(("document_id", "hint", "stage", "revisit_at"))}
FORGOTTEN |= dict.fromkeys(("failing_since", "failure", "failure_detail", "failed_at"))
_THIS = ledger.c.id == bindparam("b_id")
_FORGET_PAGE = update(ledger).where(_THIS).values(**_PAGE)
_FORGET = update(ledger).where(_THIS).values(**FORGOTTEN)


@dataclass(frozen=True, slots=True)
class BarredUrl:
    """A URL that led to a removed document, or that a person barred. `evidence`: what recognises the article; None: every page counts as
    that. `image`: the file of the document's image in the cache of the web pages."""

    url: str
    reason: str
    document_id: str | None = None
    evidence: Evidence | None = None
    image: str | None = None


def make_text_key(url: str, mark: str) -> str:
    """The key of an article's mark on the site of its URL: the hash of its title and text, one of `list_marks`, or "" for the site.

    Another site may publish the same text.
    """
    site = urls.find_site(url) or url
    return TEXT_KEY + blake2b(f"{site} {mark}".encode(), digest_size=16).hexdigest()


def make_path_key(url: str) -> str:
    """The key of all URLs that differ from this one in upper and lower case and the extension of a page."""
    return make_text_key(url, f"path {urls.make_key(fold_path(url))}")


def is_any_barred(conn: Connection) -> bool:
    """Whether there is any takedown. Most stores have none, and need not make the keys of each page (0.06 ms of CPU)."""
    return conn.execute(_ANY).first() is not None


def find_barred(conn: Connection, keys: Collection[str]) -> dict[str, BarredUrl]:
    """Those of the URLs that are barred, by key."""
    ordered = sorted(keys)
    batches = (ordered[at : at + BATCH_SIZE] for at in range(0, len(ordered), BATCH_SIZE))
    return {row[0]: BarredUrl(*row[1:]) for batch in batches for row in conn.execute(_BARRED, {"b_keys": batch})}


def find_reasons(conn: Connection, keys: Collection[str]) -> dict[str, str]:
    """The reasons why URLs are barred, by key."""
    return {key: one.reason for key, one in find_barred(conn, keys).items()}


def bar(conn: Connection, barred: Mapping[str, BarredUrl], erase_after: datetime, now: datetime) -> None:
    """Bar URLs, by key, and have their pages erased from the archive. One that is barred keeps its reason; the evidence is added to it."""
    keys = sorted(barred)
    known = {row[0]: BarredUrl(*row[1:]) for row in conn.execute(_BARRED_LOCKED, {"b_keys": keys})} if keys else {}
    times = {"created_at": now, "erase_after": erase_after, "erased_pages": 0}
    _ADD.run(conn, [{"url_key": key, **_merge(barred[key], known.get(key)), **times} for key in keys])


def bar_redirect(conn: Connection, url: str, target: str, now: datetime) -> str | None:
    """The reason of the takedown that bars the target of a redirect from `url`, which joins it; None if it is not barred."""
    found = find_barred(conn, [urls.make_key(target)]).get(urls.make_key(target))
    if found is None:
        return None
    bar(conn, {urls.make_key(url): replace(found, url=url)}, now, now)
    return found.reason


def forget_pages(conn: Connection, ids: Collection[int], *, of_documents: Collection[int]) -> None:
    """Forget the archived pages of locked rows, because they will be erased. `of_documents`: rows that keep their documents."""
    for statement, of_rows in ((_FORGET, ids), (_FORGET_PAGE, of_documents)):
        if of_rows:
            conn.execute(statement, [{"b_id": row_id} for row_id in sorted(of_rows)])


def _merge(new: BarredUrl, known: BarredUrl | None) -> dict[str, Any]:
    evidence = new.evidence
    if known is not None:  # a URL that is named again, when its document is gone, says nothing new
        evidence = known.evidence if new.document_id is None else merge_evidence(known.evidence, evidence)
    image = new.image or (None if known is None else known.image)
    return {"url": new.url, "reason": new.reason, "document_id": new.document_id, "evidence": evidence, "image": image}


class BarredUrls:
    """The URLs that takedowns bar. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def bar_redirect(self, url: str, target: str, *, now: datetime) -> str | None:
        """The reason of the takedown that bars the target of a redirect from `url`, which joins it; None if it is not barred."""
        with reading(self._engine) as conn:
            if not find_reasons(conn, [make_key(target)]):  # nearly always: no write lock is needed
                return None
        with writing(self._engine) as conn:
            return bar_redirect(conn, url, target, now)

    def find_reason(self, url: str) -> str | None:
        """The reason why a URL is barred; None if it is not."""
        with reading(self._engine) as conn:
            return find_reasons(conn, [make_key(url)]).get(make_key(url))
