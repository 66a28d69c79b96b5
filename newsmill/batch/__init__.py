"""Extraction of whole WARC files to Parquet, one file in and one file out, as a function for any engine to call.

    from newsmill.batch import BatchOptions, extract_file

    counts = extract_file("s3://bucket/crawl-00001.warc.gz", "corpus", BatchOptions(languages=("de",)))

A call needs no store and no service. It may run twice, late or beside itself: the files have the same bytes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newsmill.batch.file_extraction import extract_file
    from newsmill.batch.options import BatchOptions, FileCounts
    from newsmill.batch.profile_learning import collect_profile_pages, learn_profiles

__all__ = ["BatchOptions", "FileCounts", "extract_file", "collect_profile_pages", "learn_profiles"]  # noqa: RUF022 - as in the reference

_MODULES = dict(zip(__all__, ("options", "options", "file_extraction", "profile_learning", "profile_learning"), strict=True))


def __getattr__(name: str) -> Any:
    # A command that hands files to other processes need not spend 0.4 s of CPU on readers of pages.
    if name not in _MODULES:
        raise AttributeError(f"module 'newsmill.batch' has no attribute {name!r}")
    return getattr(import_module(f"newsmill.batch.{_MODULES[name]}"), name)
