"""WARC files as the first step of a datatrove pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from newsmill.batch.options import BatchOptions
from newsmill.engines.job import prepare, require_engine

require_engine("datatrove", "datatrove")

from datatrove.data import Document  # noqa: E402  # the line above says in one sentence what is missing
from datatrove.pipeline.base import PipelineStep  # noqa: E402


class NewsmillReader(PipelineStep):  # type: ignore[misc]  # datatrove publishes no types
    """Yields the documents of WARC files, which it extracts to a folder; each rank has its share of the files.

    It runs under datatrove's local, Slurm and Ray executors, whose markers say which ranks are complete. A rank that was stopped resumes
    with the file that it had not finished. Arguments and errors are those of `newsmill.engines.ray.read_documents`.
    """

    name = "Newsmill"
    type = "📖 - READER"

    def __init__(
        self, sources: Iterable[str | os.PathLike[str]], folder: str | os.PathLike[str], options: BatchOptions | None = None
    ) -> None:
        super().__init__()
        self.job = prepare(sources, folder, options)

    def run(self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of this rank's files. `metadata` has the other columns of `newsmill.arrow_schema()`."""
        yield from data or ()
        for source in self.job.sources[rank::world_size]:
            with self.track_time("file"):
                counts, tables = self.job.extract(source)
            self.stat_update("files")
            for outcome, number in counts.outcomes.items():
                self.stat_update(outcome, value=number)
            for table in tables:
                for row in table.to_pylist():
                    document = make_document(row)
                    self.update_doc_stats(document)
                    yield document


def make_document(row: dict[str, Any]) -> Document:
    """The row of a document as datatrove has it."""
    metadata = dict(row)
    return Document(text=metadata.pop("text"), id=metadata.pop("id"), metadata=metadata)
