"""The limit on the size of a document."""

from __future__ import annotations

from dataclasses import replace

from newsmill.model import Document, ExtractionResult, Outcome, OutcomeRecord
from newsmill.text.sentences import Sentence

MAX_DOCUMENT_CHARACTERS = 2_000_000  # of its text and its blocks, which repeat the text; a thick novel has as many


def limit_size(result: ExtractionResult) -> ExtractionResult:
    """The result; `too_large` without a document where the document is longer than MAX_DOCUMENT_CHARACTERS."""
    characters = 0 if result.document is None else count_characters(result.document)
    if characters <= MAX_DOCUMENT_CHARACTERS:
        return result
    detail = Sentence("a document of {n:,} characters; the cap is {max:,}", n=characters, max=MAX_DOCUMENT_CHARACTERS)
    return replace(result, ending=OutcomeRecord(Outcome.TOO_LARGE, detail), document=None)


def count_characters(document: Document) -> int:
    """Characters in the fields of a document that may be long, and one for each text: there may be many short ones."""
    texts = [document.title, document.description, document.text, *(block.text for block in document.blocks)]
    texts += [link.url for block in document.blocks if block.markup is not None for link in block.markup.links]
    texts += [update.text for update in document.live_updates]
    texts += [text for image in document.images for text in (image.url, image.caption, image.credit)]
    texts += [*document.tags, *document.warnings, *(author.name for author in document.authors)]
    texts += [text for pairs in (document.rights, document.provenance) for pair in pairs.items() for text in pair]
    return len(texts) + sum(len(text) for text in texts if text is not None)
