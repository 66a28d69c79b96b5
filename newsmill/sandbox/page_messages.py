"""The messages between the two sides of the sandbox of pages: a request with its bodies, and a result, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from newsmill.model import ExtractionResult, Page, Profile, Rules
from newsmill.text.sentences import PACKED

MAX_PROFILES = (
    32  # that a child keeps; a segment has 32 pages, and a profile that is sent again costs 1.5 ms of CPU (in a crawl of 500 sites)
)


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """One page to read, with what is known of its source: the arguments of `extraction.pipeline.read`."""

    page: Page  # in the head without bodies
    rules: Rules = field(default_factory=Rules)
    language: str | None = None
    first_seen_at: datetime | None = None
    profile: Profile | None = None
    known_profile: str | None = None  # in place of a profile that the child has already: its `profile_key`
    cpu_seconds: float | None = None  # after which the child is killed; None: the limit of all pages
    brief: bool = False  # leave out the blocks that are not the document's: they are ten times as many and cost both sides
    is_reextraction: bool = False  # the page was read before
    text_before: str | None = None  # that is compared with the new one; None: no verdict is wanted
    body_sizes: tuple[int, ...] = ()  # bytes of each body: the page's, then those of the further pages of its article


REQUEST_ADAPTER: TypeAdapter[ExtractionRequest] = TypeAdapter(ExtractionRequest)
RESULT_ADAPTER: TypeAdapter[ExtractionResult] = TypeAdapter(ExtractionResult)


def detach_bodies(page: Page) -> tuple[Page, list[bytes]]:
    """The page without bodies, which JSON cannot hold, and the bodies: its own, then those of its further pages."""
    parts = tuple(replace(part, body=b"") for part in page.parts)
    return replace(page, body=b"", parts=parts), [page.body, *(part.body for part in page.parts)]


def attach_bodies(page: Page, sizes: tuple[int, ...], bodies: bytes) -> Page:
    if not page.parts:
        return replace(page, body=bodies)
    ends = list(accumulate(sizes))
    own, *others = [bodies[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return replace(page, body=own, parts=tuple(replace(part, body=body) for part, body in zip(page.parts, others, strict=True)))


def profile_key(profile: Profile) -> str:
    """The name under which both sides keep a profile."""
    return f"{profile.site} {profile.version}"


def to_json(adapter: TypeAdapter[Any], value: object) -> bytes:
    """`value` as JSON that every database takes: a lone surrogate becomes "?", and NUL goes (SQLite refuses the one, Postgres both)."""
    try:
        text = adapter.dump_json(value, context=PACKED)
    except PydanticSerializationError:  # a lone surrogate; one page in thousands, so the slow way may be slow
        text = json.dumps(adapter.dump_python(value, mode="json", context=PACKED), ensure_ascii=False, allow_nan=False).encode(
            "utf-8", "replace"
        )
    return text if b"\\u0000" not in text else json.dumps(_without_nul(json.loads(text)), ensure_ascii=False).encode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
