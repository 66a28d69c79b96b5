"""The fields of a document in one table, from which storage, exports, API, pages, search and the reference take them.

Each row describes a field of `Document`, which has its type for Python; tests/test_document_fields.py compares the two. The table has the
order in which people read the fields. Files and API have the order of `Document`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, StrEnum, auto

from newsmill.model.documents import DOUBTFUL_CONFIDENCE


class FieldType(StrEnum):
    """The type of a field, as the reference calls it. Columns, Parquet files and data frames have a type for each."""

    TEXT = "text"
    URL = "URL"
    TIME = "time"
    DAY = "day"
    NUMBER = "whole number"
    FRACTION = "fraction"
    FLAG = "Boolean"
    TEXTS = "list of texts"
    PAIRS = "mapping of texts"
    AUTHORS = "list of authors"
    BLOCKS = "list of blocks"
    IMAGES = "list of images"
    UPDATES = "list of updates"


class Use(Flag):
    """Where a field is used, beside exports and API, which have every field. A field with a label is also on the web page of a document."""

    NONE = 0
    FRONT_MATTER = auto()  # of an article exported as Markdown
    TERMINAL = auto()  # `newsmill show`
    STREAM = auto()  # an event of the change stream
    HIT = auto()  # a search result
    REVISION = auto()  # kept for each revision
    COMPARED = auto()  # what a reader sees, compared between two revisions
    NO_CELL = auto()  # not in CSV, Excel and data frames
    HEAD = TERMINAL | FRONT_MATTER  # above the text of an article
    LISTS = HEAD | STREAM | HIT  # and in lists of articles


@dataclass(frozen=True, slots=True)
class DocumentField:
    """One field. `required`: it is never null, as a list and a mapping never are."""

    name: str
    type: FieldType
    meaning: str
    uses: Use = Use.NONE
    english: str | None = None  # its label on web pages; None: it is not in their list of fields
    german: str | None = None
    required: bool = False
    derived: bool = False  # computed from other fields, so it has no column

    @property
    def is_nullable(self) -> bool:
        return not self.required and self.type in SCALARS


TEXT, URL, TIME, DAY, NUMBER, FRACTION, FLAG, TEXTS, PAIRS, AUTHORS, BLOCKS, IMAGES, UPDATES = FieldType
SCALARS = frozenset({TEXT, URL, TIME, DAY, NUMBER, FRACTION, FLAG})
NONE, HEAD, FRONT, STREAM, HIT, REVISION, COMPARED, NO_CELL, LISTS = (
    Use.NONE, Use.HEAD, Use.FRONT_MATTER, Use.STREAM, Use.HIT, Use.REVISION, Use.COMPARED, Use.NO_CELL, Use.LISTS,
)  # fmt: skip

DOCUMENT_FIELDS = (
    DocumentField("url", URL, "URL after redirects", LISTS, "URL", "URL", required=True),
    DocumentField("canonical_url", URL, "URL that the page states for itself", FRONT | STREAM, "Canonical URL", "Kanonische URL"),
    DocumentField("original_url", URL, "URL on another site that the page names as its original", FRONT, "Original", "Original"),
    DocumentField("requested_url", URL, "URL that was requested", NONE, "Requested URL", "Angeforderte URL", required=True),
    DocumentField("title", TEXT, "headline", FRONT | STREAM | HIT | REVISION | COMPARED, "Title", "Titel"),
    DocumentField(
        "authors", AUTHORS, "names, and whether each is a person or an organisation", LISTS | REVISION | COMPARED, "Authors", "Autoren"
    ),
    DocumentField("published_at", TIME, "publication time that the page or its feed states, UTC", LISTS, "Published", "Veröffentlicht"),
    DocumentField("published_source", TEXT, "origin of the publication time"),
    DocumentField("published_precision", TEXT, "second, minute or day", HIT),
    DocumentField("published_day", DAY, "day of publication in the site's time zone"),
    DocumentField(
        "modified_at", TIME, "time of the last change that the page states, UTC", HEAD | STREAM | REVISION, "Modified", "Geändert"
    ),
    DocumentField(
        "first_seen_at", TIME, "time when the URL was first found, UTC", FRONT | STREAM | HIT, "First seen", "Zuerst gesehen", required=True
    ),
    DocumentField("text_seen_at", TIME, "time when the store first got the text, or one nearly the same, UTC"),
    DocumentField("fetched_at", TIME, "time when the page was fetched, UTC", HEAD | REVISION, "Fetched", "Abgerufen", required=True),
    DocumentField("gone_at", TIME, "time when the page was first missing, UTC", LISTS, "Removed from the site", "Von der Website entfernt"),
    DocumentField("language", TEXT, "language (BCP 47)", LISTS, "Language", "Sprache"),
    DocumentField("source", TEXT, "name of the source in Newsmill", LISTS, "Source", "Quelle"),
    DocumentField("site_name", TEXT, "name of the site on the page", LISTS, "Site", "Website"),
    DocumentField("section", TEXT, "section that the page states", LISTS, "Section", "Rubrik"),
    DocumentField("tags", TEXTS, "keywords that the page states", HEAD, "Tags", "Schlagwörter"),
    DocumentField("description", TEXT, "summary that the page states", FRONT | STREAM | REVISION | COMPARED, "Description", "Beschreibung"),
    DocumentField("text", TEXT, "text of the article, a blank line between paragraphs", REVISION | COMPARED, required=True),
    DocumentField("blocks", BLOCKS, "parts of the text in order, with their types", REVISION | NO_CELL),
    DocumentField("live_updates", UPDATES, "updates of a live blog", REVISION | COMPARED),
    DocumentField("image", URL, "URL of the main image", FRONT | HIT, "Image", "Bild"),
    DocumentField("images", IMAGES, "images with captions and credits"),
    DocumentField("article_type", TEXT, "type that the page states", FRONT, "Type", "Typ"),
    DocumentField("is_free", FLAG, "whether everybody may read the article; empty: unknown", LISTS, "Free to read", "Frei zugänglich"),
    DocumentField("is_free_reason", TEXT, "how that is known"),
    DocumentField("license", TEXT, "licence that the page states", FRONT, "Licence", "Lizenz"),
    DocumentField("rights", PAIRS, "what the page and its headers allow robots and text miners", NONE, "Rights", "Rechte"),
    DocumentField("word_count", NUMBER, "number of words in the text", LISTS | REVISION, "Words", "Wörter", required=True),
    DocumentField("confidence", FRACTION, "expected F1 of the text over words, 0 to 1", HEAD | STREAM, "Confidence", "Konfidenz"),
    DocumentField("doubtful", FLAG, f"true where the confidence is below {DOUBTFUL_CONFIDENCE}", LISTS, required=True, derived=True),
    DocumentField("warnings", TEXTS, "problems that the extraction noticed", HEAD, "Warnings", "Warnungen"),
    DocumentField("extractor", TEXT, "program version that read the page", REVISION, "Extractor", "Extraktor", required=True),
    DocumentField("profile_version", NUMBER, "version of the site profile that was used", REVISION, "Profile version", "Profilversion"),
    DocumentField("revision", NUMBER, "number of the content, 1 for the first", HEAD | STREAM, "Revision", "Fassung", required=True),
    DocumentField("content_hash", TEXT, "hash of title and text", FRONT | STREAM | REVISION, "Content hash", "Prüfsumme", required=True),
    DocumentField("provenance", PAIRS, "origin of each field", NO_CELL),
    DocumentField("archive_ref", TEXT, "position of the page in the archive", HEAD | REVISION, "Archive position", "Position im Archiv"),
    DocumentField("id", TEXT, "identity: a hash of the canonical URL", LISTS, "ID", "ID", required=True),
)
BY_NAME = {one.name: one for one in DOCUMENT_FIELDS}


def list_fields(use: Use) -> tuple[str, ...]:
    """The names of the fields with that use, in the order of the table."""
    return tuple(one.name for one in DOCUMENT_FIELDS if use in one.uses)


def list_fields_of(*types: FieldType) -> tuple[str, ...]:
    """The names of the fields of these types, in the order of the table."""
    return tuple(one.name for one in DOCUMENT_FIELDS if one.type in types)
