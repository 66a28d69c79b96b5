"""The sandbox's fork server imports this module once: it reads a page, so that all children have what reading loads at first use.

The language model and the public suffix list cost 0.2 s of CPU, the stop words of jusText 0.24 s and 33 MB.
Without this module the first page of each child would cost that much.
"""

from __future__ import annotations

import gc
from datetime import UTC, datetime

import ftfy.badness  # noqa: F401 — pages with other letters use it
import htmldate  # noqa: F401 — pages without a date elsewhere use it
from lxml.html import fromstring
from trafilatura.external import try_justext

from newsmill.extraction.pipeline import read
from newsmill.model import Page

# Nothing declares the language, and the text is long enough for it to be detected (language.LONG_TEXT_CHARACTERS).
SENTENCE = "The council met on Tuesday evening and decided, after a long debate, to keep the ferry running through the winter months. "
HEADER = "<h1>A page</h1><p>1 January 2026</p>"  # a date in words, so that the names of months are loaded
HTML = f"<html><head><title>A page</title></head><body><article>{HEADER}{f'<p>{SENTENCE * 2}</p>' * 3}</article></body></html>"
URL = "https://www.paper.example/town/a-page-1.html"

read(Page(URL, URL, datetime(2026, 1, 1, tzinfo=UTC), 200, (("Content-Type", "text/html"),), HTML.encode()))
try_justext(fromstring(HTML), URL, "")  # reads pages with little text, and sets its stop words in lower case at the first one

# Otherwise the first garbage collection of a child touches, and so copies, all memory that it shares with the fork server: 0.01 s.
gc.collect()
gc.freeze()
