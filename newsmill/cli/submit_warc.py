"""`newsmill submit` of WARC files: queue their pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.archive.warc_records import IsWanted
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.progress import ProgressBar, format_time_left
from newsmill.cli.terminal import format_count, format_size, note, note_next_step, print_json, printable, to_json
from newsmill.exceptions import NewsmillError
from newsmill.intake.page_submission import make_enqueue
from newsmill.intake.warc_files import WarcInput, measure_warc, open_warc
from newsmill.intake.warc_submission import InPlace, WarcSubmission
from newsmill.model import WarcCounts
from newsmill.text.redaction import redact

MAX_MESSAGES = 20  # about records of WARC files


def submit_warc(
    names: Sequence[str], *, source: str | None, again: bool, own: bool, in_place: bool, filters: str, is_wanted: IsWanted, as_json: bool
) -> None:
    """Submit the pages of WARC files and report the counts. Exits with 1 if nothing could be read, 130 after Ctrl-C. Raises ConfigError."""
    settings = configuration.load()
    sizes = list(map(measure_warc, names))
    with context.open_context(settings, create=True) as store, Interrupt() as interrupt:
        if source is not None:
            context.find_source(store, source)
        with ProgressBar("WARC") as bar:
            messages, progress = LimitedMessages(bar.print_line), WarcProgress(bar, sizes, interrupt)
            run = WarcSubmission(
                store,
                make_enqueue(settings),
                source=source,
                again=again,
                is_own=own,
                in_place=InPlace(filters) if in_place else None,
                is_wanted=is_wanted,
                warn=messages.add,
                sleep=progress.wait,
            )
            read_files(run, names, progress)
        counts = run.counts
        if messages.left_out:
            note(f"{format_count(messages.left_out, 'further message')} left out")
        if as_json:
            print_json(counts)
        else:
            note(describe_warc_counts(counts))
        if interrupt.is_set:
            note("stopped; the same command continues")
            raise typer.Exit(130)
        if counts.queued and not as_json:
            note_next_step(store, "worker", "extract the pages")
        if replace(counts, damaged=0) == WarcCounts():
            note("the files have no readable WARC record")
            raise typer.Exit(1)


def read_files(run: WarcSubmission, names: Sequence[str], progress: WarcProgress) -> None:
    """Read the files one after the other, up to their end or a stop. Raises NewsmillError if one cannot be read to its end."""
    try:
        for name in names:
            with open_warc(name) as inputs:
                for warc in inputs:
                    for offset in run.read(warc):
                        progress.show(offset, run.counts.queued)
                        if progress.is_stopped:
                            run.finish()
                            return
                    progress.end_file(warc)
    except OSError as error:
        run.finish()
        raise NewsmillError(f"{redact(name)} cannot be read: {redact(str(error))}; the same command continues") from error
    run.finish()


class WarcProgress:
    """Shows the bytes that were read, the pages that were queued, and the time left at the rate of the bytes so far."""

    def __init__(self, bar: ProgressBar, sizes: Sequence[int | None], interrupt: Interrupt) -> None:
        """`sizes`: bytes of the files; None for a pipe."""
        self._bar, self._interrupt, self._started_at = bar, interrupt, time.monotonic()
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._before = self._done = self._queued = 0  # bytes of the files before, bytes, pages

    @property
    def is_stopped(self) -> bool:
        return self._interrupt.is_set

    def show(self, offset: int, queued: int) -> None:
        """Show how far the current file is read."""
        self._done, self._queued = self._before + offset, queued
        left = "" if self._total is None else format_time_left(self._total - self._done, self._done, time.monotonic() - self._started_at)
        self._update(left)

    def end_file(self, warc: WarcInput) -> None:
        """Count the file as read."""
        self._before += warc.size or 0

    def wait(self, seconds: float) -> bool:
        """Wait for the workers. Returns whether a stop was requested."""
        self._update("waiting for the workers")
        return self._interrupt.wait(seconds)

    def _update(self, state: str) -> None:
        of_total = "" if self._total is None else f" of {format_size(self._total)}"
        parts = (f"{format_size(self._done)}{of_total}", f"{format_count(self._queued, 'page')} queued", state)
        self._bar.update(self._done, self._total, ", ".join(filter(None, parts)))


def describe_warc_counts(counts: WarcCounts) -> str:
    """The counts that are not 0, pages first."""
    words = {
        "known": "already known",
        "not_html": "not HTML",
        "http_error": "with another HTTP status than 200",
        "revisit": "revisit records",
        "filtered": "filtered out",
        "rejected": "rejected",
        "damaged": "damaged",
        "other": "other records",
    }
    values = to_json(counts)
    return ", ".join(
        [f"{format_count(counts.queued, 'page')} queued", *(f"{values[name]:,} {words[name]}" for name in words if values[name])]
    )


class LimitedMessages:
    """Prints the first messages, and counts the others, of which a damaged file has thousands."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.left_out = 0
        self._shown = 0

    def add(self, message: str) -> None:
        """Print or count a message."""
        if self._shown == MAX_MESSAGES:
            self.left_out += 1
            return
        self._shown += 1
        self._show(printable(message))
