"""Stories: which documents tell the same news, decided from their terms and times. Pure.

The stories of a set of documents depend on the set only, never on the order in which the documents arrived. Only documents that links
connect decide one another's stories.
"""

from newsmill.stories.clusters import MAX_COMPONENT, WINDOW_SECONDS, StoryDocument, are_linked, cluster
from newsmill.stories.evidence import find_shared_terms
from newsmill.stories.terms import TERMS_VERSION, Terms, find_terms, pack, rare_terms, unpack

__all__ = [
    "MAX_COMPONENT",
    "TERMS_VERSION",
    "WINDOW_SECONDS",
    "StoryDocument",
    "Terms",
    "are_linked",
    "cluster",
    "find_shared_terms",
    "find_terms",
    "pack",
    "rare_terms",
    "unpack",
]
