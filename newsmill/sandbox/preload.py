"""Imported once by the sandbox's fork server: reads a page of its own, so that what reading loads at first use is there for all children.

The language model and the public suffix list cost 0.6 s of CPU, the words that trafilatura's last resort knows 0.15 s and 33 MB (measured):
paid here once, not by the first page of each child.
"""

from __future__ import annotations

import gc
from datetime import UTC, datetime

from lxml.html import document_fromstring
from trafilatura.external import try_justext

from newsmill.extraction.pipeline import read
from newsmill.model import Page

# Nothing declares its language, and the text is long enough to be asked for it (language.ENOUGH).
SENTENCE = "The council met on Tuesday evening and decided, after a long debate, to keep the ferry running through the winter months. "
HEADER = "<h1>A page</h1><p>1 January 2026</p>"  # a date in words, so that the names of months are loaded
HTML = f"<html><head><title>A page</title></head><body><article>{HEADER}{f'<p>{SENTENCE * 2}</p>' * 3}</article></body></html>"
ADDRESS = "https://www.paper.example/town/a-page-1.html"

read(Page(ADDRESS, ADDRESS, datetime(2026, 1, 1, tzinfo=UTC), 200, (("Content-Type", "text/html"),), HTML.encode()))
try_justext(document_fromstring(HTML), ADDRESS, None)

# A child that collects garbage for the first time would otherwise touch, and so copy, all of what it shares with us: 0.01 s (measured).
gc.collect()
gc.freeze()
