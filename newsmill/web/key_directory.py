"""The directory of the keys that sign the crawler's requests, for servers that verify them."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from newsmill.context import AppContext
from newsmill.message_signatures import choose_published, make_authority, make_directory, sign_directory
from newsmill.signing_keys import find_agent_url, keys_folder, read_keys
from newsmill.web.config import DIRECTORY_PATH

router = APIRouter(include_in_schema=False)


@router.get(DIRECTORY_PATH)
def show_keys(request: Request) -> Response:
    """The public keys, signed by each of them for the public host name. 404 where no request is signed."""
    context: AppContext = request.app.state.context
    agent, now = find_agent_url(context.settings), context.now()
    keys = choose_published(read_keys(keys_folder(context.settings)), now) if agent else []
    if agent is None or not keys:
        raise HTTPException(404, "this installation does not sign its requests")
    parts, body = urlsplit(agent), make_directory(keys)
    authority = make_authority(parts.scheme, parts.hostname or "", parts.port)
    return Response(body, headers=sign_directory(keys, authority, body, now.timestamp()))
