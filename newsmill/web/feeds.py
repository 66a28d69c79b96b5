"""Every search and every source as a feed: JSON Feed 1.1, Atom (RFC 4287) and RSS 2.0."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from lxml import etree
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.model import Document
from newsmill.search.query import close_query, restrict_to_source
from newsmill.search.search import Search
from newsmill.storage.changes import Changes
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import bearer, get_caller, get_user, require_scope
from newsmill.web.parameters import Context, QueryText, SourceName
from newsmill.web.problem_details import check_query_parameters, error_responses

router = APIRouter(
    prefix="/feeds",
    tags=["feeds"],
    dependencies=[Depends(bearer), Depends(require_scope(Scope.READ)), Depends(check_query_parameters)],
    responses=error_responses(401, 404, 422),
)

MAX_ITEMS = 50
JSON_FEED, ATOM_FEED, RSS_FEED = "application/feed+json", "application/atom+xml", "application/rss+xml"
ATOM = "http://www.w3.org/2005/Atom"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"  # RSS has an element for e-mail addresses of authors only
etree.register_namespace("dc", DUBLIN_CORE)
INVALID_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 excludes

FeedQuery = Annotated[QueryText, Query(description="A query as for /api/v1/search; newest first.")]
SavedSearchId = Annotated[QueryText | None, Query(max_length=64, description="The ID of a saved search, whose query is used.")]


class Feed:
    """The content of a feed: title, URLs, and documents, newest first."""

    def __init__(self, request: Request, context: AppContext, q: str, source: str | None, search: str | None) -> None:
        base = (request.app.state.config.url or str(request.base_url)).rstrip("/")
        parameters = {"q": q, "source": source, "search": search}
        saved = None if search is None else find_saved_search(request, context, search)
        wanted = restrict_to_source(q, source) if source else q
        q = q if saved is None else " ".join(filter(None, (close_query(saved.query), q)))
        of_stories = saved if saved is not None and saved.story_sources is not None else None
        self.home = f"{base}/{'stories' if of_stories else 'search'}?{urlencode({'q': restrict_to_source(q, source) if source else q})}"
        self.url = f"{base}{request.url.path}?{urlencode({key: value for key, value in parameters.items() if value})}".rstrip("?")
        name = q if saved is None else saved.name
        self.title = "Newsmill" + (f": {name}" if name else "") + (f" · {source}" if source else "")
        self.documents = (
            newest_documents(context, q, source, get_user(request))
            if of_stories is None
            else matched_documents(context, of_stories, wanted, get_user(request))
        )

    @property
    def updated(self) -> datetime | None:
        return max((document.fetched_at for document in self.documents), default=None)


def find_saved_search(request: Request, context: AppContext, search_id: str) -> SavedSearch:
    """A saved search of the caller. Raises HTTPException 404."""
    caller = get_caller(request)
    search = None if caller is None else SavedSearches(context.engine).get(search_id, caller.user)
    if search is None:
        raise HTTPException(404, Sentence("saved search {id} does not exist", id=repr(search_id[:80])))
    return search


def matched_documents(context: AppContext, saved: SavedSearch, q: str, user: str) -> Sequence[Document]:
    """A document of each of the newest stories that matched a saved search of stories, those that match the query too."""
    ids = [match.document_id for match in SavedSearches(context.engine).list_matches(saved.id, limit=MAX_ITEMS)]
    if q:
        ids = Search(context.engine, user).filter_ids(q, ids)
    by_id = {document.id: document for document in Changes(context.engine).get_many(ids)}
    return [by_id[one] for one in ids if one in by_id]


def newest_documents(context: AppContext, q: str, source: str | None, user: str = "") -> Sequence[Document]:
    """The newest documents that match the query and belong to the source; each may be empty. `user`: whose marks the query is about."""
    changes = Changes(context.engine)
    hits = (
        Search(context.engine, user)
        .search(q if source is None else restrict_to_source(q, source), limit=MAX_ITEMS, order="newest", wait=True)
        .hits
    )
    by_id = {document.id: document for document in changes.get_many([hit.id for hit in hits])}
    return [by_id[hit.id] for hit in hits if hit.id in by_id]


@router.get("/json", response_class=Response, responses={200: {"content": {JSON_FEED: {"schema": {"type": "object"}}}}})
def get_json_feed(
    request: Request, context: Context, q: FeedQuery = "", source: SourceName = None, search: SavedSearchId = None
) -> Response:
    """The newest documents of a search or source as JSON Feed 1.1."""
    feed = Feed(request, context, q, source, search)
    body = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": feed.home,
        "feed_url": feed.url,
        "items": [render_json_item(document) for document in feed.documents],
    }
    return Response(json.dumps(body, ensure_ascii=False, allow_nan=False), media_type=JSON_FEED)


def render_json_item(document: Document) -> dict[str, object]:
    item = {
        "id": f"urn:newsmill:{document.id}",
        "url": document_url(document),
        "title": document.title,
        "summary": document.description,
        "content_text": document.text,
        "image": document.image if is_http_url(document.image) else None,
        "date_published": format_time(document.published_at or document.first_seen_at),
        "date_modified": format_time(document.modified_at) if document.modified_at else None,
        "authors": [{"name": author.name} for author in document.authors] or None,
        "tags": list(document.tags) or None,
        "language": document.language,
    }
    return {key: value for key, value in item.items() if value is not None}


@router.get("/atom", response_class=Response, responses={200: {"content": {ATOM_FEED: {"schema": {"type": "string"}}}}})
def get_atom_feed(
    request: Request, context: Context, q: FeedQuery = "", source: SourceName = None, search: SavedSearchId = None
) -> Response:
    """The newest documents of a search or source as Atom 1.0."""
    feed = Feed(request, context, q, source, search)
    root = make_element(
        "feed",
        make_element("id", feed.url),
        make_element("title", feed.title),
        make_element("updated", format_time(feed.updated or context.now())),
        make_element("link", rel="self", href=feed.url),
        make_element("link", rel="alternate", href=feed.home),
        make_element("author", make_element("name", "Newsmill")),
        *map(render_atom_entry, feed.documents),
        xmlns=ATOM,
    )
    return xml_response(root, ATOM_FEED)


def render_atom_entry(document: Document) -> etree._Element:
    url = document_url(document)
    return make_element(
        "entry",
        make_element("id", f"urn:newsmill:{document.id}"),
        make_element("title", document.title or document.url),
        make_element("updated", format_time(document.modified_at or document.fetched_at)),
        make_element("published", format_time(document.published_at or document.first_seen_at)),
        *([make_element("link", rel="alternate", href=url)] if url else []),
        *([make_element("summary", document.description)] if document.description else []),
        make_element("content", render_paragraphs(document.text), type="html"),
        *(make_element("author", make_element("name", author.name)) for author in document.authors),
        *(make_element("category", term=tag) for tag in document.tags),
    )


@router.get("/rss", response_class=Response, responses={200: {"content": {RSS_FEED: {"schema": {"type": "string"}}}}})
def get_rss_feed(
    request: Request, context: Context, q: FeedQuery = "", source: SourceName = None, search: SavedSearchId = None
) -> Response:
    """The newest documents of a search or source as RSS 2.0."""
    feed = Feed(request, context, q, source, search)
    channel = make_element(
        "channel",
        make_element("title", feed.title),
        make_element("link", feed.home),
        make_element("description", f"Documents of {feed.title}"),
        *map(render_rss_item, feed.documents),
    )
    return xml_response(make_element("rss", channel, version="2.0"), RSS_FEED)


def render_rss_item(document: Document) -> etree._Element:
    url = document_url(document)
    return make_element(
        "item",
        make_element("guid", f"urn:newsmill:{document.id}", isPermaLink="false"),
        make_element("title", document.title or document.url),
        *([make_element("link", url)] if url else []),
        make_element("pubDate", format_datetime(document.published_at or document.first_seen_at)),
        make_element("description", render_paragraphs(document.text)),
        *(make_element(f"{{{DUBLIN_CORE}}}creator", author.name) for author in document.authors),
        *(make_element("category", tag) for tag in document.tags),
    )


def make_element(name: str, *content: str | etree._Element, **attributes: str) -> etree._Element:
    """An element with text or children, without the characters that XML excludes."""
    element = etree.Element(name, {key: remove_invalid_characters(value) for key, value in attributes.items()})
    for part in content:
        if isinstance(part, str):
            element.text = remove_invalid_characters(part)
        else:
            element.append(part)
    return element


def xml_response(root: etree._Element, media_type: str) -> Response:
    return Response(etree.tostring(root, xml_declaration=True, encoding="utf-8"), media_type=media_type)


def remove_invalid_characters(text: str) -> str:
    """The text without the characters that XML excludes."""
    return INVALID_XML.sub("", text)


def render_paragraphs(text: str) -> str:
    """The text as HTML paragraphs, escaped."""
    return "".join(f"<p>{html.escape(block)}</p>" for block in text.split("\n\n") if block.strip())


def document_url(document: Document) -> str | None:
    """The document's URL if it is an http(s) URL."""
    return document.url if is_http_url(document.url) else None


def is_http_url(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme in ("http", "https")


def format_time(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
