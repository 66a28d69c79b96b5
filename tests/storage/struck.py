"""What the processes of test_strikes.py do; a module of its own, because the process must be able to import it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import alembic.command  # noqa: F401 - loaded before the processes are forked, as the code that they kill
from rows import NOON, after
from strikes import arm

from newsmill.context import build_context
from newsmill.exports.parquet_reader import ParquetReader
from newsmill.intake.document_import import ImportOptions, import_part, list_parts
from newsmill.notifications.alerts import AlertSender, AlertWriter
from newsmill.storage import database, frozen_stores, past_documents, schema_version, story_decisions
from newsmill.storage.copies import back_up as back_up_store
from newsmill.storage.derived_files import DerivedFiles
from newsmill.storage.story_edits import StoryEdits


def take_down(options: dict[str, Any]) -> int:
    """`newsmill takedowns add`: the commit, and the erasure."""
    folder = Path(options["folder"])
    engine = database.connect(options.get("url") or f"sqlite:///{folder / 'newsmill.sqlite'}")
    app = build_context(engine, str(folder / "archive"), now=lambda: after(hours=1))
    arm(options["step"])
    app.takedowns.add([options["article"]], "letter 23", now=app.now())
    if options["erases"]:
        DerivedFiles(engine, folder / "past", folder / "images").erase()
        app.takedowns.erase(app.archive, now=app.now())
    return 0


def back_up(options: dict[str, Any]) -> int:
    """`newsmill backup`."""
    folder, target = Path(options["folder"]), Path(options["target"])
    arm(options["step"])
    back_up_store(folder / "newsmill.sqlite", folder / "archive", target)
    return 0


def upgrade(options: dict[str, Any]) -> int:
    """`newsmill db upgrade`."""
    engine = database.connect(options["url"])
    arm(options["step"])
    schema_version.upgrade(engine)
    return 0


def import_file(options: dict[str, Any]) -> int:
    """`newsmill import`."""
    folder = Path(options["folder"])
    engine = database.connect(options["url"])
    app = build_context(engine, str(folder / "archive"), now=lambda: after(hours=1))
    parts = list_parts([str(folder / "a.parquet")])
    arm(options["step"])
    with ParquetReader() as reader:
        for part in parts:
            import_part(app, reader, part, ImportOptions(replaces=True))
    return 0


def correct_stories(options: dict[str, Any]) -> int:
    """A merge and a split of stories, and the decision on the documents that changed."""
    engine = database.connect(options["url"])
    edits = StoryEdits(engine)
    arm(options["step"])
    kept = edits.merge(options["stories"], now=NOON)
    edits.split(kept, options["documents"], now=NOON)
    story_decisions.catch_up(engine, now=NOON)
    return 0


def match_stories(options: dict[str, Any]) -> int:
    """A round of the sender of alerts before it sends: stories are matched, and messages begun."""
    app = build_context(database.connect(options["url"]), str(Path(options["folder"]) / "archive"))
    sender = AlertSender(app, cast(AlertWriter, None))
    arm(options["step"])
    sender.prepare(after(hours=24))
    return 0


def erase_derived_files(options: dict[str, Any]) -> int:
    """What a process erases from the files of its machine after a takedown on another one."""
    engine, folder = database.connect(options["url"]), Path(options["folder"])
    arm(options["step"])
    DerivedFiles(engine, folder / "past", folder / "images").apply_takedowns()
    return 0


def freeze_store(options: dict[str, Any]) -> int:
    """The store of a past time with its index, as `export --as-of` makes it."""
    engine = database.connect(options["url"])
    at = past_documents.settle(engine, None, now=after(hours=24))
    arm(options["step"])
    frozen_stores.freeze(engine, Path(options["folder"]), at, with_index=True).dispose()
    return 0
