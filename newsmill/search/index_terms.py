"""The terms of the index that are properties of a document instead of its words. Pure."""

from __future__ import annotations

from hashlib import blake2b

from newsmill.search.tokens import fold
from newsmill.storage.columns import make_storable
from newsmill.text import lazy_re as re

MAX_FACET_CHARACTERS = 100  # of a section, an author's name, a type or a host in a list of counts
EVERY_ENTRY = "\ue000"  # a term of every entry, for queries that only exclude. U+E000 is in no word of a text (`tokens._WORD`)
_SPECIAL = re.compile("[^0-9a-z\u0080-\U0010ffff]")


def facet_term(name: str, value: str) -> str:
    """A property as a term of the index. `value` is folded. The term does not begin with the name, so that no `mark*` finds it.

    >>> facet_term("source", "the paper") == facet_term("source", "the-paper")
    False
    """
    spelled = _SPECIAL.sub(lambda match: f"{ord(match[0]):x}\ue001", make_storable(value[:200]))
    return f"\ue007{name}\ue000{spelled}\ue000"


def lemma_term(lemmatizer: str, lemma: str) -> str:
    """The term of documents in which another form of the lemma stands. It does not begin with the lemma, so that no `mark*` finds it."""
    return f"\ue006{lemmatizer}\ue006{lemma}"


def title_term(word: str) -> str:
    """The term of documents whose title has the word, or another form of it. GIN holds no word positions: without such terms the
    titles of all documents with a common word would have to be read."""
    return facet_term("t", word)


def mark_value(user: str, value: str = "") -> str:
    """The value of a property that a document has for one user only. `value` is folded, and no longer than a tag."""
    return f"{blake2b(user.encode('utf-8', 'replace'), digest_size=9).hexdigest()} {value}"


def whole_value(text: str) -> str:
    """The value of a section or an author as `section:=` and `author:=` compare it.

    >>> whole_value("  Local  News ")
    'local news'
    """
    return fold(one_line(text))


def one_line(text: str) -> str:
    """The beginning of a text on one line, as facets show it."""
    return " ".join(make_storable(text[: 10 * MAX_FACET_CHARACTERS]).split())[:MAX_FACET_CHARACTERS].strip()
