"""The style sheet, the script and the mark, from our own origin. The address holds a hash of the content, so it may be kept for ever."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

STATIC_FOLDER = Path(__file__).parent / "static"
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

router = APIRouter()


@cache
def read_files() -> dict[str, tuple[bytes, str]]:
    """Name → content and its hash. Listed once, so that no path leads anywhere else."""
    found = {path.name: path.read_bytes() for path in STATIC_FOLDER.iterdir() if path.suffix in CONTENT_TYPES}
    return {name: (content, blake2b(content, digest_size=6).hexdigest()) for name, content in found.items()}


def static_url(name: str) -> str:
    """Where a file is served now."""
    return f"/static/{read_files()[name][1]}/{name}"


@router.get("/static/{tag}/{name}", include_in_schema=False)
def serve_file(tag: str, name: str) -> Response:
    """A file; an old tag gets the file as it is now, and may not keep it."""
    if name not in read_files():
        raise HTTPException(404)
    content, current = read_files()[name]
    keeping = "public, max-age=31536000, immutable" if tag == current else "no-cache"
    return Response(content, media_type=CONTENT_TYPES[Path(name).suffix], headers={"Cache-Control": keeping})
