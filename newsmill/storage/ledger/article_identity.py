"""Which document a page is stored as: one id for all URLs of an article, another one for every other article, and one page that owns it.

`Document.id` is a proposal: the key of the canonical URL, or of the URL of the page. A page may name a wrong canonical URL, or none, so
the proposal is compared with the documents that are stored. Part of the commit of `results`, which writes what is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from newsmill.discovery.url_variants import drop_each_parameter, find_edition, find_plain_url
from newsmill.exceptions import UrlError
from newsmill.extraction.document_identity import LiveUpdates
from newsmill.model import SPIDER, Document, is_doubtful
from newsmill.similarity.near_duplicates import MIN_SHINGLES, Shingle, shingles, similarity
from newsmill.text import urls

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
    live_updates: LiveUpdates = ()
    gone_at: datetime | None = None
    text_seen_at: datetime | None = None
    seen_text: str | None = None  # the text at that time; None: it is `text`
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
        if url is not None and (key := make_key(url)) is not None:
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
    own = make_key(document.url)
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
        key = None if plain is None else make_key(plain)
        if key is not None and key not in stored:
            name = key
        elif key is not None and _is_excerpt(document, stored[key]):
            return key
        if (copied := _find_without_parameter(document, stored)) is not None:
            return copied
    if document.extractor == SPIDER:  # its spider decides what one item is
        return name
    return next((key for key, page in stored.items() if page.ledger_id != claim_id and _is_copy(document, page)), name)


def _find_without_parameter(document: Document, stored: Mapping[str, StoredPage]) -> str | None:
    """The id of the stored article with the same text whose URL has one parameter less."""
    keys = (make_key(url) for url in drop_each_parameter(document.url).values())
    return next((key for key in keys if key is not None and key in stored and is_same_text(document, stored[key])), None)


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
    is_confirmed = page.is_canonical or make_key(document.url) == document.id
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
    return has_title and document.title != document.site_name and _are_parts(document, page)


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


def _are_parts(document: Document, page: StoredPage) -> bool:
    """Whether the URLs are those of two pages of one article."""
    whole = document.canonical_url or page.canonical_url or document.url
    return _is_part(document.url, whole) and _is_part(page.url, whole)


def _is_part(url: str, whole: str) -> bool:
    """Whether a URL is that of an article, or of a version or a further page of it: /story/2, /story?page=2, /story/amp."""
    part, base = urlsplit(find_plain_url(url) or url), urlsplit(whole)
    stem = _EXTENSION.sub("", base.path.rstrip("/"))
    if not stem or part.netloc.removeprefix("www.") != base.netloc.removeprefix("www.") or not part.path.startswith(stem):
        return False
    return _PART.fullmatch(part.path[len(stem) :]) is not None and {*base.query.split("&")} <= {*part.query.split("&"), ""}


def make_key(url: str) -> str | None:
    try:
        return urls.make_key(url)
    except UrlError:
        return None
