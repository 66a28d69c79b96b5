"""The pages of stories: the list, and the course of one story with its sources, its documents and what each added."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.model import StoryDetail, StoryMember
from newsmill.search.story_search import find_stories
from newsmill.storage.stories import Stories, StoryOrder
from newsmill.storage.story_edits import StoryEdits
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.api.stories import MAX_EDITED, find_story
from newsmill.web.auth import Caller, require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.pages.charts import Series
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.template_filters import params
from newsmill.web.pages.translations import Translations

PAGE_STORIES = 30
MAX_HOURLY = timedelta(days=3)  # the span of a story that is drawn by hour
MIN_CHARTED, MIN_BARS, MAX_BARS = 8, 6, 60  # documents that are drawn, and their bars

router = APIRouter(prefix="/stories", include_in_schema=False)
Writer = Annotated[Caller, Depends(require_scope(Scope.WRITE))]
READ = [Depends(require_scope(Scope.READ))]
FORM = [Depends(require_csrf)]
DONE = ("merged", "split", "pinned", "unpinned")


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text of a story with the copies of it. `later`: how much later it was published than the first text."""

    first: StoryMember
    copies: tuple[StoryMember, ...]
    later: str | None


@dataclass(frozen=True, slots=True)
class Course:
    """The documents of a story per hour or day."""

    series: tuple[Series, ...]
    starts: tuple[datetime, ...]
    is_hourly: bool


@router.get("", dependencies=READ)
def list_stories(request: Request, q: str = "", order: StoryOrder = "newest", pairs: bool = False, cursor: str = "") -> Response:
    """The newest or the biggest stories, or those of a query."""
    context: AppContext = request.app.state.context
    query = q[:2000].replace("\0", " ")
    found, following = find_stories(context.engine, query, order=order, pairs=pairs, cursor=cursor or None, limit=PAGE_STORIES)
    chosen = {"q": q, "order": order, "pairs": "true" if pairs else ""}
    return PageView(request).page(
        "stories.html",
        stories=found,
        leads=Stories(context.engine).find_leads(found),
        q=q,
        order=order,
        pairs=pairs,
        other_pairs=f"/stories{params(chosen | {'pairs': '' if pairs else 'true'})}",
        earlier=f"/stories{params(chosen)}" if cursor else None,
        later=f"/stories{params(chosen | {'cursor': following})}" if following else None,
    )


@router.get("/{story_id}", dependencies=READ)
def show_story(request: Request, story_id: int, done: str = "") -> Response:
    """A story. The page of a merged story leads to the one that has its documents."""
    detail = find_story(request.app.state.context, story_id)
    if detail.story.id != story_id:
        return RedirectResponse(f"/stories/{detail.story.id}", 303)
    return render_story(request, detail, notice=done)


@router.post("/{story_id}", dependencies=FORM)
def change_story(
    request: Request,
    caller: Writer,
    story_id: int,
    do: Annotated[Literal["merge", "split", "pin", "unpin"], Form()],
    other: Annotated[str, Form(max_length=200)] = "",
    document: Annotated[Sequence[str], Form(max_length=MAX_EDITED)] = (),
) -> Response:
    """Merge, split or pin a story for good. A mistake is shown on the page."""
    context: AppContext = request.app.state.context
    detail, edits, now = find_story(context, story_id), StoryEdits(context.engine, caller.user), context.now()
    try:
        match do:
            case "merge":
                number = other.strip().rstrip("/").rpartition("/")[2]  # an ID, or the URL of the page
                if not (number.isascii() and number.isdigit() and len(number) < 19):
                    raise ConfigError(Sentence("name two different stories to merge"))
                to, done = edits.merge([detail.story.id, int(number)], now=now), "merged"
            case "split":
                to, done = edits.split(detail.story.id, document, now=now), "split"
            case _:
                to, done = edits.pin(detail.story.id, now=now, pinned=do == "pin"), f"{do}ned"
    except ConfigError as error:
        return render_story(request, detail, status=422, problem=PageView(request).describe_refusal(error))
    return RedirectResponse(f"/stories/{to}?done={done}", 303)


def render_story(request: Request, detail: StoryDetail, status: int = 200, notice: str = "", problem: str | None = None) -> Response:
    view = PageView(request, path=f"/stories/{detail.story.id}")
    return view.page(
        "story.html",
        status,
        story=detail.story,
        is_pinned=detail.is_pinned,
        texts=list_texts(detail.members, view.words),
        more=detail.more,
        lead=Stories(request.app.state.context.engine).find_leads([detail.story]).get(detail.story.id),
        course=draw_course(detail.members, view.words("stories.documents")),
        events=detail.events,
        notice=view.words(f"stories.done.{notice}") if notice in DONE else None,
        problem=problem,
    )


def list_texts(members: Sequence[StoryMember], words: Translations) -> list[TextRow]:
    """The texts in the order of first sight. A copy without its first document, which was cut off, is a text."""
    copies = defaultdict[str, list[StoryMember]](list)
    ids = {member.id for member in members}
    for member in members:
        if member.duplicate_of in ids:
            copies[member.duplicate_of or ""].append(member)
    texts = [member for member in members if member.duplicate_of not in ids]
    return [TextRow(member, tuple(copies[member.id]), describe_delay(texts[0], member, words)) for member in texts]


def describe_delay(first: StoryMember, member: StoryMember, words: Translations) -> str | None:
    """How much later a document was published than the first: by days if one of them states no time. None if it was not later."""
    days = (member.at.date() - first.at.date()).days
    seconds = (member.at - first.at).total_seconds()
    if member is first or min(days, seconds) < 0:
        return None
    if first.is_dated_by_day or member.is_dated_by_day or days > MAX_HOURLY.days:
        return words.n("stories.days_later", days) if days else words("stories.same_day")
    return words("stories.hours", n=words.decimal(seconds / 3600, 1))


def draw_course(members: Sequence[StoryMember], label: str) -> Course | None:
    """The number of documents per hour or day, at most MAX_BARS; None if the list of documents shows it as well."""
    if len(members) < MIN_CHARTED:
        return None
    first, last = min(member.at for member in members), max(member.at for member in members)
    is_hourly = last - first <= MAX_HOURLY and not any(member.is_dated_by_day for member in members)
    step = timedelta(hours=1) if is_hourly else timedelta(days=max(1, -(-(last - first).days // MAX_BARS)))
    start = first.replace(hour=first.hour if is_hourly else 0, minute=0, second=0, microsecond=0)
    counts = Counter((member.at - start) // step for member in members)
    columns = (last - start) // step + 1
    if columns < MIN_BARS:
        return None
    starts = tuple(start + number * step for number in range(columns))
    return Course((Series(label, tuple(counts[number] for number in range(columns))),), starts, is_hourly)
