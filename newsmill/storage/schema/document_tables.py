"""The tables of documents: their revisions, removals and copies."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from newsmill.model.document_fields import Use
from newsmill.storage.columns import Id, Json, StorableString, StorableText, UtcDateTime, list_document_columns, metadata

documents = Table(
    "documents",
    metadata,
    Column("id", StorableString(64), primary_key=True),
    Column("ledger_id", Id, ForeignKey("ledger.id"), nullable=False),  # the row of its page
    Column("stored_at", UtcDateTime, nullable=False),  # the last change of its content
    Column("changed_at", UtcDateTime),  # the last change of any field in the order of storing; NULL: that of its content
    Column("site", StorableText),  # the key of its site profile; urls.get_profile_site
    *list_document_columns(),
    Index("ix_documents_order", "first_seen_at", "id"),
    Index("ix_documents_source", "source", "first_seen_at", "id"),
    Index("ix_documents_stored", "stored_at", "id"),
    Index("ix_documents_ledger", "ledger_id"),
    Index("ix_documents_site", "site", "id"),
    Index("ix_documents_confidence", "confidence"),
    Index("ix_documents_profile", "site", "profile_version", "fetched_at"),
)

# The contents that a new revision of their document replaced; storage/revisions.py. Columns are those of `documents` at that time.
revisions = Table(
    "revisions",
    metadata,
    Column("document_id", StorableString(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("characters", Integer, nullable=False),  # of text, blocks and live updates, which the limit of a document counts
    Column("stored_at", UtcDateTime, nullable=False),
    *list_document_columns(Use.REVISION),
)

# Documents that were removed, so that readers of changes remove them too. One that is stored again keeps its row, which is before it in the
# order of storage.
removed_documents = Table(
    "removed_documents",
    metadata,
    Column("id", StorableString(64), primary_key=True),
    Column("removed_at", UtcDateTime, nullable=False),  # in the order of `documents.stored_at`
    Column("source", StorableText),
    Index("ix_removed_documents_order", "removed_at", "id"),
)

_KEYLESS = text("url_key IS NULL AND (url IS NOT NULL OR requested_url IS NOT NULL)")

# What rows of `documents` were before they were changed or removed; filled by triggers, storage/past_documents.py.
past_documents = Table(
    "past_documents",
    metadata,
    Column("number", Id, primary_key=True),  # of the changes of one document, a later one has a higher number
    Column("document_id", StorableString(64), nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),  # the change, in the order of storing
    Column("changed", StorableText),  # the names of the changed columns, each followed by a comma; NULL: the document was removed
    Column("stored_at", UtcDateTime),
    *(Column(column.name, column.type) for column in list_document_columns()),
    Column("url_key", String(64)),  # of `url`, written by a takedown; NULL: not yet. "" for a row without a URL
    Column("requested_key", String(64)),
    Index("ix_past_documents_document", "document_id", "valid_until"),
    Index("ix_past_documents_order", "valid_until"),
    Index("ix_past_documents_url_key", "url_key", sqlite_where=text("url_key IS NOT NULL"), postgresql_where=text("url_key IS NOT NULL")),
    Index(
        "ix_past_documents_requested_key",
        "requested_key",
        sqlite_where=text("requested_key IS NOT NULL"),
        postgresql_where=text("requested_key IS NOT NULL"),
    ),
    Index("ix_past_documents_keyless", "number", sqlite_where=_KEYLESS, postgresql_where=_KEYLESS),
)

# Documents of which a takedown deleted the versions in [stored_at, valid_until).
past_takedowns = Table(
    "past_takedowns",
    metadata,
    Column("document_id", String(64), primary_key=True),
    Column("valid_until", UtcDateTime, primary_key=True),
    Column("stored_at", UtcDateTime, nullable=False),
    Column("reason", StorableText, nullable=False),
)

# At most one row. The past is known from `began_at` on (NULL: from the first document on). Nothing is stored any more up to `sealed_at`.
past_limits = Table(
    "past_limits",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=False),
    Column("began_at", UtcDateTime),
    Column("sealed_at", UtcDateTime),
)

# URLs whose documents were removed at somebody's demand; ledger/takedowns.py.
takedowns = Table(
    "takedowns",
    metadata,
    Column("url_key", String(64), primary_key=True),
    Column("url", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("document_id", String(64)),
    Column("erase_after", UtcDateTime),  # when its pages in the archive can be erased; NULL: they are erased
    Column("erased_pages", Integer, nullable=False),
    Column("evidence", Json),  # ledger/takedown_evidence.py; NULL: nothing is known of the text
    Column("image", String(32)),  # of the removed document: the name of its file in images/
    Index(
        "ix_takedowns_erase",
        "erase_after",
        sqlite_where=text("erase_after IS NOT NULL"),
        postgresql_where=text("erase_after IS NOT NULL"),
    ),
)

# Fingerprints of the texts, by which near duplicates are found. The key is the ledger's id: every index on SQLite holds the key, and a
# document's id would take five times the space.
fingerprints = Table(
    "fingerprints",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    *(Column(f"band{number}", Integer, nullable=False) for number in range(1, 7)),  # near_duplicates.BANDS
    *(Index(f"ix_fingerprints_band{number}", f"band{number}") for number in range(1, 7)),
)

# Documents without a fingerprint of their current text; filled by triggers on `documents`.
fingerprints_due = Table("fingerprints_due", metadata, Column("document_id", String(64), primary_key=True), sqlite_with_rowid=False)

# The groups of copies, one row per page; storage/copy_groups.py.
copy_groups = Table(
    "copy_groups",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    Column("document_id", String(64), nullable=False),
    Column("second", Id, nullable=False),  # the document's time, as far as it states one
    Column("seen", Id, nullable=False, server_default="0"),  # copies.OrderKey
    Column("group_id", Id),  # the page of the group's anchor; NULL: the document has no copies
    Column("place", Id),  # in the group: 0 of the head, `seen` of the others; NULL: the document has no copies
    Column("is_due", Boolean, nullable=False),  # the anchor of its group has changed
    Index("ix_copy_groups_group", "group_id", sqlite_where=text("group_id IS NOT NULL"), postgresql_where=text("group_id IS NOT NULL")),
    Index("ix_copy_groups_due", "ledger_id", sqlite_where=text("is_due"), postgresql_where=text("is_due")),
)

# Pages whose document is new, changed or removed since its group was decided; filled by triggers on `documents`.
copies_due = Table("copies_due", metadata, Column("ledger_id", Id, primary_key=True, autoincrement=False))

# Passes that extract stored documents again; storage/reextractions.py.
reextraction_passes = Table(
    "reextraction_passes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("options", Json, nullable=False),  # model.PassOptions
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("total", Integer, nullable=False),  # documents that were to be read at the start
    Column("last_id", StorableString(64), nullable=False),  # of the last document that was read
    Column("changed", Integer, nullable=False),
    Column("counts", Json, nullable=False),
)

# Documents whose text a pass changed, would change or left, because the new one is worse.
reextracted_documents = Table(
    "reextracted_documents",
    metadata,
    Column("pass_id", Id, ForeignKey("reextraction_passes.id", ondelete="CASCADE"), primary_key=True),
    Column("document_id", StorableString(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("source", StorableText),
    Column("verdict", Json, nullable=False),  # model.Verdict
    Column("judgement", String(8), nullable=False),
    Column("is_replaced", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("extractor_before", StorableText, nullable=False),
    Column("extractor", StorableText),  # NULL: the page gave no document
    Column("words_removed", Integer, nullable=False),
    Column("words_added", Integer, nullable=False),
    Column("has_diff", Boolean, nullable=False),  # it is an example
    Column("diff", Json, nullable=False),
    Index("ix_reextracted_documents_document", "document_id"),
)
