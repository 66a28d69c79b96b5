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
    """Opens a corpus for reading.

    `where` is a data folder, a database URL (sqlite:///path, postgresql://user:password@host/name) or the URL of a Newsmill server, with
    its `token`. Without `where` it is the store that the `newsmill` command shows in the current folder.

    Never changes anything there. Raises NewsmillError, with one sentence, if there is nothing to read.
    """
    from newsmill.corpus import open_corpus

    return open_corpus(where, token=token)
