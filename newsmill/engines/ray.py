"""WARC files as a Ray dataset of their documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from newsmill.batch.options import BatchOptions
from newsmill.engines.job import Job, prepare, require_engine

if TYPE_CHECKING:
    import ray.data


def read_documents(
    sources: Iterable[str | os.PathLike[str]], folder: str | os.PathLike[str], options: BatchOptions | None = None
) -> ray.data.Dataset:
    """A dataset of the documents of WARC files. A task extracts one file, as `newsmill.batch.extract_file` does it, to `folder`.

    Ray extracts when the dataset is used. Files that are finished in the folder are not extracted again, so a job that was stopped resumes.

    Args:
        sources: Paths or URLs of files, which all machines can read.
        folder: The folder of the Parquet files of documents and outcomes, which all machines can write to, or s3://bucket/prefix.
        options: Filters, the default language and site profiles.

    Returns a dataset with the columns of `newsmill.arrow_schema()`. Raises ConfigError, before any work, for a job that cannot run.
    """
    require_engine("ray", "ray")
    job = prepare(sources, folder, options)
    import ray.data

    files = ray.data.from_items([{"source": source} for source in job.sources], override_num_blocks=len(job.sources))
    return files.map_batches(partial(_extract, job), batch_size=1, batch_format="pyarrow", num_cpus=1)


def _extract(job: Job, files: Any) -> Iterator[Any]:
    """The tables of documents of the files in a table of sources."""
    for source in files.column("source").to_pylist():
        _, tables = job.extract(source)
        yield from tables
