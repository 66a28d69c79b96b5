"""`newsmill extract` without Parquet: each line of the input becomes a result on standard output."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from newsmill.cli.extract_inputs import open_inputs
from newsmill.cli.extract_lines import InputLine, parse_line
from newsmill.cli.terminal import note, now, printable, to_json
from newsmill.exports.formats import FORMATS
from newsmill.exports.records import FIELDS, to_record
from newsmill.extraction.site_profile.learning_sample import MAX_LEARNING_PAGES, LearningSample
from newsmill.intake.reextract import profile_site_of
from newsmill.model import OUTCOMES, Document, ExtractionResult, Outcome, OutcomeRecord, Page, Profile, describe_failure
from newsmill.sandbox.page_messages import ExtractionRequest
from newsmill.sandbox.pages import SandboxCrash, read_all

if TYPE_CHECKING:
    from newsmill.extraction.site_profile.profile import PageBlocks

BAD_INPUT = "bad_input"  # the outcome of a line that names no page
MAX_BYTES_IN_MEMORY = 64 << 20  # of input with --learn; more of it goes to a temporary file


def extract_pages(inputs: Sequence[str], url: str | None, language: str | None, *, form: str, processes: int, learn: bool) -> None:
    """Write the documents and outcomes of all pages. Exits with 1 if records are damaged, or there is no document."""
    writer, started_at = OutputWriter(form), now()
    with ExitStack() as resources:
        temporary = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="newsmill-extract-")))
        found = open_inputs(inputs, url, language, temporary)
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

    sample: LearningSample[PageBlocks] = LearningSample(MAX_LEARNING_PAGES)

    def requests() -> Iterator[tuple[Page, ExtractionRequest]]:
        for number, raw in enumerate(lines, 1):
            copy.write(raw if raw.endswith(b"\n") else raw + b"\n")
            request = parse_line(raw, number, now)[1] if raw.strip() else None
            if request is not None and sample.may_take(request.page):
                yield request.page, replace(request, brief=False)

    for page, result in read_all(requests(), processes=processes):
        if isinstance(result, ExtractionResult) and result.ending.outcome is Outcome.STORED:
            sample.add(page, make_page_blocks(page.url, result))
    return sample.sites


@dataclass(frozen=True, slots=True)
class Extracted:
    """The output record of a line, and the document if there is one."""

    record: dict[str, Any]
    document: Document | None = None
