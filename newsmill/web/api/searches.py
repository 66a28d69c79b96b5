"""Saved searches of the user who calls, with the documents that matched them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.search.check import check_saved_query
from newsmill.storage.changes import Changes
from newsmill.storage.saved_searches import MAX_NAME_CHARACTERS, MAX_STORY_SOURCES, MIN_STORY_SOURCES, SavedSearch, SavedSearches
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.api.search import Note
from newsmill.web.auth import Caller, require_scope
from newsmill.web.parameters import Context, Id, ItemList, Limit, QueryText, complete_list
from newsmill.web.problem_details import error_responses

router = APIRouter(tags=["saved searches"], responses=error_responses(401, 403))


Reader = Annotated[Caller, Depends(require_scope(Scope.READ))]
Writer = Annotated[Caller, Depends(require_scope(Scope.WRITE))]
StorySources = Annotated[int, Field(ge=MIN_STORY_SOURCES, le=MAX_STORY_SOURCES)]
Name = Annotated[QueryText, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class SavedSearchRequest(BaseModel):
    """A search to save."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    query: QueryText = Field("", description="As for /api/v1/search. Only a search of stories may have no query.")
    story_sources: StorySources | None = Field(
        None, description="Match stories that at least so many sources carry, with a document that matches the query, instead of documents."
    )


class RenameRequest(BaseModel):
    """A new name."""

    model_config = ConfigDict(extra="forbid")
    name: Name


class SavedSearchResponse(BaseModel):
    """A saved search."""

    id: str
    name: str
    query: str
    story_sources: int | None = Field(description="null: the search matches documents, not stories.")
    created_at: datetime
    matches: int = Field(description="Documents or stories that matched since the search was saved.")
    new: int = Field(description="Documents or stories that matched since the user last looked.")
    looked_at: datetime | None
    feed: str = Field(description="The path of its Atom feed.")
    notes: tuple[Note, ...] = Field(description="Why new documents do not match: they have no star, tag or note yet.")

    @classmethod
    def of(cls, search: SavedSearch) -> SavedSearchResponse:
        """The response for a search."""
        names = ("id", "name", "query", "story_sources", "created_at", "matches", "new", "looked_at")
        notes = tuple(map(Note.of, check_saved_query(search.query)))
        return cls(feed=f"/feeds/atom?search={search.id}", notes=notes, **{name: getattr(search, name) for name in names})


class MatchResponse(BaseModel):
    """A document that matched a saved search."""

    number: int = Field(description="Counts the matches of the search.")
    matched_at: datetime
    id: str
    url: str
    title: str | None
    source: str | None
    language: str | None
    published_at: datetime | None


@router.get("/searches")
def list_searches(context: Context, caller: Reader) -> ItemList[SavedSearchResponse]:
    """List the saved searches of the token's owner, by name."""
    return complete_list(map(SavedSearchResponse.of, SavedSearches(context.engine).list_all(caller.user)))


@router.post("/searches", status_code=201)
def add_search(response: Response, context: Context, caller: Reader, body: SavedSearchRequest) -> SavedSearchResponse:
    """Save a search. Documents stored or changed from now on are matched, or stories; each counts once."""
    search = save_search(context, caller.user, body.name, body.query, body.story_sources)
    response.headers["Location"] = f"/api/v1/searches/{search.id}"
    return SavedSearchResponse.of(search)


@router.get("/searches/{id}", responses=error_responses(404))
def get_search(context: Context, caller: Reader, id: Id) -> SavedSearchResponse:
    """Get a saved search."""
    return SavedSearchResponse.of(find_search(context, caller, id))


@router.patch("/searches/{id}", responses=error_responses(404))
def rename_search(context: Context, caller: Reader, id: Id, body: RenameRequest) -> SavedSearchResponse:
    """Rename a saved search."""
    SavedSearches(context.engine).rename(find_search(context, caller, id), body.name)
    return get_search(context, caller, id)


@router.delete("/searches/{id}", status_code=204, responses=error_responses(404))
def delete_search(context: Context, caller: Reader, id: Id) -> None:
    """Delete a saved search with its alerts."""
    SavedSearches(context.engine).remove(find_search(context, caller, id).id)


@router.post("/searches/{id}/looked", responses=error_responses(404))
def mark_looked(context: Context, caller: Reader, id: Id) -> SavedSearchResponse:
    """Count new documents from now on."""
    SavedSearches(context.engine).mark_looked(find_search(context, caller, id), now=context.now())
    return get_search(context, caller, id)


@router.get("/searches/{id}/documents", responses=error_responses(404))
def list_matches(
    context: Context,
    caller: Reader,
    id: Id,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the previous page.")] = None,
) -> ItemList[MatchResponse]:
    """List the documents that matched a saved search since it was saved, newest first; of each matched story one. Matches are kept for 30
    days."""
    search = find_search(context, caller, id)
    before = None if cursor is None else int(cursor)
    found = SavedSearches(context.engine).list_matches(search.id, before=before, limit=limit + 1)
    by_id = {document.id: document for document in Changes(context.engine).get_many([match.document_id for match in found[:limit]])}
    names = ("id", "url", "title", "source", "language", "published_at")
    items = tuple(
        MatchResponse(number=match.number, matched_at=match.matched_at, **{name: getattr(by_id[match.document_id], name) for name in names})
        for match in found[:limit]
        if match.document_id in by_id
    )
    return ItemList(items=items, next=str(found[limit - 1].number) if len(found) > limit else None)


def save_search(context: AppContext, user: str, name: str, query: str, story_sources: int | None = None) -> SavedSearch:
    """Save a search that can find something. Raises ConfigError."""
    if query.strip() and (reason := context.search.find_useless(query)):
        raise ConfigError(f"query: {reason}")
    return SavedSearches(context.engine).add(user, name, query, now=context.now(), story_sources=story_sources)


def find_search(context: AppContext, caller: Caller, search_id: str) -> SavedSearch:
    """A saved search of the caller. Raises HTTPException 404."""
    search = SavedSearches(context.engine).get(search_id, caller.user)
    if search is None:
        raise HTTPException(404, Sentence("saved search {id} does not exist", id=repr(search_id[:80])))
    return search
