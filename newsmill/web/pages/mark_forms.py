"""Forms for star, read, tags and note of one document, and for the chosen documents of a list.

Nothing is marked by a GET request, which a browser may send ahead. The script of the pages sends the same forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.storage.marks import MAX_CHANGED, MarkChange, Marks, read_tags
from newsmill.storage.tokens import Scope
from newsmill.web.api.search_export import FormatName, load_documents, stream_documents
from newsmill.web.auth import get_user, require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.sessions import local_path

marks_router = APIRouter(include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
MAX_ID_CHARACTERS = 64
SCRIPT_ACCEPT = "application/json"  # what the script sends as Accept; it needs no page
Action = Literal["star", "unstar", "read", "unread", "tag", "untag", "note", "export"]


@dataclass(frozen=True, slots=True)
class MarkForm:
    """The fields of a form: the chosen documents, what to do with them, and what for."""

    ids: Sequence[str]
    action: Action | None
    tag: str = ""
    note: str = ""

    def change(self) -> MarkChange:
        """The change that the form asks for. Raises ConfigError for a bad tag."""
        match self.action:
            case "star" | "unstar":
                return MarkChange(starred=self.action == "star")
            case "read" | "unread":
                return MarkChange(read=self.action == "read")
            case "tag":
                return MarkChange(add_tags=read_tags(part for part in self.tag.split(",") if part.strip()))
            case "untag":
                return MarkChange(remove_tags=(self.tag,))
            case "note":
                return MarkChange(note=self.note)
            case _:
                return MarkChange()


@marks_router.post("/marks", dependencies=[Depends(require_csrf)])
def change_marks(
    request: Request,
    user: Annotated[str, Depends(get_user)],
    id: Annotated[list[str], Form()] = [],  # noqa: B006  # FastAPI copies it
    do: Annotated[Action | None, Form()] = None,
    star: Annotated[str, Form()] = "",
    unstar: Annotated[str, Form()] = "",
    untag: Annotated[str, Form()] = "",
    tag: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    format: Annotated[FormatName, Form()] = "csv",
    marks: Annotated[bool, Form()] = False,
    back: Annotated[str, Form()] = "/search",
) -> Response:
    """Do what the pressed button says with the chosen documents, and lead back. `star` and `unstar` name one document, `untag` a tag."""
    context: AppContext = request.app.state.context
    ids = [one[:MAX_ID_CHARACTERS] for one in id[:MAX_CHANGED]]
    if do == "export":
        documents = load_documents(context, ids, user=user, with_marks=marks)
        return stream_documents(format, documents, ["marks"] if marks else [], name="selection", now=context.now())
    if one := star or unstar:
        form = MarkForm([one[:MAX_ID_CHARACTERS]], "star" if star else "unstar")
    else:
        form = MarkForm(ids, "untag", untag) if untag else MarkForm(ids, do, tag, note)
    Marks(context.engine, user).change(form.ids, form.change(), now=context.now())
    if request.headers.get("accept") == SCRIPT_ACCEPT:
        return Response(status_code=204)
    return RedirectResponse(local_path(back), 303)
