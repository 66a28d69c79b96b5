"""`newsmill extract`: extracts documents from pages without a store: files, folders, WARC files, URLs, standard input.

JSON lines of the input have one line of output each, in the same order.

An input line:   {"id": any, "url": "https://…" or null, "path": "page.html" or "page.html.gz"}, or "html": "<html>…" instead of "path",
                 or "page" or "item": one of those of POST /api/v1/pages, as for a page of a WARC file.
                 Optional: "content_type" (default text/html), "language".
An output line:  every field of a document (null if unknown; "id" is that of the input line), "outcome", "detail" and "seconds".
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tempfile
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from newsmill.cli.terminal import complete_from, note, now, printable, to_json
from newsmill.exceptions import ConfigError
from newsmill.exports.formats import FORMATS
from newsmill.exports.records import FIELDS, to_record
from newsmill.intake.reextract import profile_site_of
from newsmill.model import OUTCOMES, Document, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, describe_failure
from newsmill.sandbox.pages import ExtractionRequest, SandboxCrash, read_all
from newsmill.text.finite_json import read_float
from newsmill.text.redaction import redact

if TYPE_CHECKING:
    from newsmill.extraction.site_profile.profile import PageBlocks


import base64
import errno
import itertools
import re
import subprocess
from collections.abc import Sequence
from dataclasses import field

from newsmill.exceptions import NewsmillError

OUTPUT_FORMATS = ("json", "markdown", "text", "csv")
BAD_INPUT = "bad_input"  # the outcome of a line that names no page
MAX_BYTES_IN_MEMORY = 64 << 20  # of input with --learn; more of it goes to a temporary file
MAX_LEARNING_PAGES = 200  # per site; of more pages, those with the smallest hash, so that the order of lines does not matter


def extract(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|URL|FOLDER|-]…", help="Pages; - or nothing reads standard input: HTML or JSON lines.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", autocompletion=complete_from(OUTPUT_FORMATS), help=f"Of the output: {', '.join(OUTPUT_FORMATS)}.")
    ] = "json",
    url: Annotated[str | None, typer.Option("--url", help="URL of the page, where one FILE or HTML on standard input is read.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Default language (BCP 47), such as de.")] = None,
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, max=256, help="Pages to extract in parallel.")] = 1,
    learn: Annotated[bool, typer.Option("--learn", help="Learn a profile of each site from its pages first.")] = False,
) -> None:
    """Extract documents from pages: files, folders, WARC files, URLs, or HTML or JSON lines from standard input. Stores nothing.

    A folder is searched for .html, .htm, .xhtml and their .gz files. A URL is fetched if its robots.txt allows it.
    Of a WARC or WACZ file, the HTML responses with status 200 are read; damaged records are named, and the exit code is then 1.
    JSON lines: {"id": 1, "url": "https://…" or null, "path": "page.html"} (.html or .html.gz), or "html" with the page instead of "path".
    Output: the fields of `newsmill export`, with outcome, detail and seconds, one JSON line per page, in the same order.
    Other formats write the documents, and say on standard error which pages have none. An invalid line gets the outcome bad_input.
    --learn extracts every page twice, and writes the first document after it has read the last page.
    """
    if form not in OUTPUT_FORMATS:
        raise ConfigError(f"--format: expected {', '.join(OUTPUT_FORMATS)}, not {form!r}")
    writer, started_at = OutputWriter(form), now()
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="newsmill-extract-")))
        found = open_inputs(inputs or [], url, language, folder)
        lines, profiles = found.lines, None
        writer.has_headings = form == "text" and (found.has_many or len(list(found.lines)) > 1)
        if learn:
            lines, profiles = resources.enter_context(learn_profiles(lines, processes=processes, now=started_at))
        run(
            lines,
            processes=processes,
            now=started_at,
            emit=writer.write,
            profiles=profiles,
            failures=found.failures,
            is_numbered=found.is_json_lines,
        )
    if found.has_damage or (not found.is_json_lines and not writer.documents):
        raise typer.Exit(1)


# outcomes of a page that was read
NO_ARTICLE = frozenset(
    {Outcome.NOT_ARTICLE, Outcome.NO_TEXT, Outcome.NOT_HTML, Outcome.NEEDS_SCRIPT, Outcome.CONSENT_WALL, Outcome.PAYWALL}
)


class OutputWriter:
    """Writes results to standard output in one of OUTPUT_FORMATS, and counts the documents."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.documents = 0
        self.has_headings = False  # names each page, as `head` does
        # A lone surrogate becomes its JSON escape.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]

    def write(self, result: Extracted) -> None:
        """Write one result at once, because the calling program may wait for it."""
        record, document = result.record, result.document
        if self.form == "json":
            sys.stdout.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        elif document is None:
            name = "" if record["id"] is None else f"{record['id']}: "
            note(printable(f"{name}{describe_outcome(record)}"))
        else:
            sys.stdout.write(self._format(document, record["id"]))
        sys.stdout.flush()
        self.documents += document is not None

    def _format(self, document: Document, name: object) -> str:
        """The document under the `id` of its input, which names its file or URL."""
        out = io.BytesIO()
        if self.has_headings:
            out.write(f"==> {name} <==\n".encode("utf-8", "backslashreplace"))
        FORMATS[self.form].write(out, [document if name is None else replace(document, id=str(name))])
        text = out.getvalue().decode("utf-8", "replace")
        if self.documents and self.form == "csv":
            return text.partition("\r\n")[2]  # without the line of names
        return f"\n{text}" if self.documents else text


def describe_outcome(record: Mapping[str, Any]) -> str:
    """Why a page has no document, in a few words."""
    outcome, detail = record["outcome"], record["detail"]
    if outcome == BAD_INPUT:
        return str(detail).removeprefix(f"{record['id']}: ")
    if outcome in NO_ARTICLE:
        return f"no article: {detail or OUTCOMES[Outcome(outcome)].meaning}"
    failure = describe_failure(OutcomeRecord(Outcome(outcome), detail))
    return failure if not detail or detail in failure else f"{failure} ({detail})"


def run(
    lines: Iterable[bytes],
    *,
    processes: int,
    now: datetime,
    emit: Callable[[Extracted], None],
    profiles: Mapping[str, Profile] | None = None,
    failures: Mapping[str, OutcomeRecord] | None = None,
    is_numbered: bool = True,
) -> None:
    """Call `emit` with one result per line, in order. `now` is used as the fetch time of the pages; `profiles` has site names as keys.

    `failures` are the outcomes of lines without a page, by their ids. `is_numbered`: the reason of an invalid line names its number.
    """
    pending: deque[InputLine] = deque()

    def emit_invalid() -> None:
        while pending and pending[0].problem is not None:
            line = pending.popleft()
            failure = (failures or {}).get(line.id) if isinstance(line.id, str) else None
            emit(Extracted(make_invalid_record(line, is_numbered=is_numbered) if failure is None else make_failed_record(line, failure)))

    def requests() -> Iterator[tuple[InputLine, ExtractionRequest]]:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            line, request = parse_line(raw, number, now)
            pending.append(line)
            emit_invalid()  # at once, because the calling program may wait for this line
            if request is not None:
                yield line, replace(request, profile=profiles.get(profile_site_of(request.page))) if profiles else request

    for line, result in read_all(requests(), processes=processes):
        emit(Extracted(make_record(line, result), result.document if isinstance(result, ExtractionResult) else None))
        pending.popleft()
        emit_invalid()


def make_invalid_record(line: InputLine, *, is_numbered: bool) -> dict[str, Any]:
    """The output for a line that names no page."""
    return make_empty_record(line, BAD_INPUT, f"line {line.number}: {line.problem}" if is_numbered else line.problem, 0.0)


def make_failed_record(line: InputLine, failure: OutcomeRecord) -> dict[str, Any]:
    """The output for a URL that could not be fetched."""
    return make_empty_record(line, failure.outcome, failure.detail, 0.0)


def make_record(line: InputLine, result: ExtractionResult | SandboxCrash) -> dict[str, Any]:
    """The output for a page. A page that crashes its process is not tried again."""
    if not isinstance(result, ExtractionResult):
        outcome = Outcome.DEADLINE if result.reason.startswith("deadline") else Outcome.DIED
        return make_empty_record(line, outcome, f"{result.stage}: {result.reason}", 0.0)
    output = make_empty_record(line, result.ending.outcome, result.ending.detail, result.seconds)
    if result.document is not None:
        document = to_json(to_record(result.document))
        output |= document | {"id": document["id"] if line.id is None else line.id, "document_id": document["id"]}
        if line.url is None:
            output |= {"url": None, "requested_url": None}
    return output


def make_empty_record(line: InputLine, outcome: str, detail: str | None, seconds: float) -> dict[str, Any]:
    """A record without a document: every field of a document is null."""
    return dict.fromkeys(FIELDS) | {
        "id": line.id,
        "url": line.url,
        "document_id": None,
        "outcome": str(outcome),
        "detail": detail,
        "seconds": round(seconds, 4),
    }


@contextmanager
def learn_profiles(lines: Iterable[bytes], *, processes: int, now: datetime) -> Iterator[tuple[IO[bytes], dict[str, Profile]]]:
    """Read all lines; yields a file with the same lines, and the profile of each site by its name."""
    # numpy costs 0.2 s of CPU and 30 MB, which only the child processes need without --learn
    from newsmill.extraction.site_profile.profile import learn_profile

    with tempfile.SpooledTemporaryFile(max_size=MAX_BYTES_IN_MEMORY) as copy:
        pages = extract_for_learning(lines, copy, processes, now)
        profiles = {site: replace(learn_profile(blocks.values(), site), version=1) for site, blocks in pages.items()}
        copy.seek(0)
        yield copy, profiles


def extract_for_learning(lines: Iterable[bytes], copy: IO[bytes], processes: int, now: datetime) -> dict[str, dict[bytes, PageBlocks]]:
    """Blocks by site and page hash, of at most MAX_LEARNING_PAGES pages per site. Writes each line to `copy`; skips pages without URL."""
    from newsmill.extraction.site_profile.profile import make_page_blocks  # not at the top: see learn_profiles

    def requests() -> Iterator[tuple[Page, ExtractionRequest]]:
        for number, raw in enumerate(lines, 1):
            copy.write(raw if raw.endswith(b"\n") else raw + b"\n")
            request = parse_line(raw, number, now)[1] if raw.strip() else None
            if request is not None and request.page.url:
                yield request.page, replace(request, brief=False)

    pages: dict[str, dict[bytes, PageBlocks]] = defaultdict(dict)
    for page, result in read_all(requests(), processes=processes):
        site = profile_site_of(page)
        if site and isinstance(result, ExtractionResult) and result.ending.outcome is Outcome.STORED:
            blocks = pages[site]
            blocks[blake2b(page.body, key=page.url.encode("utf-8", "replace")[:64], digest_size=8).digest()] = make_page_blocks(
                page.url, result
            )
            if len(blocks) > MAX_LEARNING_PAGES:
                del blocks[max(blocks)]
    return pages


# ---- input lines -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Extracted:
    """The output record of a line, and the document if there is one."""

    record: dict[str, Any]
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class InputLine:
    """One line of the input: its id, and its problem if it cannot be used."""

    id: object
    number: int
    url: str | None = None
    problem: str | None = None


def parse_line(raw: bytes, number: int, now: datetime) -> tuple[InputLine, ExtractionRequest | None]:
    """A line of the input and its extraction request, which is None if the line has a problem."""
    try:
        record = json.loads(raw, parse_constant=_refuse_constant, parse_float=read_float)
        json.dumps(record.get("id") if isinstance(record, dict) else None)  # the output repeats the id, which may be nested too deeply
    except ValueError as error:
        return InputLine(None, number, None, f"not JSON: {error}"), None
    except RecursionError:
        return InputLine(None, number, None, "nested too deeply"), None
    if not isinstance(record, dict):
        return InputLine(None, number, None, "expected an object with id, url and path or html"), None
    key, url = record.get("id"), record.get("url")
    if isinstance(url, str):
        url = record["url"] = redact(url)
    try:
        return InputLine(key, number, url), make_request(record, now)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = f"{record.get('path')}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        return InputLine(key, number, url if isinstance(url, str) else None, reason), None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def make_request(record: dict[str, Any], now: datetime) -> ExtractionRequest:
    """The extraction request for one line. Raises ValueError or OSError with the reason if it names no readable page."""
    url, language, content_type = record.get("url") or "", record.get("language"), record.get("content_type") or "text/html"
    if not isinstance(url, str) or not isinstance(content_type, str) or not (language is None or isinstance(language, str)):
        raise ValueError("url, language and content_type: expected a string or null")
    if "page" in record or "item" in record:
        return ExtractionRequest(make_sent_page(record, now), language=language, brief=True)
    if ("path" in record) == ("html" in record):
        raise ValueError('expected either "path" or "html"')
    if "html" in record:
        if not isinstance(record["html"], str):
            raise ValueError("html: expected a string")
        body, content_type = record["html"].encode("utf-8", "surrogatepass"), "text/html; charset=utf-8"
    else:
        body = read_page_file(record["path"])
    page = Page(requested_url=url, url=url, fetched_at=now, status=200, headers=(("Content-Type", content_type),), body=body)
    return ExtractionRequest(page, language=language, brief=True)


def make_sent_page(record: dict[str, Any], now: datetime) -> Page:
    """The page of a line in the format of POST /api/v1/pages. Raises ValueError."""
    # pydantic and what else it loads cost 0.2 s of CPU, which other lines need not spend
    from newsmill.intake.submission import PagesRequest

    if ("page" in record) == ("item" in record):
        raise ValueError('expected either "page" or "item"')
    sent = {"pages": [record["page"]]} if "page" in record else {"items": [record["item"]]}
    (page,) = PagesRequest.model_validate(sent).to_pages(now)
    return replace(page, url=redact(page.url), requested_url=redact(page.requested_url))


def read_page_file(path: object) -> bytes:
    """The bytes of a file, decompressed if they are gzip, whatever its name says. Raises ValueError if it is larger than MAX_FILE_BYTES."""
    if not isinstance(path, str) or "\0" in path:
        raise ValueError("path: expected the name of a file")
    with Path(path).open("rb") as file:
        is_gzipped = file.read(len(GZIP)) == GZIP
        file.seek(0)
        with gzip.open(file) if is_gzipped else nullcontext(file) as source:
            body: bytes = source.read(MAX_FILE_BYTES + 1)
    if len(body) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
    return body


# ---- inputs ----------------------------------------------------------------------------------------------------------------

# Files, folders, URLs, and standard input with HTML or JSON lines become JSON lines. A page of standard input and the pages of URLs are
# written to a temporary folder, because a line names a page by its path.

STANDARD_INPUT = "-"
PAGE_SUFFIXES = (".html", ".htm", ".xhtml", ".html.gz", ".htm.gz")
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".wacz")
ARC_SUFFIXES = (".arc", ".arc.gz")  # refused, with what to do
MAX_FILE_BYTES = 50_000_000  # above the limit of the decoder (10 MB decompressed), so that the decoder names the outcome
UTF_8_MARK = b"\xef\xbb\xbf"
BYTE_ORDER_MARKS = (UTF_8_MARK, b"\xff\xfe", b"\xfe\xff")
GZIP = b"\x1f\x8b"
_URL = re.compile(r"https?://", re.IGNORECASE)
_HOST_AND_PATH = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?(/|$)")
MAX_NAME_CHARACTERS = 200  # of an argument in a message: it may be a whole page
MAX_FETCH_SECONDS = 120.0  # for one URL; the download's own deadline is 30 s, robots.txt and the delay come on top


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
        if is_json_line(first):
            if url or language:
                raise ConfigError("--url and --language: JSON lines have these fields themselves")
            return Inputs(itertools.chain([first], sys.stdin.buffer), True)
        lines: Iterable[dict[str, Any]] = [_save_page(first, sys.stdin.buffer, folder)]
        return Inputs(list(_encode(lines, url, language)))
    inputs = Inputs((), is_warc=any(map(_is_warc, names)))
    expanded = [_read_warc(name, inputs) if _is_warc(name) else list(_expand(name, folder, inputs)) for name in names]
    if url is not None and (inputs.is_warc or len(list(itertools.chain.from_iterable(expanded))) != 1):
        raise ConfigError("--url is the URL of one page; give one FILE, or HTML on standard input")
    encoded = _encode(itertools.chain.from_iterable(expanded), url, language)
    inputs.lines = encoded if inputs.is_warc else list(encoded)
    return inputs


def _is_warc(name: str) -> bool:
    return name.lower().endswith((*WARC_SUFFIXES, *ARC_SUFFIXES)) and Path(name).is_file()


def _read_warc(name: str, inputs: Inputs) -> Iterator[dict[str, Any]]:
    """A line for each page of a WARC file, made when it is read. Damaged records are named on standard error. Raises ConfigError."""
    # the readers of WARC files and what they load cost 0.2 s of CPU, which other inputs need not spend
    from newsmill.archive.captures import Skipped, read_captures
    from newsmill.intake.submission import encode_item, encode_page
    from newsmill.intake.warc_submission import find_refusal, open_warc

    with open_warc(name) as files:
        for warc, capture in ((file, capture) for file in files for capture in read_captures(file.file)):
            page = capture.page
            if page is None:
                inputs.has_damage = inputs.has_damage or capture.skipped is Skipped.DAMAGED
                if capture.detail is not None:
                    note(printable(f"{warc.name}, offset {capture.offset:,}: {redact(capture.detail)}"))
            elif find_refusal(page) is None:
                key, content = (
                    ("item", to_json(encode_item(page)))
                    if page.is_item
                    else ("page", encode_page(page.as_rendered()).model_dump(mode="json"))
                )
                yield {"id": f"{warc.name}@{capture.offset}", "url": page.url, key: content}


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
    if not paths:
        raise ConfigError(f"{folder}: has no page; pages are files that end with {', '.join(PAGE_SUFFIXES)}")
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


@dataclass(frozen=True, slots=True)
class PageResponse:
    """A page as its server sent it."""

    url: str  # final, after redirects
    content_type: str
    content_encoding: str | None
    body: bytes


def fetch_page(url: str) -> PageResponse | OutcomeRecord:
    """Fetch a page as the crawler does. Raises NewsmillError if no process can do it, ConfigError for wrong settings."""
    found = _run_fetch(url)
    if isinstance(found, OutcomeRecord):
        return found
    return PageResponse(found["url"], found["content_type"] or "text/html", found["content_encoding"], base64.b64decode(found["body"]))


def _run_fetch(url: str) -> dict[str, Any] | OutcomeRecord:
    command = [sys.executable, "-P", "-m", "crawler.inspection.page_fetch", url]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=MAX_FETCH_SECONDS, check=False, encoding="utf-8"
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return OutcomeRecord(Outcome.TIMEOUT, f"no page within {MAX_FETCH_SECONDS:.0f} seconds")
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise NewsmillError(f"{url} cannot be fetched: {lines[-1]}") from None
    return OutcomeRecord(Outcome(found["outcome"]), found["detail"]) if "outcome" in found else found
