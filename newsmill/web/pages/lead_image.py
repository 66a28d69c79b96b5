"""The main image of a document.

Only images of stored documents are fetched, so other URLs cannot be fetched through the route.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from newsmill.network.http_get import FetchError
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.lead_images import LeadImages
from newsmill.web.raster import read_raster

# The image as a document of its own: no script, no network.
IMAGE_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=86400",
}

router = APIRouter(prefix="/documents", include_in_schema=False)


@router.get("/{document_id}/image", dependencies=[Depends(require_scope(Scope.READ))])
async def get_image(request: Request, document_id: str) -> Response:
    """The image as its site has it; 404 where there is none or it cannot be shown."""
    images: LeadImages | None = request.app.state.lead_images
    url = await run_in_threadpool(request.app.state.context.documents.find_image, document_id[:64]) if images is not None else None
    if images is None or url is None:
        raise HTTPException(404, Sentence("this document has no image"))
    try:
        content = await images.get(url, document_id)
    except FetchError as error:
        raise HTTPException(
            404, Sentence("the image cannot be shown: {error}", error=error), headers={"Cache-Control": "private, max-age=300"}
        ) from None
    raster = read_raster(content)
    if raster is None:  # a damaged file of the cache
        raise HTTPException(404, Sentence("the image cannot be shown"))
    return Response(content, media_type=raster.media_type, headers=IMAGE_HEADERS)
