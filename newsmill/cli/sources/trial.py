"""`newsmill sources test`: run a source's spider or read its listings, without storing anything."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_sources
from newsmill.cli.terminal import note, print_json, print_table
from newsmill.exceptions import ConfigError
from newsmill.model import Outcome, OutcomeRecord, Source
from newsmill.settings import Settings
from newsmill.sources.config_file import read_sources
from newsmill.sources.table import format_suggestion

if TYPE_CHECKING:
    from crawler.spider_runs.run_report import RunRequest


TEST_COLUMNS = ("kind", "outcome", "title", "published_at", "words", "url")
SPIDER_ADVICE = "check the URLs that the spider starts with, and its selectors"
LISTINGS_ADVICE = "open its feeds, sitemaps and pages in a browser, and check that they link to articles"


def test_source(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=complete_sources, help="Name of a source in sources.toml or in the store.")
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Number of pages, links and articles.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per result, then one for the run.")] = False,
) -> None:
    """Run the spider of a source, or read its listings, and show the resulting pages, links and articles. Stores nothing.

    The log is printed on standard error; LOG_LEVEL=DEBUG shows every request. Exits with 1 if the run fails or finds nothing.
    """
    settings = configuration.load()
    source = find_configured_source(settings, name)
    with tempfile.TemporaryDirectory(prefix="newsmill-test-") as folder:
        if not context.has_store(settings):  # the run needs a ledger for the leases of hosts
            os.environ["NEWSMILL_DATA"] = folder
            with context.open_context(configuration.load(), create=True):
                pass
        # Scrapy costs 0.5 s of CPU and 40 MB, which the other commands of this module need not spend
        from crawler.spider_runs.listings_spider import make_test_request

        results, outcome = asyncio.run(run_test(make_test_request(source, limit), as_json))
    if as_json:
        print_json({"outcome": outcome.outcome, "detail": outcome.detail})
    else:
        if results:
            print_table(TEST_COLUMNS, [[result.get(column) for column in TEST_COLUMNS] for result in results])
        note(f"{name}: {outcome.outcome}: {outcome.detail}")
        if outcome.outcome is Outcome.EMPTY_LISTING:
            note(f"nothing found: {SPIDER_ADVICE if source.spider else LISTINGS_ADVICE}; LOG_LEVEL=DEBUG logs every request")
    if outcome.outcome is not Outcome.LISTED:
        raise typer.Exit(1)


async def run_test(request: RunRequest, as_json: bool) -> tuple[list[dict[str, Any]], OutcomeRecord]:
    """The results of a test run, and its outcome. JSON lines are printed as they come."""
    from crawler.spider_runs.run_outcome import describe_run
    from crawler.spider_runs.run_report import RunReport
    from crawler.spider_runs.spider_process import SpiderProcess

    results: list[dict[str, Any]] = []
    report = RunReport("crashed")
    process = await SpiderProcess.start(request)
    async for line in process.lines():
        if isinstance(line, RunReport):
            report = line
            continue
        result = json.loads(line)
        results.append(result)
        if as_json:
            print_json(result)
        else:
            note(f"{len(results)}: {result['url']}")
    return results, describe_run(report)


def find_configured_source(settings: Settings, name: str) -> Source:
    """The source of sources.toml, or that of the store. Raises ConfigError if there is none."""
    path = settings.sources_file
    sources = [] if path is None else list(read_sources(path))
    if context.has_store(settings):
        with context.open_context(settings) as store:
            sources += store.ledger.sources.list_all()
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        names = sorted({source.name for source in sources})
        raise ConfigError(f"source {name!r} does not exist" + (format_suggestion(name, names) if names else "; add one: newsmill add URL"))
    return found
