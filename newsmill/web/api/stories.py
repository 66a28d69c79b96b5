"""Stories: documents that tell the same news, and what persons decide about them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.model import Story, StoryDetail
from newsmill.search.story_search import find_stories
from newsmill.storage.stories import Stories, StoryOrder
from newsmill.storage.story_edits import StoryEdits
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, Cursor, Id, ItemList, Limit, QueryText, Timestamp, User
from newsmill.web.problem_details import error_responses

MAX_EDITED = 200  # stories or documents of one request

router = APIRouter(tags=["stories"], responses=error_responses(401, 403), dependencies=[Depends(require_scope(Scope.READ))])
StoryId = Annotated[int, Path(ge=1, lt=1 << 62)]
MAY_WRITE = [Depends(require_scope(Scope.WRITE))]


class MergeRequest(BaseModel):
    """The stories to merge with this one."""

    model_config = ConfigDict(extra="forbid")
    stories: list[Annotated[int, Field(ge=1, lt=1 << 62)]] = Field(min_length=1, max_length=MAX_EDITED)


class SplitRequest(BaseModel):
    """The documents that tell other news."""

    model_config = ConfigDict(extra="forbid")
    documents: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=MAX_EDITED)


class StoryReference(BaseModel):
    """The story that has the documents now."""

    id: int


@router.get("/stories")
def list_stories(
    context: Context,
    q: Annotated[QueryText, Query(description="A search query: only the stories of its newest 1,000 matches.")] = "",
    since: Annotated[Timestamp | None, Query(description="Only stories with a document from that time on.")] = None,
    order: Annotated[StoryOrder, Query(description="`newest`: last document first. `biggest`: most sources first.")] = "newest",
    pairs: Annotated[bool, Query(description="Also stories of two documents of one site.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ItemList[Story]:
    """List the stories of three documents or two sites. Copies count as documents, and once as a text."""
    items, following = find_stories(context.engine, q, since=since, order=order, pairs=pairs, cursor=cursor, limit=limit)
    return ItemList(items=tuple(items), next=following)


@router.get("/stories/{id}", responses=error_responses(404))
def get_story(context: Context, id: StoryId) -> StoryDetail:
    """Get a story with up to 100 documents in the order in which they were seen, at most 5 of a site, what each added, and what happened to
    the story. `more` counts the other documents of each site. The ID of a merged story leads to the one that has its documents now."""
    return find_story(context, id)


@router.get("/documents/{id}/story", responses=error_responses(404))
def get_story_of_document(context: Context, id: Id) -> Story:
    """Get the story that a document tells; 404 if no other document tells the same news."""
    found = Stories(context.engine).of_documents([id]).get(id)
    if found is None:
        raise HTTPException(404, Sentence("document {id} tells no story that another document tells", id=repr(id)))
    return found


@router.post("/stories/{id}/merge", dependencies=MAY_WRITE, responses=error_responses(404))
def merge_stories(context: Context, user: User, id: StoryId, body: MergeRequest) -> StoryReference:
    """Make one story of several, for good. The oldest ID stays."""
    find_story(context, id)
    return StoryReference(id=StoryEdits(context.engine, user).merge([id, *body.stories], now=context.now()))


@router.post("/stories/{id}/split", dependencies=MAY_WRITE, responses=error_responses(404))
def split_story(context: Context, user: User, id: StoryId, body: SplitRequest) -> StoryReference:
    """Make a story of its own of some documents and their copies, for good. Where it is one document, returns the first story."""
    find_story(context, id)
    return StoryReference(id=StoryEdits(context.engine, user).split(id, body.documents, now=context.now()))


@router.put("/stories/{id}/pin", dependencies=MAY_WRITE, responses=error_responses(404))
def pin_story(context: Context, user: User, id: StoryId) -> StoryReference:
    """Keep the documents of a story together, for good. Later documents can still join it."""
    find_story(context, id)
    return StoryReference(id=StoryEdits(context.engine, user).pin(id, now=context.now()))


@router.delete("/stories/{id}/pin", dependencies=MAY_WRITE, responses=error_responses(404))
def unpin_story(context: Context, user: User, id: StoryId) -> StoryReference:
    """Let the documents decide again."""
    find_story(context, id)
    return StoryReference(id=StoryEdits(context.engine, user).pin(id, now=context.now(), pinned=False))


def find_story(context: AppContext, story_id: int) -> StoryDetail:
    """The story. Raises HTTPException 404."""
    found = Stories(context.engine).get(story_id)
    if found is None:
        raise HTTPException(404, Sentence("story {id} does not exist", id=story_id))
    return found
