"""Search of the stored documents. The entry point is `Search`.

A query is what a person types: words (all of them), "a phrase", =exactly, begin*, -without or NOT without, this OR that, (brackets), and
filters: source: lang: author: section: title: site: is_free:yes|no|unknown doubtful:yes|no after:2026-01-01 before:"last week". For the
marks of the user who asks there are is:starred|unstarred|read|unread, has:tag|note, tag: and note: (one word). A value may be quoted.
Nothing is an error: an unknown filter is a word, a filter without a meaning finds nothing, and `QueryNote`s say so. An empty query matches
every document; a query that only excludes words, or has none (`!!!`), matches nothing.

A word matches its exact form, or another inflected form of its lemma in a document of that language.

The time of a document is when it was published, never later than it was first seen, and when it was first seen if that is unknown. The
filters after: and before:, the order "newest", and counts over time use it. Times are aware and UTC.

A cursor is opaque and stays valid while documents come and go; any other string raises CursorError. Every call may raise ServiceError.
"""

from newsmill.search.highlight import Highlighter as Highlighter
from newsmill.search.query_notes import QueryNote as QueryNote
from newsmill.search.records import FIRST_PAGE as FIRST_PAGE
from newsmill.search.records import MAX_TOTAL as MAX_TOTAL
from newsmill.search.records import Breakdown as Breakdown
from newsmill.search.records import Hit as Hit
from newsmill.search.records import Neighbours as Neighbours
from newsmill.search.records import Order as Order
from newsmill.search.records import SearchResults as SearchResults
from newsmill.search.records import Step as Step
from newsmill.search.records import StoredHit as StoredHit
from newsmill.search.search import Search as Search
