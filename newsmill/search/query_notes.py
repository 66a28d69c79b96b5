"""What is wrong with a query, and what to write instead. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FILTER_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "source": ("source:NAME",),
    "lang": ("lang:de", "lang:german"),
    "language": ("language:de", "language:german"),
    "author": ("author:smith",),
    "section": ('section:"local news"',),
    "title": ("title:word",),
    "site": ("site:example.org",),
    "type": ("type:NewsArticle",),
    "is_free": ("is_free:yes", "is_free:no", "is_free:unknown"),
    "doubtful": ("doubtful:yes", "doubtful:no"),
    "is": ("is:starred", "is:unstarred", "is:read", "is:unread"),
    "has": ("has:tag", "has:note"),
    "tag": ("tag:NAME",),
    "note": ("note:word",),
    "after": ("after:2026-01-31",),
    "before": ("before:2026-01-31",),
}
FILTERS = tuple(FILTER_EXAMPLES)
# Filters of other programs, and what is written here instead.
_AFTER, _BEFORE, _BOTH = ("after:2026-01-31",), ("before:2026-01-31",), ("after:2026-01-31 before:2026-02-01",)
OTHER_FILTERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("since", "from", "start", "newer"), _AFTER),
    **dict.fromkeys(("until", "till", "to", "end", "older"), _BEFORE),
    **dict.fromkeys(("date", "day", "on", "published", "pubdate", "publish_date", "published_at", "published_day"), _BOTH),
    **dict.fromkeys(("headline", "heading", "intitle", "allintitle"), FILTER_EXAMPLES["title"]),
    **dict.fromkeys(("byline", "by", "writer", "authors"), FILTER_EXAMPLES["author"]),
    **dict.fromkeys(("media", "outlet", "publisher", "publication", "newspaper", "media_id", "media_name"), FILTER_EXAMPLES["source"]),
    **dict.fromkeys(("domain", "host", "url", "inurl", "website", "canonical_domain"), FILTER_EXAMPLES["site"]),
    **dict.fromkeys(("category", "topic", "subject", "rubric"), FILTER_EXAMPLES["section"]),
    **dict.fromkeys(("label", "tags"), FILTER_EXAMPLES["tag"]),
    **dict.fromkeys(("langs", "language_code", "lingua"), FILTER_EXAMPLES["lang"]),
    "article_type": FILTER_EXAMPLES["type"],
}
DATE_EXAMPLES = ("2026-01-31", "2026-01", "yesterday", '"last week"', "7d", "november")

NoteKind = Literal[
    "cut",
    "items",
    "date",
    "field",
    "other_field",
    "operator",
    "wildcard",
    "quote",
    "empty_period",
    "value",
    "language",
    "prefix",
    "exclusions",
    "no_words",
    "source",
    "empty_source",
    "stored_language",
    "tag",
    "stored_value",
    "future",
    "oldest",
    "newest",
    "period",
    "marks",
]

_MESSAGES: Mapping[str, str] = {
    "cut": "The query is longer than {value} characters; the rest is not searched",
    "items": "The query has more than {value} words and filters; the rest is not searched",
    "date": "{value} is not a date; write {options}",
    "field": "{value} is not a filter and is searched as a word; the filters are {options}",
    "other_field": "{value} is not a filter and is searched as a word; write {options}",
    "operator": "{value} is not an operator and is searched as a word; write words side by side, or a phrase in quotation marks",
    "wildcard": "{value}: only * at the end of a word stands for letters; write the beginning of the word and *",
    "quote": "The quotation mark before {value} is not closed, so all that follows is one phrase",
    "empty_period": "The day of after: is not before the day of before:, so the query finds nothing",
    "value": "{value} has no meaning; write {options}",
    "language": "{value} is not a language; write {options}",
    "prefix": "{value} begins too many words and is searched as a word; write at least three letters before *",
    "exclusions": "The query only excludes documents and finds nothing; add a word or a filter",
    "no_words": "The query has no word and finds nothing; write a word or a filter",
    "source": "Source {value} does not exist; write {options}",
    "empty_source": "The source {value} has no document yet",
    "tag": "You have no tag {value}; write {options}",
    "stored_language": "No document is in the language {value}",
    "stored_value": "No document has {value}; write {options}",
    "future": "The query asks for documents from {value} on, a time in the future",
    "oldest": "No document is so old; the oldest is of {value}",
    "newest": "No document is so new; the newest is of {value}",
    "marks": "New documents have no star, tag or note: this search matches only documents that change after you marked them",
    "period": "No document is of the period between after: and before:",
}


@dataclass(frozen=True, slots=True)
class QueryNote:
    """One thing that is wrong. `options`: what to write instead, or what there is."""

    kind: NoteKind
    value: str = ""
    options: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What is wrong and what to write, in English, without a full stop.

        >>> QueryNote("value", "doubtful:maybe", ("doubtful:yes", "doubtful:no")).message
        'doubtful:maybe has no meaning; write doubtful:yes or doubtful:no'
        """
        options = [f"{option}:" for option in self.options] if self.kind == "field" else list(self.options)
        listed = f"{', '.join(options[:-1])} or {options[-1]}" if len(options) > 1 else "".join(options)
        text = _MESSAGES[self.kind]
        if not options:
            text = text.removesuffix("; write {options}")
        return text.format(value=self.value, options=listed)
