"""WARC files as a Spark data frame of their documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from newsmill.batch.options import BatchOptions
from newsmill.engines.job import Job, prepare, require_engine
from newsmill.exports.parquet import arrow_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_documents(
    spark: SparkSession,
    sources: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    options: BatchOptions | None = None,
) -> DataFrame:
    """A data frame of the documents of WARC files. A partition is one file, and its task extracts it to `folder`.

    Spark extracts when the data frame is used. Files that are finished in the folder are not extracted again, so a second action only reads
    Parquet, and a job that was stopped resumes. Arguments and errors are those of `newsmill.engines.ray.read_documents`.
    """
    require_engine("pyspark", "spark")
    job = prepare(sources, folder, options)
    from pyspark.sql.pandas.types import from_arrow_schema

    numbers = spark.range(0, len(job.sources), 1, len(job.sources))
    return numbers.mapInArrow(partial(extract_partition, job), from_arrow_schema(arrow_schema()))


def extract_partition(job: Job, partition: Iterable[Any]) -> Iterator[Any]:
    """The record batches of documents of a partition, whose record batches have the numbers of sources."""
    for batch in partition:
        for number in batch.column(0).to_pylist():
            _, tables = job.extract(job.sources[number])
            for table in tables:
                yield from table.to_batches()
