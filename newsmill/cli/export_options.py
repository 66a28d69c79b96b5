"""The options of `newsmill export` that depend on one another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from newsmill.exceptions import ConfigError
from newsmill.exports.concordance import build_pattern, write_keyword_lines, write_word_counts
from newsmill.exports.formats import FOLDER_FORMATS, FORMATS, ExportFormat
from newsmill.search.query import restrict_to_source
from newsmill.search.query_dates import parse_date
from newsmill.storage.columns import make_storable

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
TABLES = ("words", "kwic")


def read_query(words: Sequence[str] | None, source: str | None) -> str:
    """The query of the command line, of which an argument may have bytes that are not UTF-8."""
    text = make_storable(" ".join(words or ()))
    return text if source is None else restrict_to_source(text, source)


def read_since(text: str | None, now: datetime) -> datetime | None:
    """The time of --since, as after: in a query: `2026-11-30`, `yesterday`, `24h`. Raises ConfigError."""
    since = None if text is None else parse_date(text, now)
    if text is not None and since is None:
        raise ConfigError(f"--since: expected a day or time (UTC) such as 2026-11-30, 2026-11-30T12:00, yesterday or 24h, not {text!r}")
    return since


def check_export_options(user: str, include: Sequence[str], *, is_sample: bool, is_extended_fold: bool) -> None:
    """Raise ConfigError for options that do not work with --to, which continues an export later."""
    if user or "marks" in include:
        raise ConfigError("--user and --include marks write one file and do not work with --to: a mark does not change its document")
    if "duplicate_of" in include:
        raise ConfigError("--include duplicate_of writes one file and does not work with --to: a document may become a copy later")
    if "story_id" in include:
        raise ConfigError("--include story_id writes one file and does not work with --to: a document may join another story later")
    if is_extended_fold:
        raise ConfigError("--since-last cannot extend an export with --fold: a document may become a copy later; use --overwrite")
    if is_sample:
        raise ConfigError("--sample writes one file and does not work with --to, which adds to an export later; use -o FILE")


def choose_format(output: Path | None) -> str:
    """The format that the suffix of the file means; "jsonl" without a suffix. Raises ConfigError for that of another program."""
    suffix = "" if output is None else output.suffix.lower()
    formats = {form.suffix: name for name, form in FORMATS.items() if name not in FOLDER_FORMATS}
    if suffix and suffix not in (*formats, *COMPRESSED_SUFFIXES):
        raise ConfigError(f"-o {output}: no format has the suffix {suffix}; use {', '.join(formats)}, or choose one with --format")
    return formats.get(suffix, "jsonl")


def choose_table(output_format: str, keyword: str | None, *, has_other_options: bool) -> ExportFormat | None:
    """The table of words that a format means; None for the formats of documents. Raises ConfigError if options contradict each other."""
    if (keyword is None) == (output_format == "kwic"):
        raise ConfigError("--format kwic and --keyword belong together")
    if output_format not in TABLES:
        return None
    if has_other_options:
        raise ConfigError(f"--format {output_format} writes one file and does not work with --to, --as and --include")
    if keyword is None:
        return ExportFormat(output_format, ".csv", write_word_counts)
    build_pattern(keyword)
    return ExportFormat(output_format, ".csv", partial(write_keyword_lines, keyword=keyword))


def check_options(to: str | None, output: Path | None, folder_only: dict[str, bool], output_format: str) -> None:
    """Raises ConfigError if options contradict each other."""
    if to is None:
        if name := next((name for name, is_given in folder_only.items() if is_given), None):
            raise ConfigError(f"{name} needs --to TARGET")
        if output_format in FOLDER_FORMATS:
            raise ConfigError(f"--format {output_format} writes a folder; use --to TARGET")
        if output_format in ("parquet", "xlsx") and output is None and sys.stdout.isatty():
            raise ConfigError(f"{output_format} cannot be written to a terminal; use -o FILE or --to TARGET")
        if output is not None and output.suffix.lower() in COMPRESSED_SUFFIXES:
            raise ConfigError(f"-o {output}: the file would not be compressed; omit {output.suffix}, or compress standard output")
    elif output is not None:
        raise ConfigError("-o writes one file and --to a folder; use one of the two")
    if folder_only["--since-last"] and folder_only["--overwrite"]:
        raise ConfigError("--since-last extends an export and --overwrite replaces it; use one of the two")
