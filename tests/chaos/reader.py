"""The worker's reader with poison: an article may order what happens to the process that reads it. Other articles are read as usual."""

from __future__ import annotations

import ctypes
import os
import re
from typing import Any

from lxml import html

from newsmill.extraction import pipeline
from newsmill.model import ExtractionResult, Page
from newsmill.sandbox import preload

ORDER = re.compile(rb'<meta name="chaos" content="(\w+)">')
PRELOADED = preload.URL  # importing `preload` loads what reading loads at first use, as the fork server does for the default reader
hoard: list[bytes] = []


def read(page: Page, **how: Any) -> ExtractionResult:
    """As `newsmill.extraction.pipeline.read`, whose arguments it hands on."""
    order = ORDER.search(page.body)
    match order and order.group(1):
        case b"segv":
            ctypes.string_at(0)
        case b"exit":
            os._exit(3)
        case b"allocate":
            hoard.append(b"x" * (2 << 30))
        case b"raise":
            raise ValueError("poison")
        case b"loop":
            while True:
                pass
        case b"attributes":  # libxml2 needs minutes and hears no signal of Python's
            html.fromstring(f"<p {' '.join(f'a{n}=1' for n in range(400_000))}>")
    return pipeline.read(page, **how)
