"""Is it alive, and who is at work."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/live")
def live() -> dict[str, str]:
    """That this process answers. Needs no token, and asks neither database nor Redis."""
    return {"status": "ok"}
