"""`newsmill demo`: the small newspaper that ships with Newsmill goes in, documents come out, and nothing leaves this machine."""

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
from newsmill.cli.show import print_documents
from newsmill.cli.terminal import note, printable, program
from newsmill.context import AppContext
from newsmill.demo import Newspaper
from newsmill.exceptions import NewsmillError
from newsmill.model import Politeness, Source

NAME = "demo"
PORT = 8707  # always the same where it is free: the addresses, and so the documents, of a second demo are those of the first
WORKERS = 2  # at most: a few dozen pages are read before more of them have started
SHOWN = 700  # characters of the example's text
ELSEWHERE = ("REDIS_URL", "DATABASE_URL", "ARCHIVE_URL", "NEWSMILL_CONFIG")  # a demo has no business in a real store


def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to serve the newspaper; 0 takes any free port.")] = PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """See it work in a few seconds: a small newspaper is served on this machine, crawled, cleaned and stored. Needs no network.

    Everything is kept in ./newsmill-data (or the folder of NEWSMILL_DATA), so that all other commands can be tried on it afterwards.
    """
    environ = environment(os.environ)
    settings = configuration.load(environ)
    with served(port) as running:
        note(f"a small newspaper is served at {running.url}/, and crawled into {context.data_folder(settings)}")
        source = Source(NAME, homepage=f"{running.url}/", politeness=Politeness(delay=0.0))
        summary = crawl.run(settings, environ, source, processes=min(WORKERS, settings.worker_processes))
    with context.open_context(settings) as store:
        store.ledger.set_enabled(NAME, False)  # its server is gone; `newsmill up` need not look for it
        if not as_json:
            show_result(store)
    crawl.report(summary, as_json)


@contextmanager
def served(port: int) -> Iterator[Newspaper]:
    """The newspaper on that port. Raises NewsmillError when somebody else has it."""
    with ExitStack() as opened:
        try:
            running = opened.enter_context(newspaper.serve(port))
        except OSError as error:
            raise NewsmillError(f"port {port} of this machine cannot be used ({error.strerror}): newsmill demo --port 0") from None
        yield running


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what leads to a real store, and with leave to fetch from this machine."""
    return {name: value for name, value in environ.items() if name not in ELSEWHERE} | {"NEWSMILL_ALLOW_NETS": "127.0.0.1/32"}


def show_result(store: AppContext) -> None:
    """A table of the documents, newest first, and the beginning of the first."""
    documents = list(store.documents.iterate(source=NAME))
    documents.sort(key=lambda document: str(document.published_at or ""), reverse=True)
    print_documents(documents)
    if documents:
        text = printable(documents[0].text)
        typer.echo(f"{printable(documents[0].title or '')}\n\n{text[:SHOWN]}{' …' if len(text) > SHOWN else ''}\n")
        typer.echo(f"all of it: {program()} show {documents[0].url}\nwhy it is what it is: {program()} explain {documents[0].url}")
        typer.echo(f"in a browser: {program()} web")
