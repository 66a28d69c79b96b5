"""The documents that Ray, Spark and datatrove read from WARC files, as rows.

An engine is real where it is installed. Elsewhere, the functions that it would call in its tasks are called here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from newsmill.engines import ray as ray_job
from newsmill.engines import spark as spark_job
from newsmill.engines.job import prepare

Rows = list[dict[str, Any]]


def read_with_engines(files: Sequence[Path], folder: Path) -> Iterator[tuple[str, Rows]]:
    """The name of each engine, and the rows that its job gives."""
    yield "ray", read_with_ray(files, folder)
    yield "spark", read_with_spark(files, folder)
    if find_spec("datatrove") is not None:
        from newsmill.engines.datatrove import NewsmillReader

        reader = NewsmillReader(files, folder)
        ranks = [document for rank in range(2) for document in reader.run(rank=rank, world_size=2)]
        yield "datatrove", [{"id": document.id, "text": document.text, **document.metadata} for document in ranks]


def read_with_ray(files: Sequence[Path], folder: Path) -> Rows:
    if find_spec("ray") is None:
        job = prepare(files, folder, None)
        tables = list(ray_job._extract(job, pyarrow.table({"source": list(job.sources)})))
    else:
        import ray

        tables = ray.get(ray_job.read_documents(files, folder).to_arrow_refs())
    return pyarrow.concat_tables(tables).to_pylist()  # type: ignore[no-any-return]


def read_with_spark(files: Sequence[Path], folder: Path) -> Rows:
    if find_spec("pyspark") is None:
        job = prepare(files, folder, None)
        batches = spark_job.extract_partition(job, [pyarrow.table({"id": range(len(files))}).to_batches()[0]])
        return pyarrow.Table.from_batches(batches).to_pylist()  # type: ignore[no-any-return]
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
        return spark_job.read_documents(session, files, folder).toArrow().to_pylist()  # type: ignore[no-any-return]
