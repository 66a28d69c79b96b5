"""The style sheet, the script and the mark, from our own origin. The address holds a hash of the content, so it may be kept for ever."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

router = APIRouter()


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """Name → content and its hash. Listed once, so that no path leads anywhere else."""
    found = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
    return {name: (content, blake2b(content, digest_size=6).hexdigest()) for name, content in found.items()}


def address(name: str) -> str:
    """Where a file is served now."""
    return f"/static/{files()[name][1]}/{name}"


@router.get("/static/{tag}/{name}", include_in_schema=False)
def serve(tag: str, name: str) -> Response:
    """A file; an old tag gets the file as it is now, and may not keep it."""
    if name not in files():
        raise HTTPException(404)
    content, current = files()[name]
    keeping = "public, max-age=31536000, immutable" if tag == current else "no-cache"
    return Response(content, media_type=TYPES[Path(name).suffix], headers={"Cache-Control": keeping})
