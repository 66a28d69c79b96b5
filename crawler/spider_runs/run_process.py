"""The process of one run: `python -m crawler.spider_runs.run_process`, started by a crawler or `newsmill sources test`.

The request is the first line of standard input. The run ends when that pipe closes, because then its parent has ended. The report is the
last line of standard output. A bug, a crash or a limit of the spider ends this process and no other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings as ScrapySettings

from crawler.spider_runs.printing_sink import PrintingSink
from crawler.spider_runs.run_report import REPORT_JSON, REPORT_PREFIX, REQUEST_JSON, RunReport, RunRequest
from crawler.spider_runs.source_spider import check_arguments, find_start_hint, load_spider
from crawler.spider_runs.spider_output import Sink
from crawler.spider_runs.spider_run import REASON_MEMORY, REASON_REMOVED, SpiderRun
from crawler.spider_runs.storing_sink import StoringSink
from crawler.user_settings.merge import load_user_settings
from crawler.user_settings.spider_settings import default_spider_settings, fixed_spider_settings, list_ignored_settings
from newsmill import settings as configuration
from newsmill.context import open_context
from newsmill.exceptions import ConfigError, NewsmillError
from newsmill.intake.page_submission import make_enqueue
from newsmill.logs.spider_log_handler import configure_spider_log
from newsmill.network.contact import check_contact
from newsmill.sandbox.process_limits import die_with_parent, restrict_proc_access
from newsmill.settings import Settings
from newsmill.text.sentences import PACKED, Sentence

log = logging.getLogger(__name__)


def main() -> None:
    """Run the spider of the request on standard input."""
    die_with_parent()
    restrict_proc_access()
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what C libraries print must not look like a report
    request = REQUEST_JSON.validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        report = run(request, pipe)
    except SystemExit as error:  # of the spider's code
        report = RunReport("failed", error=Sentence("the spider called sys.exit: {error}", error=str(error)[:472]))
        pipe.write(_format_report(report))
        os._exit(1)  # the run was not closed, and its threads would keep the process
    pipe.write(_format_report(report))


def _format_report(report: RunReport) -> bytes:
    return REPORT_PREFIX + REPORT_JSON.dump_json(report, context=PACKED) + b"\n"


def run(request: RunRequest, pipe: BinaryIO) -> RunReport:
    """Run the spider and return the report. Results of a test run are written to `pipe`."""
    source = request.source
    try:
        settings = configuration.load()
        check_contact(settings, source.plan_urls)
        configure_spider_log(None if request.log_file is None else Path(request.log_file), settings.log_level)
        user = load_user_settings(settings, continuous=False)
        _limit_memory(source.spider_limits.memory_mb)
        spider_class = load_spider(settings, source)
        check_arguments(spider_class, source)
        with open_context(settings, upgrade=False) as context:
            enqueue = make_enqueue(settings)

            def make_sink(run: SpiderRun) -> Sink:
                if request.test:
                    return PrintingSink(pipe)
                return StoringSink(
                    context, run.calls, enqueue, lambda: run.output.counts, source=source.name, on_removal=lambda: run.end(REASON_REMOVED)
                )

            return _run_spider(SpiderRun(context, source, make_sink, is_test=request.test), spider_class, settings, user)
    except ConfigError as error:
        if error.__cause__ is not None:
            log.error("%s", error, exc_info=error.__cause__)
        return RunReport("failed", error=str(error), is_permanent=True)
    except NewsmillError as error:
        return RunReport("failed", error=str(error))
    except MemoryError:
        limit = source.spider_limits.memory_mb
        return RunReport(
            REASON_MEMORY, error=Sentence("the run needed more than {n} MB; spider_limits.memory_mb raises the limit", n=limit)
        )


def _run_spider(run: SpiderRun, spider_class: type[scrapy.Spider], settings: Settings, user: dict[str, Any]) -> RunReport:
    values = ScrapySettings(default_spider_settings(settings, user))
    spider_class.update_settings(values)
    fixed = fixed_spider_settings(settings, values)
    for name in list_ignored_settings(values, fixed):
        log.warning("%s: Newsmill decides this setting; the spider's value has no effect", name)
    values = ScrapySettings(default_spider_settings(settings, user))
    values.setdict(fixed, priority="cmdline")
    process = AsyncCrawlerProcess(values)
    logging.getLogger("scrapy").setLevel(logging.NOTSET)
    crawler = process.create_crawler(spider_class)
    run.connect(crawler)
    task = process.crawl(crawler, **run.source.spider_args)
    process.start(install_signal_handlers=False)
    if task.done() and not task.cancelled() and (problem := task.exception()) is not None:
        log.error("the spider failed", exc_info=problem)
        return RunReport("failed", error=Sentence("the spider failed: {error}", error=f"{type(problem).__name__}: {problem}"[:481]))
    return replace(run.report(), hint=find_start_hint(spider_class))


def _limit_memory(megabytes: int) -> None:
    """Limit the address space to what is mapped now and `megabytes` more. Linux only.

    The hard limit stays, because the browser reserves 1 TB of it: crawler/browser/bare_node.sh lifts the limit for its processes, which
    crawler/browser/memory_watch.py watches.
    """
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = mapped + (megabytes << 20)
        hard_limit = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
