"""Stems as Postgres's dictionaries make them, remembered: texts repeat their words, and asking for each was half of indexing one."""

from __future__ import annotations

from collections.abc import Mapping, Set

from sqlalchemy import Connection, text

MOST = 50_000  # words remembered in one process, about 7 MB

# The inner SELECT: the dictionary is looked up once, not for each word. A stemmer drops the words it takes for unimportant; we keep them,
# so that "to be or not to be" can be found.
_ASKED = text("""SELECT word, coalesce((ts_lexize((SELECT CAST(:dictionary AS regdictionary)), word))[1], word)
FROM unnest(string_to_array(:words, ' ')) AS word""")

_known: dict[str, dict[str, str]] = {}  # dictionary → word → stem


def stems(conn: Connection, dictionary: str, words: Set[str]) -> Mapping[str, str]:
    """The stem of each of some words, and of others. `words` have no blanks."""
    known = _known.setdefault(dictionary, {})
    missing = set(words - known.keys())
    if not missing:
        return known
    if sum(map(len, list(_known.values()))) + len(missing) > MOST:
        _known.clear()
        known = _known[dictionary] = {}
        missing = set(words)
    for word, stem in conn.execute(_ASKED, {"dictionary": dictionary, "words": " ".join(missing)}):
        known[word] = stem
    return known
