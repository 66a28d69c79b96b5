"""The jobs of the guides are run as written: documents and outcomes equal those of `extract_file`, in at most ten lines.

datatrove and multiprocessing are real. Ray and Spark are real where they are installed, as in the nightly run, which sets
NEWSMILL_ENGINES=real; elsewhere a stand-in calls what they are given. A real engine runs in a process of its own, as a user starts
it: the processes it forks would inherit the threads and signal handlers of the tests that ran before.
"""

from __future__ import annotations

import gzip
import importlib
import os
import pickle
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from warc_records import list_bytes, record

import newsmill
from newsmill.batch import extract_file
from newsmill.engines.job import Job, prepare, require_engine
from newsmill.exceptions import ConfigError

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
TEXT = "".join((GUIDES / name).read_text(encoding="utf-8") for name in ("archives.md", "cookbook.md"))
JOBS = dict(re.findall(r'^```python title="(\w+)_job.py"\n(.*?)^```$', TEXT, re.DOTALL | re.MULTILINE))


def article(topic: str) -> bytes:
    text = "".join(f"<p>{number}. The {topic} decided on Tuesday that the bridge over the river is built again.</p>" for number in range(9))
    return record(f"https://paper.example/{topic}", f"<html lang=en><title>{topic}</title><article><h1>{topic}</h1>{text}".encode())


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files with two documents, with one, without any, and one that is no WARC file."""
    monkeypatch.chdir(tmp_path)
    bodies = ([article("council"), record("https://paper.example/gone", status=404), article("port")], [article("mayor")], [], [b"junk"])
    (tmp_path / "crawl").mkdir()
    paths = [tmp_path / "crawl" / f"{number}.warc.gz" for number in range(len(bodies))]
    for path, records in zip(paths, bodies, strict=True):
        path.write_bytes(b"".join(map(gzip.compress, records)))
    for path in paths:
        extract_file(path, tmp_path / "expected")
    return paths


def add_module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    return module


class StandIn:
    """A Ray dataset or a Spark data frame of tables. Each function and table is pickled, as on its way to another machine."""

    def __init__(self, tables: list[Any]) -> None:
        self.tables = tables

    def map_batches(self, function: Callable[[Any], Iterator[Any]], **options: Any) -> StandIn:
        return StandIn([found for table in self.tables for found in pickle.loads(pickle.dumps(function))(table)])

    def mapInArrow(self, function: Callable[[Iterator[Any]], Iterator[Any]], schema: Any) -> StandIn:  # noqa: N802  # Spark's name
        batches = [found for table in self.tables for found in pickle.loads(pickle.dumps(function))(iter(table.to_batches()))]
        return StandIn([pyarrow.Table.from_batches([batch]) for batch in batches])

    def count(self) -> int:
        assert all(table.schema.equals(newsmill.arrow_schema(), check_metadata=True) for table in self.tables)
        return sum(table.num_rows for table in self.tables)


def use_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_items(items: list[dict[str, str]], override_num_blocks: int) -> StandIn:
        return StandIn([pyarrow.Table.from_pylist([item]) for item in items])

    data = add_module(monkeypatch, "ray.data", from_items=from_items)
    add_module(monkeypatch, "ray", data=data)


def use_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_range(start: int, end: int, step: int, partitions: int) -> StandIn:
        assert partitions == end
        return StandIn([pyarrow.table({"id": [number]}) for number in range(start, end, step)])

    session = SimpleNamespace(builder=SimpleNamespace(getOrCreate=lambda: SimpleNamespace(range=make_range)))
    for name in ("pyspark", "pyspark.sql.pandas"):
        add_module(monkeypatch, name)
    add_module(monkeypatch, "pyspark.sql", SparkSession=session)
    add_module(monkeypatch, "pyspark.sql.pandas.types", from_arrow_schema=lambda schema: schema)


STAND_INS = {"ray": ("ray", use_ray), "spark": ("pyspark", use_spark)}


@pytest.mark.slow
@pytest.mark.parametrize("engine", JOBS)
def test_a_job_gives_what_extract_file_gives(
    engine: str, sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if engine == "datatrove":
        pytest.importorskip("datatrove", reason="pip install 'newsmill[datatrove]'")
    is_real = engine not in STAND_INS or find_spec(STAND_INS[engine][0]) is not None
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    job = tmp_path / f"{engine}_job.py"
    job.write_text(JOBS[engine], encoding="utf-8")
    assert len([line for line in JOBS[engine].splitlines() if line.strip()]) <= 10
    if is_real:
        printed = subprocess.run([sys.executable, str(job)], check=True, stdout=subprocess.PIPE, text=True, timeout=240).stdout
    else:
        assert os.environ.get("NEWSMILL_ENGINES") != "real", f"{engine} is not installed"
        STAND_INS[engine][1](monkeypatch)
        runpy.run_path(str(job), run_name="__main__")
        printed = capfd.readouterr().out
    assert list_bytes(tmp_path / "corpus") == list_bytes(tmp_path / "expected")
    if engine in STAND_INS:
        assert printed.split()[-1] == "3"
    if engine == "datatrove":
        assert [path.name for path in sorted((tmp_path / "logs" / "completions").iterdir())] == ["00000", "00001"]
        found, expected = (pyarrow.parquet.read_table(tmp_path / name) for name in ("selection", "expected/documents"))
        assert found.schema.equals(newsmill.arrow_schema())
        assert sorted(found.to_pylist(), key=lambda row: row["id"]) == sorted(expected.to_pylist(), key=lambda row: row["id"])


def test_a_job_that_cannot_run_is_one_sentence_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for sources, message in (("a.warc", r"a list .*\['a.warc'\]"), ([], "empty"), (["s4://bucket/a.warc"], "s4")):
        with pytest.raises(ConfigError, match=message):
            prepare(sources, "corpus", None)
    assert not (tmp_path / "corpus").exists()
    job = prepare([Path("a.warc"), "a.warc"], "corpus", None)
    assert (job.sources, job.folder) == ((str(tmp_path / "a.warc"),), str(tmp_path / "corpus"))
    assert pickle.loads(pickle.dumps(job)) == job and isinstance(job, Job)
    with pytest.raises(ConfigError, match=r"newsmill.engines.spark needs no_such_engine: .*\[spark\]"):
        require_engine("no_such_engine", "spark")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for engine in ("ray", "spark"):
        assert importlib.import_module(f"newsmill.engines.{engine}")  # without its package
