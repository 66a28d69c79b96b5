"""The case collections beside the checkout, read in place: one JSON object a line, and the files it names."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]


@pytest.fixture(scope="session")
def cases(shared: Path) -> Callable[..., list[Case]]:
    """The cases of a collection; `bodies` of a case are its files' bytes, read on demand."""

    def load(collection: str, kind: str | None = None) -> list[Case]:
        folder = shared / "cases" / collection
        rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text("utf-8").splitlines()]
        return [row | {"folder": folder} for row in rows if kind is None or row["kind"] == kind]

    return load


@pytest.fixture(scope="session")
def body() -> Callable[..., bytes]:
    """The bytes of one of a case's files, the first when none is named."""

    def read(case: Case, name: str | None = None) -> bytes:
        path = case["folder"] / (case["files"][name] if name else next(iter(case["files"].values())))
        packed = json.loads((case["folder"] / "manifest.json").read_text("utf-8"))["files_gzipped"]
        return gzip.decompress(path.read_bytes()) if packed else path.read_bytes()

    return read
