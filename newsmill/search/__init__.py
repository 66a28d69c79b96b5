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
