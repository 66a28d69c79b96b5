"""Site profiles from many files: pages to learn from are collected file by file, then each site's profile is learned from all files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from newsmill.archive.object_store import ObjectStore, open_object_store
from newsmill.batch.file_extraction import Progress, choose_page, make_capture_filter, read_page
from newsmill.batch.options import UNREADABLE, BatchOptions, FileCounts
from newsmill.batch.parts import PAGES_FOLDER, PartsFolder, name_source
from newsmill.batch.processes import LEARN, process_files
from newsmill.batch.profile_file import PROFILE_ADAPTER, ProfileFile, write_profiles
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.exports.parquet import RowWriter, read_learning_rows, require_pyarrow
from newsmill.extraction.site_profile.learning_sample import MAX_LEARNING_PAGES, LearningSample
from newsmill.intake.warc_files import read_warc, show_name
from newsmill.model import Outcome, Page, Profile
from newsmill.sandbox.page_messages import to_json
from newsmill.sandbox.pages import Sandbox
from newsmill.text.redaction import redact

if TYPE_CHECKING:
    from newsmill.extraction.site_profile.profile import PageBlocks

PROFILES_NAME, MERGED_NAME = "profiles.jsonl.gz", "pages.sqlite"


def collect_profile_pages(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    options: BatchOptions | None = None,
    *,
    on_capture: Progress | None = None,
) -> FileCounts:
    """Collect from one WARC or WACZ file the pages that `learn_profiles` needs, in one Parquet file: `pages/NAME.parquet`.

    Of each site, these are the 200 articles whose pages have the smallest hash. Otherwise as `extract_file`, with the same arguments;
    `languages` has no effect, and the counts are those of the collected pages.
    """
    options = options or BatchOptions()
    require_pyarrow()
    name = name_source(os.fspath(source))
    parts = PartsFolder(os.fspath(folder), options)
    parts.claim()

    def fill(rows: RowWriter) -> FileCounts:
        with Sandbox() as sandbox:
            return _write_pages(name, options, sandbox, rows, on_capture)

    return parts.find_counts(name) or parts.write_pages(name, fill)


def _write_pages(source: str, options: BatchOptions, sandbox: Sandbox, rows: RowWriter, on_capture: Progress | None) -> FileCounts:
    sample: LearningSample[bytes] = LearningSample(MAX_LEARNING_PAGES)
    outcomes = Counter[str]()
    try:
        for capture in read_warc(source, make_capture_filter(options)):
            page = choose_page(capture, options)
            if isinstance(page, Page) and sample.may_take(page):
                _read(page, options, sandbox, sample)
            if on_capture is not None:
                on_capture(capture)
    except (OSError, ConfigError):
        outcomes[UNREADABLE] += 1
    for site, pages in sorted(sample.sites.items()):
        for digest, blocks in sorted(pages.items()):
            rows.add({"site": site, "hash": digest, "page": blocks}, len(blocks))
    return FileCounts(show_name(source), sum(map(len, sample.sites.values())), outcomes)


def _read(page: Page, options: BatchOptions, sandbox: Sandbox, sample: LearningSample[bytes]) -> None:
    from newsmill.extraction.site_profile.profile import make_page_blocks  # not at the top: see _make_adapter

    result = read_page(sandbox, page, options.language, brief=False)
    if result.ending.outcome is Outcome.STORED:
        # Compressed: a file may have tens of thousands of pages, each with 100 KB of blocks.
        sample.add(page, zlib.compress(to_json(_make_adapter(), make_page_blocks(page.url, result)), 1))


@cache
def _make_adapter() -> TypeAdapter[PageBlocks]:
    # numpy costs 0.2 s of CPU, which extraction need not spend
    from newsmill.extraction.site_profile.profile import PageBlocks

    return TypeAdapter(PageBlocks)


def learn_profiles(folder: str | os.PathLike[str], *, processes: int = 1) -> str:
    """Learn the profile of each site from the pages that `collect_profile_pages` put into a folder; returns the path or URL of the file.

    The profiles are the same in whatever order, and by however many processes, the pages were collected.
    `processes` learn; the file, JSON lines packed with gzip, is for `BatchOptions.profiles`. It is not learned again if the folder has the
    same pages.
    Raises ConfigError for a folder without pages, and ServiceError if it cannot be read or written to.
    """
    where = os.fspath(folder)
    store = open_object_store(where, setting="folder", what="folder")
    parts = [(one.path, one.length) for one in store.list_objects(PAGES_FOLDER) if one.path.endswith(".parquet")]
    if not parts:
        raise ConfigError(f"the folder {redact(where)} has no pages to learn from; collect_profile_pages puts them there")
    name = f"{where.rstrip('/')}/{PROFILES_NAME}"
    sources = blake2b(repr(sorted(parts)).encode(), digest_size=16).hexdigest()
    if _find_sources(name) != sources:
        with tempfile.TemporaryDirectory(prefix="newsmill-profiles-") as temporary:
            made = Path(temporary) / PROFILES_NAME
            with closing(_merge(store, sorted(path for path, _ in parts), Path(temporary) / MERGED_NAME)) as pages:
                write_profiles(made, _learn_sites(pages, temporary, processes), sources)
            with made.open("rb") as file:
                store.put(PROFILES_NAME, lambda out: shutil.copyfileobj(file, out), is_shared=True)
    return name


def _find_sources(name: str) -> str | None:
    try:
        with ProfileFile(name) as profiles:
            return profiles.sources
    except ConfigError:  # there is none, or one of another format
        return None


def _merge(store: ObjectStore, parts: list[str], path: Path) -> sqlite3.Connection:
    """A database with the pages of all parts, which may be more than fit into memory."""
    pages = sqlite3.connect(path, isolation_level=None)
    pages.execute("PRAGMA journal_mode = OFF")
    pages.execute("PRAGMA synchronous = OFF")
    pages.execute("CREATE TABLE pages (site TEXT, hash BLOB, page BLOB, PRIMARY KEY (site, hash))")
    # Two captures of one page may differ, in a relative date for example.
    insert = "INSERT INTO pages VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET page = min(page, excluded.page)"
    pages.execute("BEGIN")
    for part in parts:
        with store.open(part) as file:
            pages.executemany(insert, read_learning_rows(file))
    pages.execute("COMMIT")
    return pages


def _learn_sites(pages: sqlite3.Connection, folder: str, processes: int) -> Iterator[Profile]:
    """The profiles in order of their sites. The folder has the pages, and is temporary."""
    sites = [site for (site,) in pages.execute("SELECT DISTINCT site FROM pages ORDER BY site")]
    if processes == 1:
        yield from (_learn_site(pages, site) for site in sites)
        return
    found = process_files(LEARN, sites, folder, BatchOptions(), processes=processes, on_progress=lambda _: None, is_stopped=lambda: False)
    for counts in found:
        if counts.outcomes:
            raise NewsmillError(f"the profile of {counts.source} could not be learned: {', '.join(counts.outcomes)}")
    for site in sites:
        yield PROFILE_ADAPTER.validate_json(_find_file(folder, site).read_bytes())


def learn_site(site: str, folder: str, options: BatchOptions, *, on_capture: Progress | None = None) -> FileCounts:
    """In a process of `process_files`: learn the profile of a site from the merged pages, and write it beside them."""
    with closing(sqlite3.connect(Path(folder) / MERGED_NAME)) as pages:
        _find_file(folder, site).write_bytes(to_json(PROFILE_ADAPTER, _learn_site(pages, site)))
    return FileCounts(site)


def _find_file(folder: str, site: str) -> Path:
    return Path(folder) / f"{blake2b(site.encode(), digest_size=16).hexdigest()}.json"


def _learn_site(pages: sqlite3.Connection, site: str) -> Profile:
    from newsmill.extraction.site_profile.profile import learn_profile  # not at the top: see _make_adapter

    found = pages.execute("SELECT page FROM pages WHERE site = ? ORDER BY hash LIMIT ?", (site, MAX_LEARNING_PAGES))
    return learn_profile([_make_adapter().validate_json(zlib.decompress(page)) for (page,) in found], site)
