"""Extraction of whole WARC files to Parquet, one file in and one file out, as a function for any engine to call.

    from newsmill.batch import BatchOptions, extract_file

    counts = extract_file("s3://bucket/crawl-00001.warc.gz", "corpus", BatchOptions(languages=("de",)))

A call needs no store and no service. It may run twice, late or beside itself: the files have the same bytes.
"""

from newsmill.batch.file_extraction import extract_file
from newsmill.batch.options import BatchOptions, FileCounts
from newsmill.batch.profile_learning import collect_profile_pages, learn_profiles

__all__ = ["BatchOptions", "FileCounts", "collect_profile_pages", "extract_file", "learn_profiles"]
