"""`newsmill demo`: crawls the small newspaper that is part of Newsmill, without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from newsmill import context
from newsmill import demo as newspaper
from newsmill import settings as configuration
from newsmill.cli import crawl
from newsmill.cli.documents import print_documents
from newsmill.cli.supervisor import fork_children
from newsmill.cli.terminal import note, now, printable, program_name
from newsmill.context import AppContext
from newsmill.demo import Newspaper
from newsmill.exceptions import NewsmillError
from newsmill.model import Politeness, Source

SOURCE_NAME = "demo"
PORT = 8707  # fixed, so that a second demo has the same URLs and documents
MAX_WORKERS = 2  # two workers read the few dozen pages before a third one has started
MAX_TEXT_CHARACTERS = 700  # of the example
REAL_STORE_VARIABLES = ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_CONFIG")  # ignored, to keep the demo out of a real store


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the newspaper; 0 selects a free one.")] = PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Try Newsmill: crawl a small newspaper that this machine serves. Takes a few seconds and needs no network.

    Data is stored in ./newsmill-data (or the folder of NEWSMILL_DATA), so that you can try all other commands on it.
    """
    environ = make_environment(os.environ)
    settings = configuration.load(environ)
    with fork_children() as forked, serve_newspaper(port) as running:
        note(f"serving a small newspaper at {running.url}/, and crawling it into {context.data_folder(settings)}")
        source = Source(SOURCE_NAME, homepage=f"{running.url}/", politeness=Politeness(delay=0.0))
        summary = crawl.run(settings, environ, source, processes=min(MAX_WORKERS, settings.worker_processes), forked=forked)
    with context.open_context(settings) as store:
        store.ledger.set_enabled(SOURCE_NAME, False, now=now())  # its server has stopped
        if not as_json:
            print_result(store)
    crawl.report(summary, as_json)


@contextmanager
def serve_newspaper(port: int) -> Iterator[Newspaper]:
    """The running newspaper. Raises NewsmillError if the port is not available."""
    with ExitStack() as exit_stack:
        try:
            running = exit_stack.enter_context(newspaper.serve(port, with_crawl_delay=False))
        except OSError as error:
            raise NewsmillError(f"port {port} is not available ({error.strerror}); run `newsmill demo --port 0`") from None
        yield running


def make_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without REAL_STORE_VARIABLES, and with permission to fetch from this machine."""
    return {name: value for name, value in environ.items() if name not in REAL_STORE_VARIABLES} | {"NEWSMILL_ALLOW_NETS": "127.0.0.1/32"}


def print_result(store: AppContext) -> None:
    """A table of the documents, newest first, and the beginning of the newest."""
    documents = list(store.documents.iterate(source=SOURCE_NAME))
    documents.sort(key=lambda document: str(document.published_at or ""), reverse=True)
    print_documents(documents)
    if documents:
        newest = documents[0]
        text = printable(newest.text)
        shown = text[:MAX_TEXT_CHARACTERS] + (" …" if len(text) > MAX_TEXT_CHARACTERS else "")
        typer.echo(f"{printable(newest.title or '')}\n\n{shown}\n")
        typer.echo(f"whole text: {program_name()} show {newest.url}\nexplanation: {program_name()} explain {newest.url}")
        typer.echo(f"in a browser: {program_name()} web")
