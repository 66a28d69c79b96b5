"""The HTTP API, /api/v1. One file per noun; docs/api.md shows each with an example that a test runs."""

from __future__ import annotations

from fastapi import APIRouter

from newsmill.web.api import health

router = APIRouter()
router.include_router(health.router)
