"""One run of an export: part after part, each recorded in the manifest once its files are on disk. After a kill the next run resumes.

Over several runs, no document is omitted and none is written twice. A run ends with the IDs of documents that were removed. A layout
writes the files of one part: one file, one per day or source, one per document, or a WARC file of their pages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import BinaryIO

from newsmill.exceptions import ConfigError
from newsmill.exports.codebook import CODEBOOK_NAME, render_codebook
from newsmill.exports.layouts import Layout, WrittenFiles
from newsmill.exports.manifest import (
    MAX_LISTED_MISSING,
    ExportedWeek,
    ExportPlan,
    ExportPosition,
    ExportRun,
    FieldCounts,
    Manifest,
)
from newsmill.exports.target import (
    REMOVED_FOLDER,
    ExportTarget,
    format_part_name,
)
from newsmill.model import Document
from newsmill.search.results import StoredHit
from newsmill.search.search import Search
from newsmill.storage.changes import RemovedDocument

MAX_PART_DOCUMENTS = 50_000
MAX_PART_CHARACTERS = 400_000_000  # of texts: a file of about half a gigabyte
LONG_SCAN_SECONDS = 60.0  # a longer scan is followed by another, for documents stored meanwhile


def begin_export(target: ExportTarget, plan: ExportPlan, *, since_last: bool = False, overwrite: bool = False) -> Manifest:
    """The manifest to resume from; an empty one for a new export. Raises ConfigError if one has another plan or is complete."""
    existing = target.manifest()
    if existing is None or overwrite:
        existing = Manifest(plan)
        target.save_manifest(existing)  # before the files of the old export are removed: after a kill, this one resumes
    elif existing.plan != plan:
        raise ConfigError(f"--to {target.url} has an export with other options ({_describe_plan(existing.plan)}); --overwrite replaces it")
    elif existing.complete and not since_last:
        raise ConfigError(f"--to {target.url} has a complete export; --since-last adds newer documents, --overwrite starts again")
    if not existing.complete:
        target.remove_unfinished(above=existing.parts)
    return existing


class Export:
    """Writes documents into a claimed target."""

    def __init__(
        self,
        target: ExportTarget,
        layout: Layout,
        state: Manifest,
        *,
        now: Callable[[], datetime],
        version: str,
        read_weeks: Callable[[Collection[str]], Mapping[str, tuple[ExportedWeek, ...]]] = lambda _: {},
        read_removed: Callable[[str | None], Iterator[RemovedDocument]] = lambda _: iter(()),
    ) -> None:
        """`state` is from `begin_export`; `version` is the program's; `read_weeks` returns the completeness of sources, and `read_removed`
        the documents that were removed after a cursor."""
        self._read_weeks = read_weeks
        self._read_removed = read_removed
        self._target = target
        self._layout = layout
        self._state = state
        self._now = now
        self._run = ExportRun(now(), now(), 0, version)

    def run(self, documents: ExportScan, *, stop: Callable[[], bool], advance: Callable[[int], None]) -> Manifest:
        """Write all documents, or until `stop()`. Returns the manifest. `documents` must begin at the manifest's position.

        `advance` is called with 1 for each document. Raises ServiceError; files in the last manifest are on disk.
        """
        self._save(replace(self._state, complete=False))
        while (first := next(documents, None)) is not None:
            part = ExportPart(chain([first], documents), stop, advance)
            written = self._layout(self._target, self._state.parts + 1, part)
            self._save(self._after(part, written, documents.place))
            if stop():
                return self._state
        self._write_removed()
        weeks = self._read_weeks(self._state.summary.sources)
        complete = self._with_run(replace(self._state, complete=True, place=documents.place, completeness=weeks))
        self._target.put(CODEBOOK_NAME, 0, lambda out: out.write(render_codebook(complete).encode()))
        self._save(complete)
        return self._state

    def _write_removed(self) -> None:
        """removed/part-00002.jsonl: the IDs of documents that were removed since the last run, if there are any."""
        removed = self._read_removed(self._state.removed_until)
        if (first := next(removed, None)) is None:
            return
        last, number = first, self._state.parts + 1

        def fill(out: BinaryIO) -> None:
            nonlocal last
            for last in chain([first], removed):
                line = {"id": last.id, "source": last.source, "removed_at": last.removed_at.isoformat()}
                out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

        file = self._target.put(format_part_name(REMOVED_FOLDER, number, ".jsonl"), 0, fill)
        self._save(replace(self._state, parts=number, files=(*self._state.files, file), removed_until=last.cursor))

    def _after(self, part: ExportPart, written: WrittenFiles, place: ExportPosition) -> Manifest:
        before = self._state
        self._run = replace(self._run, documents=self._run.documents + part.documents)
        return replace(
            before,
            place=place,
            documents=before.documents + part.documents,
            parts=before.parts + 1,
            files=before.files + written.files,
            missing_count=before.missing_count + len(written.missing),
            missing=(before.missing + written.missing)[:MAX_LISTED_MISSING],
            summary=part.counts.add_to(before.summary),
        )

    def _save(self, state: Manifest) -> None:
        self._state = self._with_run(state)
        self._target.save_manifest(self._state)

    def _with_run(self, state: Manifest) -> Manifest:
        runs = tuple(run for run in state.runs if run.started_at != self._run.started_at)
        return replace(state, runs=(*runs, replace(self._run, ended_at=self._now())))


class ExportPart:
    """The documents of one part and their counts. Ends when the part is large enough, or when `stop()`."""

    def __init__(self, documents: Iterator[StoredHit], stop: Callable[[], bool], advance: Callable[[int], None]) -> None:
        self._source = documents
        self._stop = stop
        self._advance = advance
        self.documents = 0
        self.counts = FieldCounts()

    def __iter__(self) -> Iterator[Document]:
        characters = 0
        for stored in self._source:
            document = stored.document
            self.documents += 1
            self.counts.add(document)
            characters += len(document.text)
            yield document
            self._advance(1)
            if self.documents >= MAX_PART_DOCUMENTS or characters >= MAX_PART_CHARACTERS or self._stop():
                return


def _describe_plan(plan: ExportPlan) -> str:
    words = [f"--format {plan.format}"]
    words += [f"--as {plan.names}"] if plan.names else []
    words += [f"--partition {plan.partition}"] if plan.partition else []
    words += [f"--since {plan.since:%Y-%m-%dT%H:%M:%S}"] if plan.since else []
    words += [f"--live-updates {plan.live_updates}"] if plan.live_updates else []
    words += [f"--include {name}" for name in plan.include]
    words += ["--fold"] if plan.fold else []
    words += [f"--as-of {plan.as_of.isoformat()}"] if plan.as_of else []
    return " ".join([repr(plan.query) if plan.query else "every document", *words])


class ExportScan:
    """An iterator over the matches of a query that are not written yet. `place` is always where the next run resumes."""

    def __init__(self, search: Search, plan: ExportPlan, place: ExportPosition, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._search = search
        self._plan = plan
        self._clock = clock
        self._cursor = place.cursor
        self._hits = self._scan()

    def __iter__(self) -> Iterator[StoredHit]:
        return self

    def __next__(self) -> StoredHit:
        return next(self._hits)

    @property
    def place(self) -> ExportPosition:
        return ExportPosition(self._cursor)

    def _scan(self) -> Iterator[StoredHit]:
        while True:
            began, is_empty = self._clock(), True
            for stored in self._search.iterate(self._plan.query, since=self._cursor or self._plan.since, fold=self._plan.fold):
                self._cursor = stored.cursor
                is_empty = False
                yield stored
            if is_empty or self._clock() - began < LONG_SCAN_SECONDS:
                return
