"""`newsmill demo`: crawl the newspaper that is part of Newsmill."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.processes.forked_process import fork_children
from newsmill.cli.terminal import note, now, printable, program_name
from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError
from newsmill.model import Politeness, Source
from newsmill.settings import Settings
from newsmill.storage.ledger.source_changes import SourceChanges

if TYPE_CHECKING:
    from newsmill.demo import Newspaper
from newsmill.cli.crawl import report, run

DEMO_SOURCE = "demo"
DEMO_PORT = 8707  # fixed, so that a second demo has the same URLs and documents
MAX_EXAMPLE_CHARACTERS = 700  # of the example
REAL_STORE_VARIABLES = ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_CONFIG")  # ignored, to keep the demo out of a real store


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the newspaper; 0 selects a free one.")] = DEMO_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Try Newsmill: crawl a small newspaper that this machine serves. Takes a few seconds and needs no network.

    Data is stored in ./newsmill-data (or the folder of NEWSMILL_DATA), so that you can try all other commands on it.
    """
    environ = make_demo_environment(os.environ)
    settings = configuration.load(environ)
    with fork_children(1) as forked, serve_newspaper(port) as running:
        note(f"serving a small newspaper at {running.url}/, and crawling it into {context.data_folder(settings)}")
        source = Source(DEMO_SOURCE, homepage=f"{running.url}/", politeness=Politeness(delay=0.0))
        forget_other_demo(settings, source)
        summary = run(settings, environ, source, processes=1, forked=forked)
    with context.open_context(settings) as store:
        store.ledger.sources.set_enabled(DEMO_SOURCE, False, now=now())  # its server has stopped
        if not as_json:
            print_demo_result(store)
    report(summary, as_json)


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


def print_demo_result(store: AppContext) -> None:
    """A table of the documents, newest first, and the beginning of the newest."""
    # the commands about documents cost 0.02 s of CPU, which `newsmill crawl` need not spend
    from newsmill.cli.documents import print_documents

    documents = list(store.documents.iterate(source=DEMO_SOURCE))
    documents.sort(key=lambda document: str(document.published_at or ""), reverse=True)
    print_documents(documents)
    if documents:
        newest = documents[0]
        text = printable(newest.text)
        shown = text[:MAX_EXAMPLE_CHARACTERS] + (" …" if len(text) > MAX_EXAMPLE_CHARACTERS else "")
        typer.echo(f"{printable(newest.title or '')}\n\n{shown}\n")
        typer.echo(f"whole text: {program_name()} show {newest.url}\nexplanation: {program_name()} explain {newest.url}")
        typer.echo(f"in a browser: {program_name()} web")
