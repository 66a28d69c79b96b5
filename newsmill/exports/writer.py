"""One run of an export: part after part, each counted in the manifest once its files are safe. After a kill the next run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain

from newsmill.exceptions import ConfigError
from newsmill.exports.layouts import Layout, WrittenFiles
from newsmill.exports.manifest import MAX_LISTED_MISSING, ExportPlan, ExportRun, FieldCounts, Manifest
from newsmill.exports.scan import ExportPosition, ExportScan
from newsmill.exports.target import ExportTarget
from newsmill.model import Document
from newsmill.search import StoredHit

MAX_PART_DOCUMENTS = 50_000
MAX_PART_CHARACTERS = 400_000_000  # of texts: a file of about half a gigabyte


def begin_export(target: ExportTarget, plan: ExportPlan, *, since_last: bool = False, overwrite: bool = False) -> Manifest:
    """Where to go on: an empty manifest for a new export, else the one that is there. Raises ConfigError when it is another plan's,
    or complete and neither `since_last` nor `overwrite` says what to do."""
    found = target.manifest()
    if found is not None and overwrite:
        target.clear()
        found = None
    if found is None:
        target.save(Manifest(plan))
        return Manifest(plan)
    if found.plan != plan:
        raise ConfigError(
            f"--to {target.url}: there is an export of something else ({_describe_plan(found.plan)}); --overwrite replaces it"
        )
    if found.complete and not since_last:
        raise ConfigError(f"--to {target.url}: the export there is complete; --since-last adds what came since, --overwrite begins anew")
    if not found.complete:
        target.forget(above=found.parts)
    return found


class Export:
    """Writes documents into a claimed target."""

    def __init__(self, target: ExportTarget, layout: Layout, stand: Manifest, *, now: Callable[[], datetime], version: str) -> None:
        """`stand` is what `begin` gave; `version` the program's."""
        self._target = target
        self._layout = layout
        self._stand = stand
        self._now = now
        self._run = ExportRun(now(), now(), 0, version)

    def run(self, documents: ExportScan, *, stop: Callable[[], bool], advance: Callable[[int], None]) -> Manifest:
        """Write all of them, or until `stop()`; how things stand then. `documents` must begin at the manifest's place.

        `advance` is called with 1 for each document. Raises ServiceError; what the last manifest names is safe.
        """
        self._save(replace(self._stand, complete=False))
        while (first := next(documents, None)) is not None:
            part = ExportPart(chain([first], documents), stop, advance)
            written = self._layout(self._target, self._stand.parts + 1, part)
            self._save(self._after(part, written, documents.place))
            if stop():
                return self._stand
        self._save(replace(self._stand, complete=True, place=documents.place))
        return self._stand

    def _after(self, part: ExportPart, written: WrittenFiles, place: ExportPosition) -> Manifest:
        before = self._stand
        self._run = replace(self._run, documents=self._run.documents + part.documents)
        return replace(
            before,
            place=place,
            documents=before.documents + part.documents,
            parts=before.parts + 1,
            files=before.files + written.files,
            missing_count=before.missing_count + len(written.missing),
            missing=(before.missing + written.missing)[:MAX_LISTED_MISSING],
            summary=part.tally.onto(before.summary),
        )

    def _save(self, stand: Manifest) -> None:
        runs = tuple(run for run in stand.runs if run.started_at != self._run.started_at)
        self._stand = replace(stand, runs=(*runs, replace(self._run, ended_at=self._now())))
        self._target.save(self._stand)


class ExportPart:
    """The documents of one part, and what is to be said of them. Ends when it is large enough, or when somebody wants to stop."""

    def __init__(self, documents: Iterator[StoredHit], stop: Callable[[], bool], advance: Callable[[int], None]) -> None:
        self._source = documents
        self._stop = stop
        self._advance = advance
        self.documents = 0
        self.tally = FieldCounts()

    def __iter__(self) -> Iterator[Document]:
        characters = 0
        for stored in self._source:
            document = stored.document
            self.documents += 1
            self.tally.add(document)
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
    return " ".join([repr(plan.query) if plan.query else "every document", *words])
