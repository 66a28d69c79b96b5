"""Notes on a query: what was not understood, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
    "spelling",
    "near",
]

_MESSAGES: Mapping[str, str] = {
    "cut": "The query is longer than {value} characters; the rest is not searched",
    "items": "The query has more than {value} words and filters; the rest is not searched",
    "date": "{value} is not a date; write {options}",
    "field": "{value} is not a filter and is searched as a word; the filters are {options}",
    "other_field": "{value} is not a filter and is searched as a word; write {options}",
    "operator": '{value} is not an operator and is searched as a word; write words side by side, "a phrase" or word NEAR/5 word',
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
    "near": "{value} is left out; write one word on each side of it",
    "spelling": "{value} also finds {options}; write ={value} for this spelling alone",
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
