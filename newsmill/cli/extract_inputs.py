"""The inputs of `newsmill extract`: files, folders, WARC files, URLs or standard input, read as lines.

Files, folders, URLs, and standard input with HTML or JSON lines become JSON lines. A page of standard input and the pages of URLs are
written to a temporary folder, because a line names a page by its path.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from newsmill.cli.extract_lines import GZIP, MAX_FILE_BYTES
from newsmill.cli.page_fetch import fetch_page
from newsmill.cli.terminal import note, printable, to_json
from newsmill.exceptions import ConfigError
from newsmill.model import OutcomeRecord, Skipped
from newsmill.text.redaction import redact

STANDARD_INPUT = "-"
PAGE_SUFFIXES = (".html", ".htm", ".xhtml", ".html.gz", ".htm.gz")
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".wacz")
ARC_SUFFIXES = (".arc", ".arc.gz")  # refused, with what to do
UTF_8_MARK = b"\xef\xbb\xbf"
BYTE_ORDER_MARKS = (UTF_8_MARK, b"\xff\xfe", b"\xfe\xff")
_URL = re.compile(r"https?://", re.IGNORECASE)
_HOST_AND_PATH = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)")
MAX_NAME_CHARACTERS = 200  # of an argument in a message: it may be a whole page


@dataclass(slots=True)
class Inputs:
    """JSON lines, and the failures of the URLs among them by their id. `is_json_lines`: a program wrote the lines."""

    lines: Iterable[bytes]
    is_json_lines: bool = False
    is_warc: bool = False  # the lines are made while WARC files are read
    has_damage: bool = False  # a record of them was damaged
    failures: dict[str, OutcomeRecord] = field(default_factory=dict)

    @property
    def has_many(self) -> bool:
        """Whether the number of lines is unknown before they are read."""
        return self.is_json_lines or self.is_warc


def open_inputs(names: Sequence[str], url: str | None, language: str | None, folder: Path) -> Inputs:
    """The inputs that `names` name; without names, standard input. `folder` is temporary.

    `url` is the URL of the only page, `language` the default language of all. Raises ConfigError for an input that cannot be used.
    """
    if not names and sys.stdin.isatty():
        raise ConfigError("give FILE, URL or FOLDER, or JSON lines or HTML on standard input; `newsmill extract --help` shows how")
    names = names or [STANDARD_INPUT]
    if names.count(STANDARD_INPUT) > 1:
        raise ConfigError("- is standard input, which can be read once; give it once")
    if names == [STANDARD_INPUT]:
        first = _read_first_line(sys.stdin.buffer)
        if not first:
            note("standard input is empty; nothing was extracted")
        if is_json_line(first):
            if url or language:
                raise ConfigError("--url and --language: JSON lines have these fields themselves")
            return Inputs(itertools.chain([first], sys.stdin.buffer), True)
        lines: Iterable[dict[str, Any]] = [_save_page(first, sys.stdin.buffer, folder)]
        return Inputs(list(_encode(lines, url, language)))
    inputs = Inputs((), is_warc=any(map(_is_warc, names)))
    expanded = [_read_warc(name, inputs) if _is_warc(name) else list(_expand(name, folder, inputs)) for name in names]
    _report_empty([name for name, lines in zip(names, expanded, strict=True) if lines == []], len(names))
    if url is not None and (inputs.is_warc or len(list(itertools.chain.from_iterable(expanded))) != 1):
        raise ConfigError("--url is the URL of one page; give one FILE, or HTML on standard input")
    encoded = _encode(itertools.chain.from_iterable(expanded), url, language)
    inputs.lines = encoded if inputs.is_warc else list(encoded)
    return inputs


def _report_empty(folders: Sequence[str], inputs: int) -> None:
    """Name the folders without a page on standard error. Raises ConfigError if no input has one."""
    problems = [f"{name}: has no page; pages are files that end with {', '.join(PAGE_SUFFIXES)}" for name in folders]
    if len(folders) == inputs:
        raise ConfigError("; ".join(problems))
    for problem in problems:
        note(printable(problem))


def _is_warc(name: str) -> bool:
    return name.lower().endswith((*WARC_SUFFIXES, *ARC_SUFFIXES)) and Path(name).is_file()


def _read_warc(name: str, inputs: Inputs) -> Iterator[dict[str, Any]]:
    """A line for each page of a WARC file, made when it is read. Damaged records are named on standard error. Raises ConfigError."""
    # the readers of WARC files and what they load cost 0.2 s of CPU, which other inputs need not spend
    from newsmill.intake.capture_filters import find_refusal
    from newsmill.intake.page_requests import encode_item, encode_page
    from newsmill.intake.warc_files import read_warc

    for capture in read_warc(name):
        page = capture.page
        if page is None:
            inputs.has_damage = inputs.has_damage or capture.skipped is Skipped.DAMAGED
            if capture.detail is not None:
                note(printable(f"{capture.file}, offset {capture.offset:,}: {redact(capture.detail)}"))
        elif find_refusal(page) is None:
            key, content = (
                ("item", to_json(encode_item(page))) if page.is_item else ("page", encode_page(page.as_rendered()).model_dump(mode="json"))
            )
            yield {"id": f"{capture.file}@{capture.offset}", "url": page.url, key: content}


def is_json_line(line: bytes) -> bool:
    """Whether standard input has JSON lines, by its first line. Raises ConfigError if it has neither those nor HTML."""
    start = line.removeprefix(UTF_8_MARK).lstrip()
    if not start or start.startswith((b"{", b"[")):
        return True
    if start.startswith((b"<", GZIP, *BYTE_ORDER_MARKS)):
        return False
    raise ConfigError('standard input is neither HTML nor JSON lines; a line is {"id": 1, "url": "https://…", "path": "page.html"}')


def _read_first_line(stream: IO[bytes]) -> bytes:
    """The first line that is not empty, with the byte order mark of an empty one before it; b"" if there is none."""
    mark = b""
    for line in iter(lambda: stream.readline(MAX_FILE_BYTES), b""):
        if line.removeprefix(UTF_8_MARK).strip():
            return mark + line
        mark = UTF_8_MARK if line.startswith(UTF_8_MARK) else mark
    return b""


def _save_page(first: bytes, stream: IO[bytes], folder: Path) -> dict[str, Any]:
    body = first + stream.read(MAX_FILE_BYTES)
    path = folder / ("stdin.html.gz" if body.startswith(GZIP) else "stdin.html")
    path.write_bytes(body)
    return {"id": STANDARD_INPUT, "path": str(path)}


def _encode(lines: Iterable[dict[str, Any]], url: str | None, language: str | None) -> Iterator[bytes]:
    given = {key: value for key, value in (("url", url), ("language", language)) if value is not None}
    return (json.dumps(line | given).encode() for line in lines)


def _expand(name: str, folder: Path, inputs: Inputs) -> Iterator[dict[str, Any]]:
    """The lines of one argument. Raises ConfigError if it is neither a file, a folder nor a URL."""
    if name == STANDARD_INPUT:
        first = _read_first_line(sys.stdin.buffer)
        if is_json_line(first):
            raise ConfigError("JSON lines on standard input cannot be combined with other inputs")
        yield _save_page(first, sys.stdin.buffer, folder)
        return
    path = Path(name)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a URL may be longer than the name of a file
            raise
        is_folder = is_there = False
    if _URL.match(name):
        yield _fetch(name, folder, inputs)
    elif is_folder:
        yield from _list_folder(path)
    elif is_there:
        if path.suffix in JSON_LINES_SUFFIXES:
            raise ConfigError(f"{name}: JSON lines are read from standard input: newsmill extract < {name}")
        yield {"id": name, "path": name}
    elif _HOST_AND_PATH.match(name) and not name.lower().endswith((*PAGE_SUFFIXES, *WARC_SUFFIXES)):
        yield _fetch(f"https://{name}", folder, inputs)
    elif "://" in name:
        raise ConfigError(f"{name[:MAX_NAME_CHARACTERS]}: not an http or https URL")
    else:
        raise ConfigError(f"{name[:MAX_NAME_CHARACTERS]}: no such file, folder or URL")


def _list_folder(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of the pages in a folder, and of the folders in it that cannot be read, whose lines fail with the reason."""
    unreadable: list[OSError] = []
    found = os.walk(folder, onerror=unreadable.append)
    paths = sorted(path for place, _, names in found for name in names if (path := Path(place, name)).name.lower().endswith(PAGE_SUFFIXES))
    paths = [path for path in paths if path.is_file()] + [Path(error.filename) for error in unreadable]
    for path in paths:
        yield {"id": str(path), "path": str(path)}


def _fetch(url: str, folder: Path, inputs: Inputs) -> dict[str, Any]:
    """The line of a fetched page. A URL that cannot be fetched has a line without a page, and its failure in `inputs`."""
    found = fetch_page(url)
    if isinstance(found, OutcomeRecord):
        inputs.failures[url] = found
        return {"id": url, "url": url}
    path = folder / f"{len(list(folder.iterdir()))}.html"
    path.write_bytes(_decompress(found.body, found.content_encoding))
    return {"id": url, "url": found.url, "path": str(path), "content_type": found.content_type}


def _decompress(body: bytes, encoding: str | None) -> bytes:
    """The body without gzip, the only encoding that the request accepts. A body that is broken stays as it is."""
    from newsmill.exceptions import DecodeError
    from newsmill.extraction.decode import decode_body  # loads the readers of pages, which the help does not need

    try:
        return decode_body(encoding, body)
    except DecodeError:
        return body
