"""Exports: complete, checked, resumed after a stop or a kill, and never outside their folder."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partialmethod
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from rows import FULL, NOON, SITE, after, page_of
from services import object_store
from warcio.archiveiterator import ArchiveIterator

from newsmill.archive.archive import Archive
from newsmill.archive.object_store import LocalStore
from newsmill.exceptions import ConfigError, ServiceError
from newsmill.exports import writer
from newsmill.exports.codebook import FIELD_TEXTS, compute_digest
from newsmill.exports.formats import find_format
from newsmill.exports.layouts import Layout, one_file_layout, partitioned_layout, text_files_layout, warc_layout
from newsmill.exports.manifest import MANIFEST_NAME, MAX_DISTINCT_VALUES, ExportedWeek, ExportPlan, Manifest, parse_manifest
from newsmill.exports.records import FIELDS
from newsmill.exports.target import ExportTarget, format_article_name, format_partition_name, format_text_name
from newsmill.exports.writer import LONG_SCAN_SECONDS, Export, ExportPosition, ExportScan, begin_export
from newsmill.model import Document
from newsmill.search.results import StoredHit
from newsmill.storage.changes import ChangePosition, RemovedDocument

PLAN = ExportPlan("jsonl")


def documents(count: int, start: int = 0) -> list[Document]:
    return [replace(FULL, id=f"{number:032x}", source=f"s{number % 3}") for number in range(start, start + count)]


class Shelf:
    """A search over a list; a cursor is an id."""

    def __init__(self, found: Iterable[Document]) -> None:
        self.found = found

    def iterate(self, query: str = "", *, since: str | datetime | None = None, fold: bool = False) -> Iterator[StoredHit]:
        return (StoredHit(one, NOON, one.id) for one in self.found if not isinstance(since, str) or one.id > since)


def reading(found: Iterable[Document], place: ExportPosition) -> ExportScan:
    return ExportScan(Shelf(found), ExportPlan("jsonl"), place)


def never() -> bool:
    return False


def export(where: str | Path, found: list[Document], layout: Layout | None = None, plan: ExportPlan = PLAN, **how: Any) -> Manifest:
    options, stop, advance = how.pop("options", None), how.pop("stop", never), how.pop("advance", lambda more: None)
    target = ExportTarget(str(where), options)
    with target.lock():
        read_removed = how.pop("read_removed", lambda _: iter(()))
        stand = begin_export(target, plan, **how)
        weeks = lambda names: {name: (ExportedWeek(date(2026, 11, 23), 401, 2, 0.01),) for name in names}  # noqa: E731
        chosen = layout or one_file_layout(find_format("jsonl"))
        job = Export(target, chosen, stand, now=lambda: datetime.now(UTC), version="1", read_weeks=weeks, read_removed=read_removed)
        return job.run(reading(found, stand.place), stop=stop, advance=advance)


def ids(folder: Path, pattern: str = "data/part-*.jsonl") -> list[str]:
    return [json.loads(line)["id"] for path in sorted(folder.glob(pattern)) for line in path.read_bytes().split(b"\n")[:-1]]


def test_the_readme_of_an_archive_without_sources_names_its_sites(tmp_path: Path) -> None:
    pages = [("https://www.one.example/a", "en"), ("https://m.one.example/b", "en-GB"), ("https://two.example/c", "en-US")]
    found = [replace(one, source=None, url=url, language=language) for one, (url, language) in zip(documents(3), pages, strict=True)]
    result = export(tmp_path / "out", found)
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| one.example | 2 |\n| two.example | 1 |" in readme and "## Sources" not in readme
    assert "| en (en-GB, en-US) | 3 |" in readme
    assert (result.summary.sources, result.summary.languages) == ({}, {"en": 1, "en-GB": 1, "en-US": 1})


def test_a_manifest_says_what_is_there(tmp_path: Path) -> None:
    found = export(tmp_path / "out", documents(10))
    written = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    readme = (tmp_path / "out" / "README.md").read_text()
    assert f"`sha256:{compute_digest(parse_manifest(json.dumps(written).encode(), ''))}`" in readme
    assert set(FIELD_TEXTS) == {*FIELDS, "markdown", "fingerprint"}
    assert (written["complete"], written["documents"], written["parts"], written["place"]["cursor"]) == (True, 10, 1, f"{9:032x}")
    assert written["summary"]["sources"] == {"s0": 4, "s1": 3, "s2": 3}
    assert written["completeness"]["s1"] == [{"week": "2026-11-23", "articles": 401, "late": 2, "at_most": 0.01, "unknown": None}]
    assert sorted(written["completeness"]) == ["s0", "s1", "s2"]
    assert written["summary"]["free"] == {"false": 10}
    assert written["summary"]["signals"] == {"robots: noarchive": 10, "tdm: 1": 10}
    assert written["runs"][0]["newsmill"] == "1"
    for file in found.files:
        content = (tmp_path / "out" / file.file).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert ids(tmp_path / "out") == [document.id for document in documents(10)]


def test_removed_documents_are_listed(tmp_path: Path) -> None:
    removed = [RemovedDocument(f"{number:032x}", "s1", NOON + timedelta(seconds=number)) for number in (1, 4)]

    def read_removed(cursor: str | None) -> Iterator[RemovedDocument]:
        return (one for one in removed if cursor is None or one.place > ChangePosition.of(cursor))

    export(tmp_path, documents(5))
    first = export(tmp_path, documents(6), since_last=True, read_removed=read_removed)
    assert [file.file for file in first.files][1:] == ["data/part-00002.jsonl", "removed/part-00003.jsonl"]
    assert ids(tmp_path, "removed/*.jsonl") == [one.id for one in removed]
    assert export(tmp_path, documents(6), since_last=True, read_removed=read_removed).files == first.files
    removed.append(RemovedDocument("5" * 32, None, NOON + timedelta(days=1)))
    last = export(tmp_path, documents(6), since_last=True, read_removed=read_removed)
    assert (last.files[-1].file, last.documents) == ("removed/part-00004.jsonl", 6)
    assert json.loads((tmp_path / last.files[-1].file).read_text())["id"] == "5" * 32
    export(tmp_path, documents(1), overwrite=True)
    assert not list(tmp_path.glob("removed/*"))


def test_only_what_is_new_since_the_last_one(tmp_path: Path) -> None:
    export(tmp_path, documents(4), since_last=True)
    with pytest.raises(ConfigError, match="--since-last adds newer documents"):
        export(tmp_path, documents(6))
    found = export(tmp_path, documents(6), since_last=True)
    assert (found.documents, [file.documents for file in found.files], [one.documents for one in found.runs]) == (6, [4, 2], [4, 2])
    assert ids(tmp_path) == [document.id for document in documents(6)]
    assert len(export(tmp_path, documents(6), since_last=True).files) == 2
    with pytest.raises(ConfigError, match="an export with other options"):
        export(tmp_path, documents(6), plan=ExportPlan("jsonl", query="harbour"), since_last=True)
    assert export(tmp_path, documents(2), plan=ExportPlan("jsonl", query="harbour"), overwrite=True).documents == 2
    assert ids(tmp_path) == [document.id for document in documents(2)]


def test_a_stopped_export_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_PART_DOCUMENTS", 4)
    done = Counter[str]()
    stopped = export(tmp_path, documents(10), stop=lambda: done["documents"] >= 6, advance=lambda more: done.update(documents=more))
    assert (stopped.complete, stopped.documents, stopped.parts) == (False, 6, 2)
    assert export(tmp_path, documents(10)).complete
    assert ids(tmp_path) == [document.id for document in documents(10)]


def test_a_killed_export_leaves_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between a part's files and the manifest, and in the middle of a file."""
    monkeypatch.setattr(writer, "MAX_PART_DOCUMENTS", 3)
    by_source = partitioned_layout(find_format("jsonl"), "source")
    plan = ExportPlan("jsonl", partition="source")
    real, saved = ExportTarget.save_manifest, []

    def dies(target: ExportTarget, stand: Manifest) -> None:
        saved.append(stand)
        if stand.parts == 2:
            raise KeyboardInterrupt
        real(target, stand)

    monkeypatch.setattr(ExportTarget, "save_manifest", dies)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path, documents(7), by_source, plan)
    monkeypatch.setattr(ExportTarget, "save_manifest", real)
    (tmp_path / "data" / "by_source=gone").mkdir()
    (tmp_path / "data" / "by_source=gone" / "part-00002.jsonl").write_text("{}\n")
    (tmp_path / "data" / "part-00002.jsonl.tmp").write_text('{"half')
    export(tmp_path, documents(7), by_source, plan)
    assert sorted(ids(tmp_path, "data/*/part-*.jsonl")) == [document.id for document in documents(7)]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_kill_before_the_first_part_leaves_a_folder_that_the_same_command_fills(tmp_path: Path) -> None:
    (tmp_path / "manifest.json.tmp").write_bytes(b'{"plan"')
    assert export(tmp_path, documents(2)).complete
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("before", ["jsonl", "text"])
def test_a_kill_while_an_export_is_replaced_leaves_nothing_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Killed after each step of the replacement. The same command resumes it, and so does the one without --overwrite."""
    monkeypatch.setattr(writer, "MAX_PART_DOCUMENTS", 2)
    old = text_files_layout(find_format("text")) if before == "text" else None
    real_remove, real_save = LocalStore.remove, ExportTarget.save_manifest
    for steps, how in itertools.product(range(4), ({}, {"overwrite": True})):
        out, left = tmp_path / f"{steps}-{len(how)}", iter(range(steps))

        def step(work: Callable[..., None], *arguments: Any, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            work(*arguments)

        export(out, documents(6, start=100), old, ExportPlan(before))
        monkeypatch.setattr(LocalStore, "remove", partialmethod(lambda *given, step=step: step(real_remove, *given)))
        monkeypatch.setattr(ExportTarget, "save_manifest", partialmethod(lambda *given, step=step: step(real_save, *given)))
        with pytest.raises(KeyboardInterrupt):
            export(out, documents(2), overwrite=True)
        monkeypatch.setattr(LocalStore, "remove", real_remove)
        monkeypatch.setattr(ExportTarget, "save_manifest", real_save)
        if steps or how:  # without a step, the old export is complete
            assert export(out, documents(2), **how).complete
            assert {path.name for path in out.rglob("*") if path.is_file()} == {"README.md", "manifest.json", "part-00001.jsonl"}


def test_two_exports_into_one_folder(tmp_path: Path) -> None:
    with ExportTarget(str(tmp_path)).lock(), pytest.raises(ServiceError, match="another process writes there"):
        export(tmp_path, documents(1))


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for how in ({}, {"overwrite": True}):
        with pytest.raises(ConfigError, match="has files, but no manifest of an export"):
            export(tmp_path, documents(1), **how)
    (tmp_path / MANIFEST_NAME).write_text('{"some": "thing"}')
    with pytest.raises(ConfigError, match="is not the manifest of an export"):
        export(tmp_path, documents(1), overwrite=True)
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / "thesis.txt").unlink()
    export(tmp_path, documents(1))
    (tmp_path / "thesis.txt").write_text("years of work")
    export(tmp_path, documents(1), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_markdown_files_are_called_by_day_and_title(tmp_path: Path) -> None:
    titles = ("../../etc/passwd", "日本" * 99, None, "\udcff\0 A  title!", "con")
    found = [replace(FULL, id=f"{number:032x}", title=title) for number, title in enumerate(titles)]
    found.append(replace(FULL, id="f" * 32, published_at=None, published_day=None, title="x"))
    export(tmp_path, found, text_files_layout(find_format("markdown")), ExportPlan("markdown"))
    names = sorted(str(path.relative_to(tmp_path / "data")) for path in tmp_path.rglob("data/*/*"))
    day = "2026-11/2026-11-24"
    wanted = [f"{day}-00000002.md", f"{day}-a-title-00000003.md", f"{day}-con-00000004.md", f"{day}-etc-passwd-00000000.md"]
    assert names == [*wanted, f"{day}-{'日本' * 25}-00000001.md", "undated/x-ffffffff.md"]
    export(tmp_path, found[:1], text_files_layout(find_format("markdown")), ExportPlan("markdown"), overwrite=True)
    assert len(list(tmp_path.rglob("data/*/*"))) == 1, "an overwritten export leaves no file"


def test_partitions(tmp_path: Path) -> None:
    found = [
        replace(FULL, id="a" * 32, published_day="2026-11-25", source="../../etc"),
        replace(FULL, id="b" * 32, published_day=None, source=None),
        replace(FULL, id="c" * 32, published_day=None, published_at=None, source="x" * 300),
    ]
    for by in ("day", "month", "source"):
        export(tmp_path / by, found, partitioned_layout(find_format("parquet"), by), ExportPlan("parquet", partition=by))
    assert sorted(path.name for path in tmp_path.glob("day/data/by*")) == [
        "by_day=2026-11-24",
        "by_day=2026-11-25",
        format_partition_name("day", None)[5:],
    ]
    assert sorted(path.name for path in tmp_path.glob("month/data/by*")) == ["by_month=2026-11", format_partition_name("month", None)[5:]]
    names = sorted(path.name for path in tmp_path.glob("source/data/by*"))
    assert names == ["by_source=..%2F..%2Fetc", format_partition_name("source", None)[5:], f"by_source={'x' * 200}"]
    assert not list(tmp_path.rglob("etc"))

    import duckdb
    import pandas
    import polars

    glob = f"{tmp_path}/day/data/*/*.parquet"
    rows = duckdb.sql(f"SELECT by_day, count(*) FROM read_parquet('{glob}', hive_partitioning=true) GROUP BY 1 ORDER BY 1").fetchall()
    assert [(str(day), count) for day, count in rows] == [("2026-11-24", 1), ("2026-11-25", 1), ("None", 1)]
    assert set(pandas.read_parquet(tmp_path / "day" / "data", filters=[("by_day", "=", "2026-11-25")])["id"]) == {"a" * 32}
    assert polars.read_parquet(glob, hive_partitioning=True).shape[0] == 3


def test_texts_are_called_by_their_ids(tmp_path: Path) -> None:
    found = documents(3)
    plan = ExportPlan("text")
    layout = text_files_layout(find_format("text"))
    export(tmp_path, found, layout, plan)
    assert (tmp_path / "data" / "00" / f"{2:032x}.txt").read_text() == FULL.text + "\n"
    index = [json.loads(line) for line in (tmp_path / "index" / "part-00001.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in index] == [document.id for document in found]
    for entry in index:
        assert hashlib.sha256((tmp_path / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    for name in ("../../etc/passwd", "A" * 32, "", "a" * 31 + "\n", "a" * 33):
        with pytest.raises(ValueError, match="is not a document id"):
            format_text_name(name, ".txt")
        with pytest.raises(ValueError, match="is not a document id"):
            format_article_name(name, None, None, ".md")
    export(tmp_path, found[:1], layout, plan, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*.txt")] == [f"{0:032x}.txt"]


def test_pages_as_they_lie_in_the_archive(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path / "archive"))
    zipped = page_of(f"{SITE}/b", gzip.compress(b"<p>b" * 50), headers=(("Content-Encoding", "gzip"),))
    segments = [archive.write([page_of(f"{SITE}/a", b"<p>a"), zipped], now=NOON), archive.write([page_of(f"{SITE}/c")], now=NOON)]
    places = [f"{segment.id}@{offset}" for segment in segments for offset in segment.offsets]
    found = [
        replace(FULL, id=f"{number:032x}", archive_ref=place) for number, place in enumerate([*places, None, f"{places[0]}9", "../x@0"])
    ]
    result = export(tmp_path / "out", found, warc_layout(archive, NOON), ExportPlan("warc"))
    assert (result.missing_count, [missing.id[-1] for missing in result.missing], result.files[0].documents) == (3, ["3", "4", "5"], 3)
    records = []
    with (tmp_path / "out" / "data" / "part-00001.warc.gz").open("rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            records.append((record.rec_type, record.rec_headers.get_header("WARC-Target-URI"), record.raw_stream.read()))
    assert [kind for kind, _, _ in records] == ["warcinfo", *["response", "request", "metadata"] * 3]
    assert [url for kind, url, _ in records if kind == "response"] == [f"{SITE}/{name}" for name in "abc"]
    lines = (tmp_path / "out" / "data" / "part-00001.warc.gz").read_bytes()
    original = next((tmp_path / "archive").rglob(f"{segments[1].id}*")).read_bytes()
    assert original[segments[1].offsets[0] :] in lines


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with object_store() as url:
        yield {"endpoint_url": url, "key": "k", "secret": "s"}


def test_an_object_store(s3: dict[str, str]) -> None:
    urlopen(Request(f"{s3['endpoint_url']}/bucket", method="PUT")).close()
    url = "s3://bucket/some/prefix/"
    export(url, documents(3), options=s3)
    export(url, documents(5), since_last=True, options=s3)
    with pytest.raises(ConfigError, match="complete"):
        export(url, documents(5), options=s3)
    import fsspec

    files = fsspec.filesystem("s3", **s3)
    assert sorted(files.find("bucket/some/prefix")) == [
        f"bucket/some/prefix/{name}" for name in ("README.md", "data/part-00001.jsonl", "data/part-00002.jsonl", "manifest.json")
    ]
    assert files.cat_file("bucket/some/prefix/data/part-00002.jsonl").count(b"\n") == 2
    with pytest.raises(ConfigError, match="no manifest of an export"):
        export("s3://bucket/some", documents(1), options=s3)
    export(url, documents(1), overwrite=True, options=s3)
    assert len(files.find("bucket/some/prefix", refresh=True)) == 3


@pytest.mark.parametrize(("name", "by"), [("jsonl", None), ("csv", "source"), ("parquet", None), ("jsonld", None)])
def test_memory_stays_flat(tmp_path: Path, name: str, by: str | None) -> None:
    """20 MB of text."""
    form = find_format(name)
    layout = one_file_layout(form) if by is None else partitioned_layout(form, by)
    one = replace(FULL, text="word " * 4000, source="s")
    many = (replace(one, id=f"{number:032x}", source=f"s{number % 7}") for number in range(1000))

    def run(folder: str, found: Iterable[Document]) -> int:
        target = ExportTarget(str(tmp_path / folder))
        job = Export(target, layout, begin_export(target, ExportPlan(name)), now=lambda: NOON, version="1")
        return job.run(reading(found, ExportPosition()), stop=never, advance=lambda more: None).documents

    assert run("first", [one]) == 1  # its imports are not what is measured
    tracemalloc.start()
    try:
        assert run("second", many) == 1000
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()


def test_what_pages_state_does_not_flood_the_manifest(tmp_path: Path) -> None:
    strange = [replace(document, license=f"{number} " + "x" * 1000) for number, document in enumerate(documents(500))]
    result = export(tmp_path, strange)
    assert len(result.summary.licenses) <= MAX_DISTINCT_VALUES + 1
    assert sum(result.summary.licenses.values()) == 500
    assert (tmp_path / MANIFEST_NAME).stat().st_size < 100_000


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        export(tmp_path / "file", documents(1))
    with pytest.raises(ServiceError, match="export to"):
        export(tmp_path / "file" / "folder", documents(1))
    for unusable in ("/proc/newsmill", str(tmp_path / ("a" * 300))):
        with pytest.raises(ServiceError, match="export to"):
            export(unusable, documents(1))
    with pytest.raises(ConfigError, match="--to"):
        ExportTarget("nonsense://somewhere")


class Store:
    """A search over names and when they were stored; a cursor is a name."""

    def __init__(self, **shelf: datetime) -> None:
        self.shelf = shelf

    def iterate(self, query: str = "", *, since: str | datetime | None = None, fold: bool = False) -> Iterator[StoredHit]:
        found = sorted((at, name) for name, at in self.shelf.items())
        behind = (self.shelf[since], since) if isinstance(since, str) else (datetime.min.replace(tzinfo=UTC), "")
        return (StoredHit(replace(FULL, id=name), at, name) for at, name in found if (at, name) > behind)


def test_a_run_goes_on_behind_the_last_one() -> None:
    store = Store(a=NOON, b=after(seconds=1))

    def read(place: ExportPosition) -> tuple[list[str], ExportPosition]:
        stream = ExportScan(store, ExportPlan("jsonl"), place)
        return [stored.cursor for stored in stream], stream.place

    found, place = read(ExportPosition())
    assert (found, place) == (["a", "b"], ExportPosition("b"))
    assert read(place) == ([], place)
    store.shelf["c"] = after(seconds=2)
    assert read(place) == (["c"], ExportPosition("c"))


def test_what_comes_during_a_long_reading_comes_with_it() -> None:
    store, times = Store(a=NOON), iter([0.0, LONG_SCAN_SECONDS, LONG_SCAN_SECONDS, LONG_SCAN_SECONDS + 1])

    class Growing(Store):
        def iterate(self, query: str = "", *, since: str | datetime | None = None, fold: bool = False) -> Iterator[StoredHit]:
            yield from list(store.iterate(query, since=since))
            store.shelf["b"] = after(minutes=2)

    stream = ExportScan(Growing(), ExportPlan("jsonl"), ExportPosition(), lambda: next(times))
    assert [stored.cursor for stored in stream] == ["a", "b"]
    assert stream.place == ExportPosition("b")
