"""The child's side of the sandbox of pages: reads the page of a request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from newsmill.model import Profile
from newsmill.sandbox.child import load_function
from newsmill.sandbox.page_messages import (
    MAX_PROFILES,
    REQUEST_ADAPTER,
    RESULT_ADAPTER,
    ExtractionRequest,
    attach_bodies,
    profile_key,
    to_json,
)


class PageHandler:
    """Reads the page of a request: the head is an ExtractionRequest without the page's body, the response an ExtractionResult."""

    def __init__(self, reader: str) -> None:
        """`reader`: "package.module:function", with the arguments of `extraction.pipeline.read`."""
        self._read = load_function(reader)
        self._profiles: dict[str, Profile] = {}

    def __call__(self, head: bytes, body: bytes) -> Iterator[bytes]:
        """The result as JSON."""
        request = REQUEST_ADAPTER.validate_json(head)
        profile = self._find_profile(request)
        page = attach_bodies(request.page, request.body_sizes, body)
        start = time.process_time()
        result = self._read(
            page,
            rules=request.rules,
            language=request.language,
            first_seen_at=request.first_seen_at,
            profile=profile,
            brief=request.brief,
            again=request.is_reextraction,
        )
        if request.text_before is not None and result.document is not None:
            from newsmill.extraction.verdict import judge  # workers never need it

            result = replace(result, verdict=judge(page, request.text_before, result.document.text, profile))
        yield to_json(RESULT_ADAPTER, replace(result, seconds=round(time.process_time() - start, 4)))

    def _find_profile(self, request: ExtractionRequest) -> Profile | None:
        """The request's profile. `Sandbox` keeps the same profiles and clears them at the same moment."""
        if request.profile is None:
            return None if request.known_profile is None else self._profiles[request.known_profile]
        if len(self._profiles) >= MAX_PROFILES:
            self._profiles.clear()
        self._profiles[profile_key(request.profile)] = request.profile
        return request.profile
