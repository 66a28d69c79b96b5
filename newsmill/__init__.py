"""Newsmill: news sites go in, a clean, deduplicated, explainable corpus comes out.

Importing this package stays light: nothing of Scrapy, Redis, SQL or lxml is loaded until a part that needs it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from newsmill.corpus.reader import Corpus

__version__ = "0.1.0"


def open(where: str | os.PathLike[str] | None = None, *, token: str | None = None) -> Corpus:
    """Documents to read: those of a data folder, of a database (sqlite:///path, postgresql://user:password@host/name) or of a Newsmill
    that serves its API (https://host, with its `token`). Without `where`: those the `newsmill` command of this folder would show.

    Nothing there is ever changed. Raises NewsmillError with one sentence where there is nothing to read.
    """
    from newsmill.corpus import open_corpus

    return open_corpus(where, token=token)
