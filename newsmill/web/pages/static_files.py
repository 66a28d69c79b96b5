"""The static files of the pages."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

STATIC_FOLDER = Path(__file__).parent / "static"
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def read_files() -> dict[str, tuple[bytes, str]]:
    """Name → content and its hash. The folder is listed once, so no request can name another path."""
    contents = {path.name: path.read_bytes() for path in STATIC_FOLDER.iterdir() if path.suffix in CONTENT_TYPES}
    return {name: (content, blake2b(content, digest_size=6).hexdigest()) for name, content in contents.items()}


def static_url(name: str) -> str:
    """The current URL of a file."""
    return f"/static/{read_files()[name][1]}/{name}"


@router.get("/static/{tag}/{name}")
def serve_file(tag: str, name: str) -> Response:
    """A file. A request with an outdated hash gets the current content, which must not be cached."""
    if name not in read_files():
        raise HTTPException(404)
    content, current = read_files()[name]
    caching = "public, max-age=31536000, immutable" if tag == current else "no-cache"
    return Response(content, media_type=CONTENT_TYPES[Path(name).suffix], headers={"Cache-Control": caching})
