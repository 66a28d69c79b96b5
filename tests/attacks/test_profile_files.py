"""A file of site profiles may be a stranger's: it runs nothing, fills nothing, and says nothing of another site than each line does."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from newsmill.batch import profile_file
from newsmill.batch.profile_file import FORMAT, PROFILE_ADAPTER, ProfileFile, write_profiles
from newsmill.exceptions import ConfigError
from newsmill.model import Profile

ABOUT = {"format": FORMAT, "sources": "files"}
COURIER = Profile("courier.example", pages=25, sections=2)


def line(profile: Profile, **fields: Any) -> str:
    return json.dumps(PROFILE_ADAPTER.dump_python(profile, mode="json") | fields)


def write(path: Path, *lines: str) -> Path:
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_an_sqlite_file_is_not_opened(tmp_path: Path) -> None:
    """A view in place of the table, with a recursion that never ends, hung whoever read it."""
    path = tmp_path / "profiles.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE about (format INTEGER, digest TEXT, sources TEXT)")
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS site, x AS pages, x AS data FROM n"
        database.execute(f"CREATE VIEW profiles AS {endless}")
    with pytest.raises(ConfigError, match="is of an older version"):
        ProfileFile(str(path))


@pytest.mark.parametrize("is_one_line", [True, False])
def test_a_file_unpacks_to_no_more_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_one_line: bool) -> None:
    monkeypatch.setattr(profile_file, "MAX_UNPACKED_BYTES", 1 << 20)
    long = (f"site{number:06}.example" for number in range(20_000))
    path = tmp_path / "profiles.jsonl.gz"
    if is_one_line:
        write(path, json.dumps(ABOUT), line(COURIER, site="x" * (5 << 20)))
    else:
        write_profiles(path, (replace(COURIER, site=site) for site in long), "files")
    with pytest.raises(ConfigError, match="it unpacks to more than"):
        ProfileFile(str(path))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "its first line is not that of format 2"),
        ((json.dumps({"format": 3, "sources": ""}),), "its first line is not that of format 2"),
        (("[" * 100_000,), "cannot be read as a file of site profiles"),
        ((json.dumps(ABOUT), "[" * 100_000), "line 2: "),
        ((json.dumps(ABOUT), line(COURIER, site="news.example/x")), "'news.example/x' is not the next site"),
        ((json.dumps(ABOUT), line(COURIER, site="www.courier.example")), "'www.courier.example' is not the next site"),
        ((json.dumps(ABOUT), line(COURIER), line(COURIER)), "line 3: 'courier.example' is not the next site"),
        ((json.dumps(ABOUT), line(COURIER, pages=1 << 40)), "pages"),
        ((json.dumps(ABOUT), line(COURIER, since=datetime(9999, 1, 1, tzinfo=UTC).isoformat())), "a layout since 9999-01-01"),
    ],
)
def test_what_no_export_has_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ProfileFile(str(write(tmp_path / "profiles.jsonl.gz", *lines)))
    assert message in str(refused.value) and len(str(refused.value)) < 1000


def test_the_digest_follows_from_the_profiles(tmp_path: Path) -> None:
    def read(name: str, *profiles: Profile, write: Callable[..., None] = write_profiles) -> str:
        write(tmp_path / name, profiles, name)
        with ProfileFile(str(tmp_path / name)) as found:
            assert found.sources == name and list(found) == list(profiles)
            return found.digest

    one = replace(COURIER, version=1)
    assert read("a", one) == read("b", one) != read("c", replace(one, pages=26))
