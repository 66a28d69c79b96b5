"""The table of document fields says of each field what its dataclasses say."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from newsmill.client.search_hits import SearchHit
from newsmill.model import Document, Revision
from newsmill.model.document_fields import BY_NAME, DOCUMENT_FIELDS, FieldType, Use, list_fields
from newsmill.search.results import Hit

ANNOTATIONS = {
    **dict.fromkeys((FieldType.TEXT, FieldType.URL, FieldType.DAY), "str"),
    FieldType.TIME: "datetime",
    FieldType.NUMBER: "int",
    FieldType.FRACTION: "float",
    FieldType.FLAG: "bool",
    FieldType.TEXTS: "tuple[str, ...]",
    FieldType.PAIRS: "Mapping[str, str]",
    FieldType.AUTHORS: "tuple[Author, ...]",
    FieldType.BLOCKS: "tuple[Block, ...]",
    FieldType.IMAGES: "tuple[Image, ...]",
    FieldType.UPDATES: "tuple[LiveUpdate, ...]",
}


def annotations(shape: Any) -> dict[str, str]:
    """The types of the fields; `Detail` is a text that may be a sentence."""
    return {field.name: str(field.type).replace("Detail", "str") for field in fields(shape)}


def test_the_table_agrees_with_the_document() -> None:
    described = {one.name: ANNOTATIONS[one.type] + (" | None" if one.is_nullable else "") for one in DOCUMENT_FIELDS if not one.derived}
    assert described == annotations(Document)
    assert len(BY_NAME) == len(DOCUMENT_FIELDS)
    assert all((one.english is None) == (one.german is None) for one in DOCUMENT_FIELDS)


def test_revisions_have_the_fields_that_the_table_gives_them() -> None:
    kept = {name: kind for name, kind in annotations(Revision).items() if name not in ("document_id", "revision", "stored_at")}
    assert kept == {name: annotations(Document)[name] for name in list_fields(Use.REVISION)}


def test_hits_have_the_fields_that_the_table_gives_them() -> None:
    for shape in (Hit, SearchHit):
        assert set(list_fields(Use.HIT)) == set(annotations(shape)) & set(BY_NAME)
