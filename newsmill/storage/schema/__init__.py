"""The tables of the database. A test compares them with what `migrations/` builds.

Triggers, functions and the FTS5 tables of SQLite are in `migrations/versions/0001_schema.py`.
"""

from newsmill.storage.columns import metadata
from newsmill.storage.schema.document_tables import (
    copies_due,
    copy_groups,
    documents,
    fingerprints,
    fingerprints_due,
    past_documents,
    past_limits,
    past_takedowns,
    reextracted_documents,
    reextraction_passes,
    removed_documents,
    revisions,
    takedowns,
)
from newsmill.storage.schema.host_tables import hosts, processes, profiles, publisher_claims, publisher_orders, url_parameters
from newsmill.storage.schema.ledger_tables import count_totals, counts, ledger, segments, submissions, submitted_urls
from newsmill.storage.schema.message_tables import (
    alerts,
    outbox,
    source_alarms,
    source_checks,
    webhooks,
    websub_pushes,
    websub_subscriptions,
)
from newsmill.storage.schema.search_tables import search_codes, search_endings, search_entries, search_forms, search_pending
from newsmill.storage.schema.source_tables import backfills, completeness, listing_schedules, sightings, source_patterns, sources
from newsmill.storage.schema.story_tables import stories, stories_due, story_events, story_links, story_rules, story_terms, story_texts
from newsmill.storage.schema.user_tables import compared_stories, marks, saved_searches, search_matches, tokens

__all__ = [
    "alerts",
    "backfills",
    "compared_stories",
    "completeness",
    "copies_due",
    "copy_groups",
    "count_totals",
    "counts",
    "documents",
    "fingerprints",
    "fingerprints_due",
    "hosts",
    "ledger",
    "listing_schedules",
    "marks",
    "metadata",
    "outbox",
    "past_documents",
    "past_limits",
    "past_takedowns",
    "processes",
    "profiles",
    "publisher_claims",
    "publisher_orders",
    "reextracted_documents",
    "reextraction_passes",
    "removed_documents",
    "revisions",
    "saved_searches",
    "search_codes",
    "search_endings",
    "search_entries",
    "search_forms",
    "search_matches",
    "search_pending",
    "segments",
    "sightings",
    "source_alarms",
    "source_checks",
    "source_patterns",
    "sources",
    "stories",
    "stories_due",
    "story_events",
    "story_links",
    "story_rules",
    "story_terms",
    "story_texts",
    "submissions",
    "submitted_urls",
    "takedowns",
    "tokens",
    "url_parameters",
    "webhooks",
    "websub_pushes",
    "websub_subscriptions",
]
