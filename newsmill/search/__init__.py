"""Search of the stored documents. The entry point is `Search`.

A query is what a person types: words (all of them), "a phrase", =exactly, begin*, -without, !without or NOT without, this OR that,
(brackets), and filters: source: lang: author: section: title: site: type: is_free:yes|no|unknown doubtful:yes|no after:2026-01-01
before:"last week". For the marks of the user who asks there are is:starred|unstarred|read|unread, has:tag|note, tag: and note: (one word).
A value may be quoted; section:="Local News" and author:="Ann Smith" mean the whole value. Nothing is an error: an unknown filter is a word,
a filter without a meaning finds nothing, and `QueryNote`s say so. An empty query matches every document; a query that only excludes words,
or has none (`!!!`), matches nothing.

A word matches its exact form, or another inflected form of its lemma in a document of that language.

The time of a document is when it was published, never later than it was first seen. The filters after: and before:, the order "newest", and
counts over time use it. Undated documents are not within after: and before:, come last in "newest", and count at no time. Times are aware
and UTC.

A cursor is opaque and stays valid while documents come and go; any other string raises CursorError. Every call may raise ServiceError.
"""

from newsmill.search.check import check_saved_query as check_saved_query
from newsmill.search.counts import FACETS as FACETS
from newsmill.search.counts import FacetCount as FacetCount
from newsmill.search.counts import FacetName as FacetName
from newsmill.search.counts import Facets as Facets
from newsmill.search.counts import Period as Period
from newsmill.search.counts import Timeline as Timeline
from newsmill.search.counts import TimelineBar as TimelineBar
from newsmill.search.counts import TimelineStep as TimelineStep
from newsmill.search.counts import choose_period as choose_period
from newsmill.search.counts import count_facets as count_facets
from newsmill.search.counts import count_timeline as count_timeline
from newsmill.search.counts import list_counts as list_counts
from newsmill.search.parsed_query import QueryNote as QueryNote
from newsmill.search.query import close_query as close_query
from newsmill.search.query import restrict_to_source as restrict_to_source
from newsmill.search.relevance import MatchScore as MatchScore
from newsmill.search.results import FIRST_PAGE as FIRST_PAGE
from newsmill.search.results import MAX_TOTAL as MAX_TOTAL
from newsmill.search.results import Highlighter as Highlighter
from newsmill.search.results import Hit as Hit
from newsmill.search.results import Neighbours as Neighbours
from newsmill.search.results import Order as Order
from newsmill.search.results import SearchResults as SearchResults
from newsmill.search.results import Step as Step
from newsmill.search.results import StoredHit as StoredHit
from newsmill.search.search import Search as Search
from newsmill.search.unusual_terms import UnusualTerm as UnusualTerm
from newsmill.search.unusual_terms import UnusualTerms as UnusualTerms
from newsmill.search.unusual_terms import find_unusual_terms as find_unusual_terms
