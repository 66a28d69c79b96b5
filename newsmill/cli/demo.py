"""`newsmill demo`: crawl the newspaper that is part of Newsmill."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.processes.forked_process import fork_children
from newsmill.cli.terminal import format_count, now, printable, program_name
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.model import Block, Document, Politeness, Source
from newsmill.settings import Settings
from newsmill.storage.ledger.source_changes import SourceChanges

if TYPE_CHECKING:
    from newsmill.demo import Newspaper
from newsmill.cli.crawl import CrawlSummary, report, run

DEMO_SOURCE = "demo"
DEMO_PORT = 8707  # fixed, so that a second demo has the same URLs and documents
MAX_EXPLAINED = 8  # newest documents, among which one with a removed line is looked for
REAL_STORE_VARIABLES = ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_CONFIG")  # ignored, to keep the demo out of a real store


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the newspaper; 0 selects a free one.")] = DEMO_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Try Newsmill: crawl a small newspaper that this machine serves. Takes a few seconds and needs no network.

    Three lines tell what came in, what was removed, and what to do next.

    Data is stored in ./newsmill-data (or the folder of NEWSMILL_DATA), so that you can try all other commands on it.
    """
    environ = make_demo_environment(os.environ)
    settings = configuration.load(environ)
    with fork_children(1) as forked, serve_newspaper(port) as running:
        source = Source(DEMO_SOURCE, homepage=f"{running.url}/", politeness=Politeness(delay=0.0))
        forget_other_demo(settings, source)
        summary = run(settings, environ, source, processes=1, forked=forked, is_announced=False)
        with context.open_context(settings) as store:
            store.ledger.sources.set_enabled(DEMO_SOURCE, False, now=now())  # its server stops
            if as_json or summary.interrupted or summary.problem:
                report(summary, as_json)
            else:
                print_demo_result(store, summary, running.url)


@contextmanager
def serve_newspaper(port: int) -> Iterator[Newspaper]:
    """The running newspaper. Raises NewsmillError if the port is not available."""
    # the server costs 0.01 s of CPU, which `newsmill crawl` need not spend
    from newsmill import demo as newspaper

    with ExitStack() as exit_stack:
        try:
            running = exit_stack.enter_context(newspaper.serve(port, with_crawl_delay=False))
        except OSError as error:
            raise NewsmillError(f"port {port} is not available ({error.strerror}); run `newsmill demo --port 0`") from None
        yield running


def forget_other_demo(settings: Settings, source: Source) -> None:
    """Remove the source of a demo on another port, whose server has stopped, with its pending URLs. Its documents stay."""
    if not context.has_store(settings):
        return
    with context.open_context(settings) as store:
        earlier = store.ledger.sources.get(source.name)
        if earlier is not None and earlier.homepage != source.homepage:
            SourceChanges(store.engine).remove(source.name, now=now(), keep_documents=True)


def make_demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without REAL_STORE_VARIABLES, and with permission to fetch from this machine."""
    return {name: value for name, value in environ.items() if name not in REAL_STORE_VARIABLES} | {"NEWSMILL_ALLOW_NETS": "127.0.0.1/32"}


def print_demo_result(store: AppContext, summary: CrawlSummary, site: str) -> None:
    """Three lines: what came in, what was removed, and what to do next."""
    documents = sorted(store.documents.iterate(source=DEMO_SOURCE), key=lambda one: str(one.published_at or ""), reverse=True)
    languages = format_count(len({one.language for one in documents}), "language")
    articles = format_count(summary.new_documents, "new article")
    typer.echo(f"Came in:  {articles} in {languages}, from a sample newspaper at {site}/, in {summary.seconds:.0f} s")
    example, removed = next(filter(itemgetter(1), map(partial(list_removed, store), documents[:MAX_EXPLAINED])), (documents[0], []))
    if removed:
        line = typer.style(" ".join(printable(removed[0].text).split()), strikethrough=True)
        others = format_count(len(removed) - 1, "other block")
        typer.echo(f"Removed:  “{line}” and {others} around “{printable(example.title or example.url)}”")
    name = program_name()
    typer.echo(f"Next:     {name} web (in a browser), {name} search night train, {name} explain {example.url}")


def list_removed(store: AppContext, document: Document) -> tuple[Document, list[Block]]:
    """A document with the blocks that were removed from its page, a line of the text itself first; no blocks if there is no such line."""
    # a command without a demo need not spend the 0.1 s of CPU of this import
    from newsmill.intake import reextract

    trace = store.ledger.traces.get(document.requested_url)
    result = None if trace is None else reextract.explain(store.ledger, store.archive, store.profiles, trace)
    removed = [] if result is None else [block for block in result.blocks if not block.kept]
    removed.sort(key=lambda block: (block.layer not in ("rules", "profile"), -len(block.text)))
    return document, removed if removed and removed[0].layer in ("rules", "profile") else []
