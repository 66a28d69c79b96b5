"""Other people's broken archives, names that climb out of folders, and 3,500 strings that want to be code: data, every one."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rows import HOST, NOON, SITE, Mill

from newsmill.archive import warc
from newsmill.archive.archive import Archive
from newsmill.exceptions import ArchiveDamaged, UrlError
from newsmill.model import Hint, Link, Page
from newsmill.storage.ledger import Ledger
from newsmill.text import urls

Read = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rows(shared: Path) -> Read:
    return lambda name: [json.loads(line) for line in (shared / "cases" / name / "cases.jsonl").read_text("utf-8").splitlines()]


def test_foreign_and_broken_archives_are_damaged_or_pages(rows: Read, shared: Path) -> None:
    """From the start, from the middle, packed and unpacked."""
    folder = shared / "cases" / "warc"
    packed = json.loads((folder / "manifest.json").read_text("utf-8"))["files_gzipped"]
    for case in rows("warc"):
        for name in case["files"].values():
            data = (folder / name).read_bytes()
            for body in (data, gzip.decompress(data) if packed else data):
                for offset in (0, 1, 100, len(body) // 2, len(body)):
                    try:
                        assert isinstance(warc.read_page(io.BytesIO(body), offset), Page)
                    except ArchiveDamaged as error:
                        assert str(error)


def test_no_name_from_outside_names_a_file(rows: Read, tmp_path: Path) -> None:
    archive = Archive(str(tmp_path / "archive"))
    for case in rows("injection"):
        payload = case.get("payload")
        if isinstance(payload, str):
            for name in (payload, f"20261125T120000Z-0000000{payload}", f"20261125T120000Z-00000001/{payload}"):
                with pytest.raises(ArchiveDamaged):
                    archive.read_page(name, 0)
    assert list(tmp_path.iterdir()) == []


def test_strings_that_want_to_be_code_are_data(ledger: Ledger, rows: Read) -> None:
    """As URLs, titles, authors and tags: what goes in comes out; no statement fails, no other row moves."""
    payloads = [case["payload"] for case in rows("injection") if isinstance(case.get("payload"), str)][::2]
    clean = [_storable(payload) for payload in payloads]
    links = [
        Link(f"{SITE}/{number}/x{quote(text[:200], safe='')}", hint=Hint(text, (text,), tags=(text,))) for number, text in enumerate(clean)
    ]
    assert ledger.links.add(links, now=NOON).new == len(links)
    leased_rows = {row.url: row.hint for row in Mill(ledger).lease(limit=5000)}
    assert leased_rows == {urls.normalize(link.url): link.hint for link in links}
    for payload in clean:
        try:
            assert ledger.traces.get(payload) is None or urls.normalize(payload)
        except UrlError:
            continue
    assert ledger.sources.get("'; DROP TABLE ledger; --") is None
    assert ledger.progress.count().pages == len(links)


def _storable(text: str) -> str:
    """Without what no database takes; the reader takes it out before (sandbox.page_messages.to_json)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode() or HOST
